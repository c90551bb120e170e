"""The pictures of every N steps: a preview for each prompt, and the card that carries the embedding."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from PIL import Image

from ti_core.embeddings.card import render_card
from ti_core.embeddings.png_file import save_card
from ti_core.errors import TooLittleMemory
from ti_core.events import Notice, PreviewSaved, Progress
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.painting.infotext import infotext, save_png
from ti_core.settings import OF_EACH_STEP, PORTRAITS, TrainSettings
from ti_core.settings.emphasis import escaped
from ti_core.training.run import Run
from ti_core.training.setup import Prepared
from ti_core.training.step_inputs import images_of_step
from ti_core.training.update import prompts_of_step

MOST_OF_THE_TIME, WORTH_A_WORD_S = 0.1, 60
SKETCH, IN_THE_STYLE = "a pencil sketch of [name]", "a house in the style of [name]"
IN_A_HAT = "a photo of [name], wearing a santa hat, pink background"
"""What shows whether a word still lets the rest of a prompt act: of a person or a thing, of a style, and of a person of
Portraits, whose sketches are too pale for a face (docs/portraits.md).
"""


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


# ---- what they show


def prompts_of_run(run: Run) -> tuple[str, ...]:
    """One of the training's own prompts, the same at every step: that of the first picture of step 1, whatever step
    the run begins at; and one that shows obedience.
    """
    return tuple(dict.fromkeys([_prompt_of_step(run, 1), obedience_prompt(run.settings, run.inputs)]))


def obedience_prompt(settings: TrainSettings, inputs: Prepared) -> str:
    """A short prompt that asks for something which the training's pictures are not, in words that the checkpoint
    knows.
    """
    is_style = any("style of [name]" in line for line in inputs.lines)
    prompt = IN_A_HAT if settings.checkpoint == PORTRAITS else IN_THE_STYLE if is_style else SKETCH
    return prompt.replace("[name]", inputs.embedding.name)


def _prompt_of_step(run: Run, step: int) -> str:
    return prompts_of_step(run, images_of_step(run.inputs.plan, run.settings.seed, step), step)[0]


def _shown_prompts(run: Run, step_prompt: str) -> Sequence[str]:
    """The prompts of the preview of a step that trained on `step_prompt`, each once. Brackets weigh in typed ones,
    never in captions, which are plain text.
    """
    if typed := run.settings.preview_lines:
        return list(dict.fromkeys(line.replace("[name]", escaped(run.name)) for line in typed))
    return [
        escaped(prompt)
        for prompt in ([step_prompt] if run.settings.preview_prompts == OF_EACH_STEP else run.preview_prompts)
    ]


# ---- painting


def save_start(run: Run) -> None:
    """Paint the preview of the vectors that the run begins with, so that there is something to see at once, and to
    compare with; raises Interrupted if stopped while painting.

    Not where previews are off, where they are there already, and where a run goes on after its first step.
    """
    plan, is_under_way = run.inputs.plan, run.is_resumed and run.state.step > 0
    if not run.settings.image_every or is_under_way or run.folder.preview(run.state.step).exists():
        return
    run.log(Progress("Painting the start", plan.first_step, plan.steps))
    save_preview(run, _prompt_of_step(run, plan.first_step + 1), with_card=False)
    run.log(Progress("Training", plan.first_step, plan.steps))  # a first step of a large model takes minutes


def save_preview(run: Run, step_prompt: str, with_card: bool = True) -> None:
    """Paint the preview of the step just done, all its prompts in one batch, and have it and its card written; raises
    Interrupted if stopped while painting. `step_prompt` is one of the prompts of that step.

    The live vectors are used, and no random state of the training is touched.
    """
    step = run.state.step
    requests = _requests(run, step_prompt)
    pictures = _paint(run, requests)
    if pictures is None:
        size = f"{requests[0].width or run.sd.file.size_px}x{requests[0].height or run.sd.file.size_px}"
        run.log(
            Notice(
                f"The device's memory is too small for a preview of {size}, so it is left out. Choose a smaller one."
            )
        )
        return
    embedding = run.embedding(f"{run.name}-{step}") if with_card and run.settings.cards else None
    hashes = [run.others.hashes_in(request.prompt, request.negative_prompt) for request in requests]

    def write() -> None:
        run.folder.check_there()
        for number, (request, picture) in enumerate(zip(requests, pictures, strict=True), 1):
            path, card = run.folder.preview(step, number), ""
            save_png(path, picture, infotext(request, run.sd, hashes[number - 1]))  # waits for the checkpoint's hash
            if number == 1 and embedding:
                footer = (run.sd.stored_name, f"[{run.sd.hash}]", f"{embedding.count}v {step}s")
                save_card(run.folder.card(step), render_card(picture, f"<{embedding.name}>", footer), embedding)
                card = str(run.folder.card(step))
            run.log(PreviewSaved(step, str(path), request.prompt, card, number))

    run.writer.put(write)


def _requests(run: Run, step_prompt: str) -> list[SampleRequest]:
    """One for each prompt, all with one seed."""
    settings = run.settings
    seed = settings.preview_seed if settings.preview_seed >= 0 else random.SystemRandom().randrange(2**32)
    return [
        SampleRequest(
            prompt=prompt,
            negative_prompt=settings.preview_negative_prompt,
            seed=seed,
            steps=settings.preview_steps,
            cfg_scale=settings.preview_cfg_scale,
            width=settings.preview_width or settings.width,
            height=settings.preview_height or settings.height,
            sampler=settings.preview_sampler,
            guidance_rescale=settings.preview_guidance_rescale,
        )
        for prompt in _shown_prompts(run, step_prompt)
    ]


def _paint(run: Run, requests: Sequence[SampleRequest]) -> list[Image.Image] | None:
    """None where memory ran out even for one at a time: that is no reason to end a training."""
    try:
        return sample_images(run.sd, requests, run.prompt_vectors(run.state.output_vectors), run.stop)
    except TooLittleMemory:
        return None
