"""Paints a dataset: pictures of the checkpoint's own, each with its prompt as caption, for words without photos."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ti_core.checkpoints.library import check_vae, find_usable_checkpoint
from ti_core.data.images import find_images
from ti_core.data.origin import OUTPUT_NAME, Origin
from ti_core.embeddings.named_in import named_in
from ti_core.errors import Interrupted, about
from ti_core.events import Emit, Finished, Notice, Progress, Started
from ti_core.files import save_atomically, save_text
from ti_core.painting.few_steps import suited_to
from ti_core.settings import PORTRAITS, SAMPLERS, PaintDatasetSettings
from ti_core.settings.emphasis import emphasis_texts
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from PIL import Image

    from ti_core.models.sampler import SampleRequest
    from ti_core.models.stable_diffusion import StableDiffusion

BADLY = ((3, 7.0), (4, 7.0), (3, 3.0), (6, 20.0), (10, 25.0), (20, 1.5), (5, 12.0), (4, 2.0))
"""Sampling steps and CFG scale of pictures that are to go wrong, in turn: unfinished, burnt, or without form."""
AT_ONCE = 8
"""Pictures that are painted together and saved before the next ones, so that Interrupt loses few."""
SHOWN_FILES = 12


def check_paint_dataset(settings: PaintDatasetSettings, workspace: Workspace) -> Path:
    """The folder that the pictures would go to. Raises UserError or SettingsError."""
    settings.check()
    with about("checkpoint"):
        find_usable_checkpoint(settings.checkpoint, workspace)
    with about("vae"):
        check_vae(settings.vae, settings.checkpoint, workspace)
    with about("destination_directory"):
        return workspace.writable(settings.destination_directory, "Folder of the pictures")


def paint_dataset(
    settings: PaintDatasetSettings, workspace: Workspace, emit: Emit, stop: threading.Event
) -> list[Path]:
    """Paint the pictures into the folder, numbered on from those that are there, and give their files. Interrupt keeps
    what is painted.
    """
    folder = check_paint_dataset(settings, workspace)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    from ti_core.models.checkpoint import LoadOptions
    from ti_core.models.device import device_state
    from ti_core.models.painting_memory import plan_and_place
    from ti_core.models.sampler import sample_images
    from ti_core.models.warm import warm_checkpoint

    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    plan = plan_and_place(sd, device_state(sd.device).free_bytes, sd.file.size_px, sd.file.size_px, AT_ONCE)
    at_once = plan.at_once if sd.device.type != "cpu" else AT_ONCE
    named = named_in(emphasis_texts(settings.prompt_lines), workspace, sd.widths)
    emit(Started(f"Paint {settings.count} pictures", settings.count, folder=str(folder)))
    for sentence in (*sd.notes, *named.left_out):
        emit(Notice(sentence))

    # pictures of one call share steps and guidance, so each way to paint is a call of its own
    first, files = _next_number(folder), list[Path]()
    interrupted = False
    for together in _calls(_requests(settings, sd)):
        try:
            pictures = sample_images(sd, [request for _, request in together], named.vectors, stop, batch=at_once)
        except Interrupted:
            interrupted = True
            break
        for (index, request), picture in zip(together, pictures, strict=True):
            files.append(_save(folder, first + index, picture, request.prompt, settings.checkpoint == PORTRAITS))
        emit(Progress("Painting", len(files), settings.count))
    said = f"{'Interrupted: painted' if interrupted else 'Painted'} {len(files)} pictures into"
    emit(Finished(f"{said} {workspace.shown(folder)}.", interrupted, tuple(map(str, sorted(files)[:SHOWN_FILES]))))
    return sorted(files)


def _requests(settings: PaintDatasetSettings, sd: StableDiffusion) -> list[SampleRequest]:
    """One for each picture: the prompts in turn, each with a seed of its own."""
    from ti_core.models.sampler import SampleRequest

    lines, few = settings.prompt_lines, sd.file.facts.few_steps
    suited = suited_to(sd.file)
    request = SampleRequest(
        "",
        steps=suited.steps if few else settings.sampling_steps,
        cfg_scale=suited.cfg_scale if few else settings.cfg_scale,
        sampler=suited.sampler if few else SAMPLERS[0],
    )
    found = []
    for i in range(settings.count):
        one = replace(request, prompt=lines[i % len(lines)], seed=settings.seed + i)
        if settings.badly:
            # not in step with the prompts, so that each is painted in every way
            steps, scale = BADLY[(i + i // len(lines)) % len(BADLY)]
            one = replace(one, steps=steps, cfg_scale=scale)
        found.append(one)
    return found


def _calls(requests: Sequence[SampleRequest]) -> list[list[tuple[int, SampleRequest]]]:
    """The requests with their numbers, in lists of at most AT_ONCE that are painted alike."""
    alike: dict[tuple[int, float], list[tuple[int, SampleRequest]]] = {}
    for index, request in enumerate(requests):
        alike.setdefault((request.steps, request.cfg_scale), []).append((index, request))
    return [group[i : i + AT_ONCE] for group in alike.values() for i in range(0, len(group), AT_ONCE)]


def _next_number(folder: Path) -> int:
    """The pictures are called as those of Preprocess, so that each counts as a photo of its own."""
    names = [OUTPUT_NAME.match(path.stem) for path in find_images(folder)] if folder.is_dir() else []
    return max((int(match[1]) for match in names if match), default=-1) + 1


def _save(folder: Path, number: int, picture: Image.Image, prompt: str, drawn: bool) -> Path:
    path = folder / f"{number:05d}-0-painted.png"
    chunk = Origin.whole(picture.size, drawn).chunk(picture.size)
    save_text(path.with_suffix(".txt"), prompt)
    return save_atomically(path, lambda part: picture.save(part, "PNG", pnginfo=chunk))
