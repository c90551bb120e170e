"""Pictures from a prompt, with any embeddings that it names: the job of the txt2img tab. torch is loaded when the
job runs.
"""

from __future__ import annotations

import datetime
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.checkpoints.library import check_vae, find_usable_checkpoint, own_px
from ti_core.embeddings.named_in import named_in
from ti_core.errors import Interrupted, about
from ti_core.events import Emit, Finished, Notice, PreviewSaved, Progress, Started
from ti_core.painting.few_steps import few_steps_sentence
from ti_core.painting.grid import picture_grid
from ti_core.painting.infotext import infotext, save_png
from ti_core.settings import Txt2ImgSettings
from ti_core.settings.emphasis import emphasis_texts, read_otherwise
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from ti_core.models.sampler import SampleRequest
    from ti_core.models.stable_diffusion import StableDiffusion

OUTPUTS = "outputs/txt2img"


def check_txt2img(settings: Txt2ImgSettings, workspace: Workspace) -> None:
    """Raises UserError or SettingsError for a form that cannot be painted."""
    settings.check(own_px(settings.checkpoint, workspace))
    with about("checkpoint"):
        find_usable_checkpoint(settings.checkpoint, workspace)
    with about("vae"):
        check_vae(settings.vae, settings.checkpoint, workspace)


def preview_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The txt2img form's values as TrainSettings wants them for its previews ("Read parameters from txt2img tab",
    A1111 1.10.1, textual_inversion.py: train_embedding). The prompt is one, however many lines it was typed in.
    """
    settings = Txt2ImgSettings.from_dict({name: values[name] for name in Txt2ImgSettings.options() if name in values})
    names = (
        "negative_prompt",
        "sampler",
        "steps",
        "cfg_scale",
        "guidance_rescale",
        "seed",
        "width",
        "height",
    )
    values = {f"preview_{name}": getattr(settings, name) for name in names}
    return {**values, "preview_prompt": " ".join(settings.prompt.split())}


def txt2img(settings: Txt2ImgSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> list[Path]:
    """Paint the pictures into outputs/txt2img/<date>/ and give their files, a grid of all last if there are several.

    Interrupt keeps the pictures that are finished. Raises UserError with nothing written.
    """
    check_txt2img(settings, workspace)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    from ti_core.models.checkpoint import LoadOptions
    from ti_core.models.device import device_state
    from ti_core.models.painting_memory import plan_and_place
    from ti_core.models.sampler import sample_images
    from ti_core.models.warm import warm_checkpoint

    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    named = named_in(emphasis_texts([settings.prompt, settings.negative_prompt]), workspace, sd.widths)
    requests = _requests(settings, sd)
    first = requests[0]
    plan_and_place(sd, device_state(sd.device).free_bytes, first.width, first.height, pictures=1)
    folder = workspace.root / OUTPUTS / datetime.date.today().isoformat()
    used = f" Embeddings: {', '.join(named.vectors)}." if named.vectors else " No embedding is named in the prompt."
    emit(
        Started(
            f"txt2img: {_count(settings.count)} of {first.width}x{first.height}",
            settings.count * settings.steps,
            plan=f"{settings.sampler}, seed {first.seed}.{used}",
            folder=str(folder),
        )
    )
    otherwise = read_otherwise(settings.prompt, settings.negative_prompt)
    few_steps = few_steps_sentence(sd.file, settings.steps, settings.cfg_scale)
    for sentence in (*sd.notes, *named.left_out, *otherwise, *filter(None, [few_steps])):
        emit(Notice(sentence))

    # Each picture is saved as soon as it is painted, so that Interrupt loses none.
    number, pictures, files = next_number(folder), [], []
    for i, request in enumerate(requests):
        on_step = partial(_tell_step, emit, i, settings.count)
        try:
            pictures.extend(sample_images(sd, [request], named.vectors, stop, on_step))
        except Interrupted:
            break
        parameters = infotext(request, sd, named.hashes)
        files.append(save_png(folder / f"{number + i:05d}-{request.seed}.png", pictures[-1], parameters))
        emit(PreviewSaved(i + 1, str(files[-1]), settings.prompt))
    if len(pictures) > 1:
        parameters = infotext(first, sd, named.hashes)
        files.append(save_png(folder / f"grid-{number:05d}.png", picture_grid(pictures), parameters))

    interrupted = len(pictures) < settings.count
    verb = f"Interrupted: {len(pictures)} of" if interrupted else "Painted"
    saved = f" Saved in {workspace.shown(folder)}." if files else ""
    shown = tuple(str(file) for file in files[-1:] if len(files) > 1)
    emit(Finished(f"{verb} {_count(settings.count)}.{saved}", interrupted, shown))
    return files


def _requests(settings: Txt2ImgSettings, sd: StableDiffusion) -> list[SampleRequest]:
    """One for each picture, with seeds that count on from the first; a negative seed is drawn."""
    from ti_core.models.sampler import SampleRequest

    first = settings.seed if settings.seed >= 0 else random.SystemRandom().randrange(2**32)
    request = SampleRequest(
        settings.prompt,
        settings.negative_prompt,
        first,
        settings.steps,
        settings.cfg_scale,
        settings.width or sd.file.size_px,
        settings.height or sd.file.size_px,
        settings.sampler,
        settings.guidance_rescale,
    )
    return [request, *(replace(request, seed=(first + i) % 2**32) for i in range(1, settings.count))]


def _tell_step(emit: Emit, index: int, count: int, done: int, total: int) -> None:
    """Progress over all pictures, in solver steps."""
    emit(Progress(f"Painting picture {index + 1} of {count}", index * total + done, count * total))


def _count(pictures: int) -> str:
    return f"{pictures} picture{'s' * (pictures > 1)}"


def next_number(folder: Path) -> int:
    """Pictures of a folder are numbered on, as in A1111, so that none is overwritten."""
    numbers = [int(match[1]) for path in folder.glob("*.png") if (match := re.match(r"(\d{5,})-", path.name))]
    return max(numbers, default=-1) + 1
