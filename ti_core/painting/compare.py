"""A grid of pictures of one run, step by prompt by seed, to choose the step by eye: the job of the Compare tab.
torch is loaded when the job runs.
"""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image, ImageDraw, ImageFont

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.embeddings.folder import named_in
from ti_core.errors import UserError
from ti_core.events import Emit, Finished, Notice, Progress, Started
from ti_core.files import first_free, load_json, save_atomically, save_text
from ti_core.runs.best_step import best_of
from ti_core.runs.folder import EVENTS, embedding_name, read_events, saved_settings, saved_steps
from ti_core.settings import AS_TRAINED, CompareSettings, TrainSettings
from ti_core.settings.prompts import split_at_names
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from ti_core.models.stable_diffusion import StableDiffusion

T = TypeVar("T")
OUTPUTS = "outputs/compare"
NEIGHBOURS = 2
BATCH = 16
MOST_PICTURES = 1000
CELL_PX, LABEL_PX, MOST_PX = 160, 22, 16_000


@dataclass(frozen=True)
class Comparison:
    """A finished grid. `cells` are the files of the pictures, one list for each row, in the order of `steps`; rows
    are (prompt, seed).
    """

    run: str
    name: str
    steps: list[int]
    best: int
    rows: list[tuple[str, int]]
    cells: list[list[str]]
    grid: str


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
    run = workspace.path(settings.run, "Run")
    if not run.is_dir():
        raise UserError(f"Run '{settings.run}' does not exist.", "Press refresh and choose one of the list.")
    copies = list(saved_steps(run))
    if not copies:
        raise UserError(
            f"Run '{settings.run}' holds no copies of the embedding.",
            "Train with Save a copy of embedding every N steps above 0.",
        )
    steps = chosen_steps(copies, settings.steps, settings.every_nth, best_of(run))
    pictures = len(steps) * len(settings.prompt_lines) * len(settings.seed_numbers)
    if pictures > MOST_PICTURES:
        raise UserError(
            f"That makes {pictures} pictures, more than {MOST_PICTURES}.", "Choose fewer steps, prompts or seeds."
        )
    trained = saved_settings(run).settings
    find_usable_checkpoint(trained.checkpoint, workspace)
    return run, steps, trained


def compare(settings: CompareSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> Comparison:
    """Paint the grid in batches and save cells, one labelled picture and comparison.json. Raises UserError, and
    Interrupted with no grid.
    """
    run, steps, trained = check_compare(settings, workspace)
    emit(Progress(f"Loading {trained.checkpoint}", 0, 1))
    from ti_core.embeddings.formats import load_embedding
    from ti_core.models.checkpoint import LoadOptions
    from ti_core.models.sampler import SampleRequest, sample_images
    from ti_core.models.warm import warm_checkpoint

    copies = saved_steps(run)
    name = embedding_name(copies[steps[0]])
    sd = warm_checkpoint(trained.checkpoint, workspace, LoadOptions.of(trained))
    sd.move_to_device()
    vectors = {}
    for step in steps:
        rows = load_embedding(copies[step]).vectors_for(sd.widths)
        if rows is None:
            raise UserError(
                f"Step {step} of '{settings.run}' was trained for another model than {sd.file.title}.",
                "Choose another run.",
            )
        vectors[_word(name, step)] = {encoder: tensor.to(sd.device) for encoder, tensor in rows.items()}
    lines = [
        _trained_prompt(run, name) if line == AS_TRAINED else line.replace("[name]", name)
        for line in settings.prompt_lines
    ]
    named = named_in(lines, workspace, sd.widths, own=name).on(sd.device)
    rows_shown = [(line, seed) for line in lines for seed in settings.seed_numbers]
    request = SampleRequest(
        "", steps=settings.sampling_steps, cfg_scale=settings.cfg_scale, width=trained.width, height=trained.height
    )
    requests = [
        replace(request, prompt=_named(line, name, named.vectors, step), seed=seed)
        for line, seed in rows_shown
        for step in steps
    ]
    emit(
        Started(
            f"Compare {settings.run}",
            len(requests),
            plan=f"Steps {', '.join(map(str, steps))}; prompts: {len(lines)}; seeds: {settings.seeds.strip()}.",
        )
    )
    for sentence in (*saved_settings(run).sentences(), *_told_of_noise(run, sd), *named.left_out):
        emit(Notice(sentence))
    pictures: list[Image.Image] = []
    for batch in _batches(requests, len(requests) // len(lines)):
        emit(Progress(f"Painting {len(batch)} pictures", len(pictures), len(requests)))
        pictures.extend(sample_images(sd, batch, {**named.vectors, **vectors}, stop, batch=BATCH))
    emit(Progress("Saving the grid", len(requests), len(requests)))
    best = best_of(run)
    folder = _new_folder(workspace.root / OUTPUTS / datetime.date.today().isoformat())
    table = [pictures[i : i + len(steps)] for i in range(0, len(pictures), len(steps))]
    cells = [
        [_save(folder / f"row-{r + 1:02d}_step-{step}.png", picture) for step, picture in zip(steps, line, strict=True)]
        for r, line in enumerate(table)
    ]
    grid = _save(
        folder / f"{name}-grid.png",
        labelled_grid(
            table, [_step_label(step, best) for step in steps], [f"{line}, seed {seed}" for line, seed in rows_shown]
        ),
    )
    made = Comparison(workspace.shown(run), name, steps, best, rows_shown, cells, grid)
    save_text(folder / "comparison.json", json.dumps(asdict(made), ensure_ascii=False, indent=1))
    emit(Finished(f"Painted {len(pictures)} pictures. Saved in {workspace.shown(folder)}.", files=(grid,)))
    return made


def _told_of_noise(run: Path, sd: StableDiffusion) -> list[str]:
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


def _named(line: str, name: str, others: Iterable[str], step: int) -> str:
    """The line with the step's word for the run's; another embedding whose name is longer stays as it is."""
    return "".join(
        _word(name, step) if found == name else piece for found, piece in split_at_names(line, [name, *others])
    )


def _trained_prompt(run: Path, name: str) -> str:
    """The last prompt that the run's events tell of."""
    prompt = f"a photo of {name}"
    for event in read_events(run / EVENTS, "StepDone"):
        prompt = str(event.get("prompt", prompt))
    return prompt


def _step_label(step: int, best: int) -> str:
    return f"step {step}" + (" (best)" if step == best else "")


def _new_folder(day: Path) -> Path:
    """Numbered on, so that no comparison is overwritten."""
    return first_free(lambda number: day / f"{number:03d}", Path.exists)


def _save(path: Path, picture: Image.Image) -> str:
    return str(save_atomically(path, lambda part: picture.save(part, "PNG")))


def labelled_grid(table: Sequence[Sequence[Image.Image]], columns: Sequence[str], rows: Sequence[str]) -> Image.Image:
    """All pictures in one, with the steps above and each row's prompt and seed over it; cells are CELL_PX wide or
    the pictures' own size if larger.
    """
    width, height = table[0][0].size
    scale = min(max(1.0, CELL_PX / width), MOST_PX / (len(columns) * width), MOST_PX / (len(rows) * height))
    cell, font = (max(1, round(width * scale)), max(1, round(height * scale))), ImageFont.load_default(14)
    grid = Image.new("RGB", (len(columns) * cell[0], LABEL_PX + len(rows) * (cell[1] + LABEL_PX)), "white")
    pen = ImageDraw.Draw(grid)
    for i, label in enumerate(columns):
        pen.text((i * cell[0] + 4, 3), label, "black", font)
    for r, (label, line) in enumerate(zip(rows, table, strict=True)):
        top = LABEL_PX + r * (cell[1] + LABEL_PX)
        pen.text((4, top + 3), label, "#444444", font)
        for i, picture in enumerate(line):
            grid.paste(picture.resize(cell, Image.Resampling.LANCZOS), (i * cell[0], top + LABEL_PX))
    return grid


def newest_comparison(workspace: Workspace) -> Comparison | None:
    """The last finished grid, whoever asked for it; None if there is none or its pictures are gone."""
    for file in sorted((workspace.root / OUTPUTS).glob("*/*/comparison.json"), reverse=True):
        found = _kept_comparison(load_json(file))
        if found and Path(found.grid).is_file():
            return found
    return None


def _kept_comparison(kept: dict[str, Any]) -> Comparison | None:
    """What a comparison.json says, whatever version wrote it; None for a damaged one."""
    try:
        known = {field.name: kept[field.name] for field in fields(Comparison)}
        found = Comparison(**{**known, "rows": [(line, seed) for line, seed in known["rows"]]})
        texts = [
            found.run,
            found.name,
            found.grid,
            *(line for line, _ in found.rows),
            *(cell for row in found.cells for cell in row),
        ]
        numbers = [found.best, *found.steps, *(seed for _, seed in found.rows)]
        is_whole = len(found.cells) == len(found.rows) and all(len(row) == len(found.steps) for row in found.cells)
    except (ValueError, TypeError, KeyError):
        return None
    is_sound = all(isinstance(text, str) and "\0" not in text for text in texts) and all(
        type(number) is int for number in numbers
    )
    return found if is_whole and is_sound else None
