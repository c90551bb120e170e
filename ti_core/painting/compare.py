"""A grid of pictures of one run, step by prompt by seed, to choose the step by eye: the job of the Compare tab.
torch is loaded when the job runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.data.dataset import original_of
from ti_core.data.dataset_parts import parts_of
from ti_core.data.images import open_rgb
from ti_core.embeddings.named_in import named_in
from ti_core.errors import UserError, about
from ti_core.events import Emit, Finished, Notice, Progress, Started
from ti_core.painting.comparison import Comparison, save_comparison
from ti_core.painting.few_steps import suited_grid, suited_to
from ti_core.runs.best_step import best_of
from ti_core.runs.folder import EVENTS, embedding_name, read_events, saved_settings, saved_steps
from ti_core.settings import AS_TRAINED, SAMPLERS, CompareSettings, TrainSettings
from ti_core.settings.emphasis import emphasis_texts, escaped
from ti_core.settings.prompts import split_at_words
from ti_core.settings.strength import at_strength
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from ti_core.models.prompt_encoder import Vectors
    from ti_core.models.sampler import SampleRequest
    from ti_core.models.stable_diffusion import StableDiffusion

T = TypeVar("T")
NEIGHBOURS = 2
BATCH = 16
MOST_PICTURES = 1000
LEAST_PHOTOS, MOST_PHOTOS, PHOTO_PX = 4, 12, 512
"""Of the row of training photos: as many as there are steps, within these; their longer side."""


@dataclass(frozen=True)
class GridRequest:
    """What is to be painted: a row for each (prompt, seed), prompts one after the other, a column for each step, or for
    each strength of one step.

    `requests` are the pictures row by row. `vectors` holds those of each step under a name of its own (`_word`), so
    that one batch may hold several steps, and those of the other embeddings that the prompts name. `left_out` says in
    sentences which of these cannot be used.
    """

    rows: list[tuple[str, int]]
    prompts: int
    requests: list[SampleRequest]
    vectors: Vectors
    left_out: tuple[str, ...]


def chosen_steps(steps: Sequence[int], which: str, every_nth: int, best: int) -> list[int]:
    """Of the steps that have a copy, in order. The last one is always shown with every n-th. Raises UserError."""
    if which == "all":
        return list(steps)
    if which == "every n-th":
        return [step for i, step in enumerate(steps, 1) if i % every_nth == 0 or i == len(steps)]
    if not best:
        raise UserError("This run has no evaluation, so its best step is not known.", "Choose all or every n-th.")
    at = min(range(len(steps)), key=lambda i: (abs(steps[i] - best), i))
    return list(steps[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1])


def check_compare(settings: CompareSettings, workspace: Workspace) -> tuple[Path, list[int], TrainSettings]:
    """The run, the steps to show, and how it was trained. Raises UserError or SettingsError for what cannot be
    painted.
    """
    settings.check()
    with about("run"):
        run = workspace.path(settings.run, "Run")
        if not run.is_dir():
            raise UserError(f"Run '{settings.run}' does not exist.", "Press refresh and choose one of the list.")
        copies = list(saved_steps(run))
        if not copies:
            raise UserError(
                f"Run '{settings.run}' holds no copies of the embedding.",
                "Train with Save a copy of embedding every N steps above 0.",
            )
    with about("steps"):
        if settings.strength_numbers:
            steps = [best if (best := best_of(run)) in copies else copies[-1]]
        else:
            steps = chosen_steps(copies, settings.steps, settings.every_nth, best_of(run))
    pictures = max(len(steps), len(settings.strength_numbers)) * len(settings.prompt_lines) * len(settings.seed_numbers)
    if pictures > MOST_PICTURES:
        raise UserError(
            f"That makes {pictures} pictures, more than {MOST_PICTURES}.",
            "Choose fewer steps, strengths, prompts or seeds.",
        )
    trained = saved_settings(run).settings
    with about("run"):
        find_usable_checkpoint(trained.checkpoint, workspace)
    return run, steps, trained


def compare(settings: CompareSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> Comparison:
    """Paint the grid in batches and save cells, one labelled picture and comparison.json. Raises UserError, and
    Interrupted with no grid.
    """
    run, steps, trained = check_compare(settings, workspace)
    emit(Progress(f"Loading {trained.checkpoint}", 0, 1))
    from ti_core.models.checkpoint import LoadOptions
    from ti_core.models.device import device_state
    from ti_core.models.painting_memory import plan_and_place
    from ti_core.models.warm import warm_checkpoint

    name = embedding_name(saved_steps(run)[steps[0]])
    sd = warm_checkpoint(trained.checkpoint, workspace, LoadOptions.of(trained), emit)
    settings, few_steps = suited_grid(settings, sd.file)
    grid = _grid_request(settings, run, name, steps, trained, workspace, sd)
    total = len(grid.requests)
    plan = f"Steps {', '.join(map(str, steps))}; prompts: {grid.prompts}; seeds: {settings.seeds.strip()}."
    emit(Started(f"Compare {settings.run}", total, plan=plan))
    for sentence in (*saved_settings(run).sentences(), *_noise_notice(run, sd), *grid.left_out, *few_steps):
        emit(Notice(sentence))
    first = grid.requests[0]
    sides = first.width or sd.file.size_px, first.height or sd.file.size_px
    fit = plan_and_place(sd, device_state(sd.device).free_bytes, *sides, min(BATCH, total // grid.prompts))
    pictures = _paint(grid, sd, emit, stop, fit.at_once if sd.device.type != "cpu" else BATCH)
    emit(Progress("Saving the grid", total, total))
    photos = _training_photos(trained, max(LEAST_PHOTOS, len(steps)), workspace) if settings.photos else []
    columns = [f"step {steps[0]}, strength {strength:g}" for strength in settings.strength_numbers]
    steps = steps * len(columns) or steps
    best = best_of(run)
    made = save_comparison(workspace.shown(run), name, steps, best, grid.rows, pictures, workspace, photos, columns)
    saved_in = workspace.shown(Path(made.grid).parent)
    emit(Finished(f"Painted {len(pictures)} pictures. Saved in {saved_in}.", files=(made.grid,)))
    return made


def _grid_request(
    settings: CompareSettings,
    run: Path,
    name: str,
    steps: list[int],
    trained: TrainSettings,
    workspace: Workspace,
    sd: StableDiffusion,
) -> GridRequest:
    """With the vectors of each step. Raises UserError for a run of another model."""
    from ti_core.models.sampler import SampleRequest

    vectors = _vectors_of_steps(settings.run, name, {step: saved_steps(run)[step] for step in steps}, sd)
    # The prompt of the training is plain text; in what was typed, brackets are emphasis.
    lines = [
        escaped(_trained_prompt(run, name)) if line == AS_TRAINED else line.replace("[name]", escaped(name))
        for line in settings.prompt_lines
    ]
    named = named_in(emphasis_texts(lines), workspace, sd.widths, own=name)
    rows = [(line, seed) for line in lines for seed in settings.seed_numbers]
    request = SampleRequest(
        "",
        steps=settings.sampling_steps,
        cfg_scale=settings.cfg_scale,
        width=trained.width,
        height=trained.height,
        sampler=suited_to(sd.file).sampler if sd.file.facts.few_steps else SAMPLERS[0],
        guidance_rescale=trained.preview_guidance_rescale,
    )
    requests = [
        replace(request, prompt=prompt, negative_prompt=negative, seed=seed)
        for line, seed in rows
        for step in steps
        for strength in settings.strength_numbers or [1.0]
        for prompt, negative in [at_strength(_marked(line, name, named.vectors), "", _word(name, step), strength)]
    ]
    return GridRequest(rows, len(lines), requests, {**named.vectors, **vectors}, tuple(named.left_out))


def _vectors_of_steps(title: str, name: str, copies: dict[int, Path], sd: StableDiffusion) -> Vectors:
    """Those of each step's copy of the embedding `name`, under its word. Raises UserError where they
    do not fit the model; `title` is the run's.
    """
    from ti_core.embeddings.formats import load_embedding

    vectors = {}
    for step, copy in copies.items():
        rows = load_embedding(copy).vectors_for(sd.widths)
        if rows is None:
            raise UserError(
                f"Step {step} of '{title}' was trained for another model than {sd.file.title}.",
                "Choose another run.",
            )
        vectors[_word(name, step)] = rows
    return vectors


def _paint(
    grid: GridRequest, sd: StableDiffusion, emit: Emit, stop: threading.Event, at_once: int
) -> list[Image.Image]:
    """The pictures of `requests`, in their order, `at_once` together. Raises Interrupted."""
    from ti_core.models.sampler import sample_images

    pictures: list[Image.Image] = []
    for batch in _batches(grid.requests, len(grid.requests) // grid.prompts):
        emit(Progress(f"Painting {len(batch)} pictures", len(pictures), len(grid.requests)))
        pictures.extend(sample_images(sd, batch, grid.vectors, stop, batch=at_once))
    return pictures


def _training_photos(trained: TrainSettings, most: int, workspace: Workspace) -> list[Image.Image]:
    """Some of the photos that the run was trained on, evenly chosen and at most PHOTO_PX large, each photo once; none
    where they are not there any more.
    """
    try:
        paths = parts_of(trained, workspace).pictures
        firsts = list({original_of(path): path for path in reversed(paths)}.values())[::-1]
        count = min(most, MOST_PHOTOS, len(firsts))
        photos = [open_rgb(firsts[i * len(firsts) // count], enough_px=PHOTO_PX) for i in range(count)]
    except UserError:
        return []
    for photo in photos:
        photo.thumbnail((PHOTO_PX, PHOTO_PX))
    return photos


def _noise_notice(run: Path, sd: StableDiffusion) -> list[str]:
    """A sentence where the run was trained with another noise than its checkpoint is painted with: a configuration
    was changed, or is read better now.
    """
    from ti_core.models.noise_schedule import trained_prediction

    began = trained_prediction(run, sd)
    if began == sd.prediction:
        return []
    return [
        f"This run was trained with {began}. {sd.file.title} says {sd.prediction}, and the pictures are painted so, as"
        " other programs paint them."
    ]


def _batches(requests: Sequence[T], of_a_line: int) -> Iterator[Sequence[T]]:
    """Never two lines together: the shorter one would be filled up to the length of the other, which changes its
    pictures.
    """
    for begin in range(0, len(requests), of_a_line):
        yield from (
            requests[start : min(start + BATCH, begin + of_a_line)] for start in range(begin, begin + of_a_line, BATCH)
        )


def _word(name: str, step: int) -> str:
    """Each step is a word of its own, so that one batch may hold them all."""
    return f"{name}-{step}"


def _marked(line: str, name: str, others: Iterable[str]) -> str:
    """The line with [name] for the run's word; another embedding whose name is longer stays as it is. Names stand in it
    as in every prompt: with their brackets escaped.
    """
    own = escaped(name)
    pieces = split_at_words(line, [own, *map(escaped, others)])
    return "".join("[name]" if found == own else piece for found, piece in pieces)


def _trained_prompt(run: Path, name: str) -> str:
    """The last prompt that the run's events tell of."""
    prompt = f"a photo of {name}"
    for event in read_events(run / EVENTS, "StepDone"):
        prompt = str(event.get("prompt", prompt))
    return prompt
