"""Pictures from a prompt, with any embeddings that it names: the job of the txt2img tab. torch is loaded when the
job runs.
"""

from __future__ import annotations

import datetime
import math
import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.embeddings.folder import named_in
from ti_core.errors import Interrupted
from ti_core.events import Emit, Finished, Notice, PreviewSaved, Progress, Started
from ti_core.painting.infotext import infotext, save_png
from ti_core.settings import Txt2ImgSettings
from ti_core.workspace import Workspace

OUTPUTS = "outputs/txt2img"
GRID_MAX_PX = 4096


def check_txt2img(settings: Txt2ImgSettings, workspace: Workspace) -> None:
    """Raises UserError or SettingsError for a form that cannot be painted."""
    settings.check()
    find_usable_checkpoint(settings.checkpoint, workspace)


def preview_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The txt2img form's values as TrainSettings wants them for its previews ("Read parameters from txt2img tab",
    A1111 1.10.1, textual_inversion.py: train_embedding).
    """
    settings = Txt2ImgSettings.from_dict({name: values[name] for name in Txt2ImgSettings.options() if name in values})
    names = ("prompt", "negative_prompt", "sampler", "steps", "cfg_scale", "seed", "width", "height")
    return {f"preview_{name}": getattr(settings, name) for name in names}


def txt2img(settings: Txt2ImgSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> list[Path]:
    """Paint the pictures into outputs/txt2img/<date>/ and give their files, a grid of all last if there are several.

    Interrupt keeps the pictures that are finished. Raises UserError with nothing written.
    """
    check_txt2img(settings, workspace)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    from ti_core.models.checkpoint import LoadOptions
    from ti_core.models.sampler import SampleRequest, sample_images
    from ti_core.models.warm import warm_checkpoint

    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    sd.move_to_device()
    named = named_in([settings.prompt, settings.negative_prompt], workspace, sd.widths)
    first = settings.seed if settings.seed >= 0 else random.SystemRandom().randrange(2**32)
    width, height = settings.width or sd.file.size_px, settings.height or sd.file.size_px
    folder = workspace.root / OUTPUTS / datetime.date.today().isoformat()
    used = f" Embeddings: {', '.join(named.vectors)}." if named.vectors else " No embedding is named in the prompt."
    many = f"{settings.count} picture{'s' * (settings.count > 1)} of {width}x{height}"
    emit(
        Started(
            f"txt2img: {many}",
            settings.count * settings.steps,
            plan=f"{settings.sampler}, seed {first}.{used}",
            folder=str(folder),
        )
    )
    for sentence in (*sd.notes, *named.left_out):
        emit(Notice(sentence))
    number, pictures, files = next_number(folder), [], []
    told = partial(infotext, sd=sd, hashes=named.hashes)
    first_one = SampleRequest(
        settings.prompt,
        settings.negative_prompt,
        first,
        settings.steps,
        settings.cfg_scale,
        width,
        height,
        settings.sampler,
    )
    for i in range(settings.count):
        request = replace(first_one, seed=(first + i) % 2**32)

        def tell(done: int, total: int, i: int = i) -> None:
            emit(Progress(f"Painting picture {i + 1} of {settings.count}", i * total + done, settings.count * total))

        try:
            pictures.extend(sample_images(sd, [request], named.vectors, stop, tell))
        except Interrupted:
            break
        files.append(save_png(folder / f"{number + i:05d}-{request.seed}.png", pictures[-1], told(request)))
        emit(PreviewSaved(i + 1, str(files[-1]), settings.prompt))
    if len(pictures) > 1:
        files.append(save_png(folder / f"grid-{number:05d}.png", picture_grid(pictures), told(first_one)))
    interrupted = len(pictures) < settings.count
    verb = f"Interrupted: {len(pictures)} of {settings.count}" if interrupted else f"Painted {len(pictures)}"
    saved = f" Saved in {workspace.shown(folder)}." if files else ""
    emit(
        Finished(
            f"{verb} picture{'s' * (settings.count > 1)}.{saved}",
            interrupted,
            tuple(str(f) for f in files[-1:] if len(files) > 1),
        )
    )
    return files


def next_number(folder: Path) -> int:
    """Pictures of a folder are numbered on, as in A1111, so that none is overwritten."""
    numbers = [int(match[1]) for path in folder.glob("*.png") if (match := re.match(r"(\d{5,})-", path.name))]
    return max(numbers, default=-1) + 1


def picture_grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures side by side, about as many rows as columns, shrunk where it would get larger than a browser
    likes.
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    grid = Image.new("RGB", (columns * width, rows * height))
    for i, picture in enumerate(pictures):
        grid.paste(picture, (i % columns * width, i // columns * height))
    grid.thumbnail((GRID_MAX_PX, GRID_MAX_PX))
    return grid
