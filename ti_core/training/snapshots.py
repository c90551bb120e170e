"""The pictures of every N steps: a preview for each prompt, and the card that carries the embedding."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from ti_core.embeddings.card import render_card
from ti_core.embeddings.png_file import save_card
from ti_core.errors import TooLittleMemory
from ti_core.events import Notice, PreviewSaved, Progress
from ti_core.models.sampler import SampleRequest, latent_size, sample_images
from ti_core.painting.grid import labelled_rows
from ti_core.painting.infotext import infotext, save_png
from ti_core.settings import OF_EACH_STEP, PORTRAITS, TrainSettings
from ti_core.settings.emphasis import escaped
from ti_core.settings.prompts import split_at_words
from ti_core.settings.strength import at_strength, strength_label
from ti_core.training.kinds import kind_of
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
    """One of the training's own prompts, the same at every step, whatever step the run begins at: of those of step 1
    the one of the fewest tags, because the less else a picture shows, the better a face can be judged in it; and one
    that shows obedience.
    """
    drawn = prompts_of_step(run, images_of_step(run.inputs.plan, run.settings.seed, 1), 1)
    plainest = min(drawn, key=lambda prompt: prompt.count(","))
    return tuple(dict.fromkeys([plainest, obedience_prompt(run.settings, run.inputs)]))


def obedience_prompt(settings: TrainSettings, inputs: Prepared) -> str:
    """A short prompt that asks for something which the training's pictures are not, in words that the checkpoint
    knows.
    """
    is_style = any("style of [name]" in line for line in inputs.lines)
    prompt = IN_A_HAT if settings.checkpoint == PORTRAITS else IN_THE_STYLE if is_style else SKETCH
    of_kind = kind_of(inputs.kind, settings).preview("wearing a santa hat, pink background")
    return (of_kind or prompt).replace("[name]", inputs.embedding.name)


def _prompt_of_step(run: Run, step: int) -> str:
    return prompts_of_step(run, images_of_step(run.inputs.plan, run.settings.seed, step), step)[0]


def _shown_prompts(run: Run, step_prompt: str) -> Sequence[str]:
    """The prompts of the preview of a step that trained on `step_prompt`, each once, with [name] for the word where it
    is shown at several strengths. Brackets weigh in typed ones, never in captions, which are plain text.
    """
    word = "[name]" if run.kind.strengths else escaped(run.name)
    if typed := run.settings.preview_lines:
        return list(dict.fromkeys(line.replace("[name]", word) for line in typed))
    prompts = [step_prompt] if run.settings.preview_prompts == OF_EACH_STEP else run.preview_prompts
    if not run.kind.strengths:
        return [escaped(prompt) for prompt in prompts]
    return ["".join("[name]" if found else escaped(piece) for found, piece in _named(run, each)) for each in prompts]


def _named(run: Run, prompt: str) -> list[tuple[str, str]]:
    return split_at_words(prompt, [run.name])


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
    pictures = _paint(run, [request for of_prompt in requests for _, request in of_prompt])
    if pictures is None:
        first = requests[0][0][1]
        size = f"{first.width or run.sd.file.size_px}x{first.height or run.sd.file.size_px}"
        run.log(
            Notice(
                f"The device's memory is too small for a preview of {size}, so it is left out. Choose a smaller one."
            )
        )
        return
    embedding = run.embedding(f"{run.name}-{step}") if with_card and run.settings.cards else None
    shown = shown_previews(requests, pictures, run.kind.shown_strength)
    hashes = [run.others.hashes_in(each.request.prompt, each.request.negative_prompt) for each in shown]

    def write() -> None:
        run.folder.check_there()
        for number, (request, whole, picture) in enumerate(shown, 1):
            path, card = run.folder.preview(step, number), ""
            save_png(path, whole, infotext(request, run.sd, hashes[number - 1]))  # waits for the checkpoint's hash
            if number == 1 and embedding:
                footer = (run.sd.stored_name, f"[{run.sd.hash}]", f"{embedding.count}v {step}s")
                save_card(run.folder.card(step), render_card(picture, f"<{embedding.name}>", footer), embedding)
                card = str(run.folder.card(step))
            run.log(PreviewSaved(step, str(path), request.prompt, card, number))

    run.writer.put(write)


class Shown(NamedTuple):
    """A preview: the picture as it is saved, which is several in one for a word that is shown at several strengths, and
    of these the one that stands for the word, with how it was made.
    """

    request: SampleRequest
    whole: Image.Image
    picture: Image.Image


def shown_previews(
    requests: Sequence[Sequence[tuple[float, SampleRequest]]], pictures: Sequence[Image.Image], shown: float
) -> list[Shown]:
    """One for each prompt. `requests` are those of each prompt with their strengths, `pictures` all of theirs in order,
    `shown` the strength that stands for the word.
    """
    found, rest = [], iter(pictures)
    for of_prompt in requests:
        painted = [next(rest) for _ in of_prompt]
        strengths = [strength for strength, _ in of_prompt]
        at = strengths.index(shown)
        labels = [strength_label(strength, strengths) for strength in strengths]
        whole = labelled_rows(painted, labels) if len(painted) > 1 else painted[0]
        found.append(Shown(of_prompt[at][1], whole, painted[at]))
    return found


def _requests(run: Run, step_prompt: str) -> list[list[tuple[float, SampleRequest]]]:
    """For each prompt one at each strength of the kind of word, all with one seed."""
    settings = run.settings
    seed = settings.preview_seed if settings.preview_seed >= 0 else random.SystemRandom().randrange(2**32)
    negative, strengths = settings.preview_negative_prompt, run.kind.strengths
    request = SampleRequest(
        prompt="",
        negative_prompt=negative,
        seed=seed,
        steps=settings.preview_steps,
        cfg_scale=settings.preview_cfg_scale,
        width=settings.preview_width or settings.width,
        height=settings.preview_height or settings.height,
        sampler=settings.preview_sampler,
        guidance_rescale=settings.preview_guidance_rescale,
    )
    prompts = _shown_prompts(run, step_prompt)
    if not strengths:
        return [[(1.0, replace(request, prompt=prompt))] for prompt in prompts]
    painted = [[(each, *at_strength(prompt, negative, run.name, each)) for each in strengths] for prompt in prompts]
    return [
        [(strength, replace(request, prompt=text, negative_prompt=without)) for strength, text, without in of_prompt]
        for of_prompt in painted
    ]


def _paint(run: Run, requests: Sequence[SampleRequest]) -> list[Image.Image] | None:
    """None where memory ran out even for one at a time: that is no reason to end a training."""
    height, width = latent_size(run.sd, requests[0])
    at_once = max(1, run.memory.fit.need.painted_pixels // (height * width))
    try:
        return sample_images(run.sd, requests, run.prompt_vectors(run.state.output_vectors), run.stop, batch=at_once)
    except TooLittleMemory:
        return None
