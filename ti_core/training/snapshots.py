"""The picture of every N steps: the preview and the card that carries the embedding."""

from __future__ import annotations

import math
import random

from accelerate.utils.memory import clear_device_cache
from PIL import Image

from ti_core.embeddings.card import render_card
from ti_core.embeddings.png_file import save_card
from ti_core.events import Notice, PreviewSaved
from ti_core.models.device import is_out_of_memory
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.painting.infotext import infotext, save_png
from ti_core.settings import OF_EACH_STEP
from ti_core.training.run import Run
from ti_core.training.step_inputs import images_of_step
from ti_core.training.update import prompts_of_step

MOST_OF_THE_TIME, WORTH_A_WORD_S = 0.1, 60


def advise_interval(preview_s: float, step_s: float, every: int, steps_left: int) -> str:
    """A sentence for the user where previews eat more than a tenth of the time, and a minute of what is left; else
    nothing.
    """
    share = preview_s / (preview_s + every * step_s)
    if share <= MOST_OF_THE_TIME or preview_s * (steps_left // every) < WORTH_A_WORD_S:
        return ""
    better = math.ceil(preview_s * (1 / MOST_OF_THE_TIME - 1) / step_s)
    return (
        f"A preview takes {preview_s:.1f} s, as long as {preview_s / step_s:.0f} steps, so previews take {share:.0%} of"
        f" the time. To make it a tenth, save an image every {better} steps."
    )


def prompt_of_run(run: Run) -> str:
    """One of the training's own prompts, the same at every step: that of the first picture of step 1, whatever step
    the run begins at.
    """
    images = images_of_step(run.inputs.plan, run.settings.seed, 1)
    return prompts_of_step(run, images, 1)[0]


def save_preview(run: Run, step_prompt: str) -> None:
    """Paint the preview of the step just done, and have it and its card written; raises Interrupted if stopped
    while painting. `step_prompt` is one of the prompts of that step.

    The live vectors are used, and no random state of the training is touched.
    """
    settings, step = run.settings, run.state.step
    request = SampleRequest(
        prompt=settings.preview_prompt.strip()
        or (step_prompt if settings.preview_prompts == OF_EACH_STEP else run.preview_prompt),
        negative_prompt=settings.preview_negative_prompt,
        seed=settings.preview_seed if settings.preview_seed >= 0 else random.SystemRandom().randrange(2**32),
        steps=settings.preview_steps,
        cfg_scale=settings.preview_cfg_scale,
        width=settings.preview_width or settings.width,
        height=settings.preview_height or settings.height,
        sampler=settings.preview_sampler,
        guidance_rescale=settings.preview_guidance_rescale,
    )
    picture = _paint(run, request)
    if picture is None:
        size = f"{request.width or run.sd.file.size_px}x{request.height or run.sd.file.size_px}"
        run.log(
            Notice(
                f"The device's memory is too small for a preview of {size}, so it is left out. Choose a smaller one, or"
                " VAE slicing."
            )
        )
        return
    embedding = run.embedding(f"{run.name}-{step}")
    parameters = infotext(request, run.sd, run.others.hashes_in(request.prompt, request.negative_prompt))

    def write() -> None:
        run.folder.check_there()
        path, card = run.folder.preview(step), run.folder.card(step)
        save_png(path, picture, parameters)
        if settings.cards:
            footer = (run.sd.stored_name, f"[{run.sd.hash}]", f"{embedding.count}v {step}s")
            save_card(card, render_card(picture, f"<{embedding.name}>", footer), embedding)
        run.log(PreviewSaved(step, str(path), request.prompt, str(card) if settings.cards else ""))

    run.writer.put(write)


def _paint(run: Run, request: SampleRequest) -> Image.Image | None:
    """None where memory ran out: that is no reason to end a training."""
    try:
        return sample_images(run.sd, [request], run.prompt_vectors(run.state.output_vectors), run.stop)[0]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    clear_device_cache(garbage_collection=True)  # outside of the handler, where the error no longer holds the tensors
    return None
