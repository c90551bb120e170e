"""How well a word obeys: how much of their effect other words keep in a prompt beside it.

A word that overtrains paints its training pictures whatever else is asked for. Painting would show it and takes
minutes; here the UNet's prediction tells it in a few passes. For each of some things, the change that naming the thing
makes to the prediction beside the word is laid along the change that it makes without the word: 1 is all of it, 0 none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.errors import Interrupted
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.sampler import guide
from ti_core.models.transfer import to_device
from ti_core.settings.strength import without_word
from ti_core.training.kinds.kind import TrainingKind
from ti_core.training.noise_loss import NoisyImages, micro_batches, predict
from ti_core.training.run import Run
from ti_core.training.step_inputs import generator_for

OF_A_SUBJECT = (
    "a photo of [name], pink background",
    "a photo of [name], wearing a top hat",
    "a photo of [name], green shirt",
    "a sketch of [name]",
    "a photo of [name], wearing a santa hat",
    "a photo of [name], brick background",
    "a painting of [name]",
    "a photo of [name], yellow shirt",
)
THINGS = (
    "pink background",
    "wearing a top hat",
    "green shirt",
    "wearing a santa hat",
    "brick background",
    "yellow shirt",
    "wearing a cap",
    "black shirt",
)
OF_A_STYLE = (
    "a house in the style of [name]",
    "a cat in the style of [name]",
    "a red car in the style of [name]",
    "a forest in the style of [name]",
    "a woman in the style of [name]",
    "a beach in the style of [name]",
    "a table in the style of [name]",
    "a city at night in the style of [name]",
)
"""Clothes, places and ways to paint, or what a style is laid on: plain things which every checkpoint knows, those of a
subject the Portraits model too.
"""
PLAIN_SUBJECT, PLAIN_STYLE = "a photo of [name]", "a picture in the style of [name]"
MOST_PROBES = len(OF_A_SUBJECT)


@dataclass(frozen=True)
class Probe:
    """A prompt that asks for a thing and the same one without the thing, with `[name]` in both, and the number of the
    picture on whose noisy latents they are compared. `negative` is the negative prompt of a word that stands there.
    """

    asking: str
    plain: str
    image: int
    negative: str = ""


def probes_for(
    lines: Sequence[str], images: Sequence[int], count: int, kind: TrainingKind | None = None
) -> list[Probe]:
    """So many of the prompts, those of the kind of word, or of a style where the template's lines teach one, on
    pictures taken in turn.
    """
    if kind and (prompts := kind.probes(THINGS)):
        return [Probe(*prompts[i][:2], images[i * len(images) // count], prompts[i][2]) for i in range(count)]
    is_style = any("style of [name]" in line for line in lines)
    asking, plain = (OF_A_STYLE, PLAIN_STYLE) if is_style else (OF_A_SUBJECT, PLAIN_SUBJECT)
    return [Probe(asking[i], plain, images[i * len(images) // count]) for i in range(count)]


def obedience_of(effects: Sequence[Tensor], free: Sequence[Tensor]) -> list[float]:
    """For each thing the part of its effect without the word (`free`) that it has beside the word (`effects`), both
    [c, h, w], on the scale of the mean effect, so that a thing which does little counts for little. All 1 where
    nothing has an effect.
    """
    scale = sum(torch.stack([one.square().sum() for one in free]).tolist()) / len(free)
    if not scale:
        return [1.0] * len(free)
    shared = torch.stack([(one * other).sum() for one, other in zip(effects, free, strict=True)])
    return [part / scale for part in shared.tolist()]


@torch.no_grad()
def effects_of(run: Run, probes: Sequence[Probe], rows: Mapping[str, Tensor] | None) -> list[Tensor]:
    """How naming each thing changes the prediction, float32 [c, h, w], beside the word with these vectors, or, with
    None, in the same prompts without the word. Raises Interrupted between two micro-batches.

    The noise is always the same, and timesteps lie evenly over the noisier half, where prompts decide about a picture.
    """
    sd, latents, count = run.sd, run.latents, len(probes)
    generator = generator_for(run.settings.seed, "obedience", 0)
    images = [probe.image for probe in probes]
    clean = [latents.mean[i] for i in images]
    noise = to_device([torch.randn(one.shape, generator=generator) for one in clean], sd.device)
    timesteps = ((0.5 + (torch.arange(count) + 0.5) / count / 2) * len(sd.alphas_cumprod)).long()
    sizes = torch.tensor([latents.sizes[i] for i in images])
    timesteps, sizes = to_device([timesteps.repeat(2), sizes.repeat(2, 1)], sd.device)
    noisy = NoisyImages(
        clean=clean * 2,
        noise=noise * 2,
        timesteps=timesteps,
        sizes=sizes,
        weight=[latents.weight[i] for i in images] * 2,
    )
    prompts = [probe.asking for probe in probes] + [probe.plain for probe in probes]
    predictions = _predictions(run, noisy, prompts, rows)
    if any(probe.negative for probe in probes):  # each as guided away from the negative prompt, the plain one without
        negative = _predictions(run, noisy, [probe.negative for probe in probes] + [""] * count, rows)
        scale = run.settings.negative_guidance
        predictions = [guide(without, one, scale, 0.0) for without, one in zip(negative, predictions, strict=True)]
    return [asking - plain for asking, plain in zip(predictions[:count], predictions[count:], strict=True)]


def _predictions(
    run: Run, noisy: NoisyImages, prompts: Sequence[str], rows: Mapping[str, Tensor] | None
) -> list[Tensor]:
    """float32 [c, h, w] for each prompt, with these vectors for the word, or, with None, without it."""
    vectors = run.others.vectors if rows is None else run.prompt_vectors(rows)
    named = [prompt.replace("[name]", run.name) if rows is not None else without_word(prompt) for prompt in prompts]
    conditioning = PromptEncoder(run.sd).encode(named, vectors)
    found: list[Tensor] = [torch.empty(0)] * len(prompts)
    for batch in micro_batches(noisy, run.memory.micro_batch):
        if run.stop.is_set():
            raise Interrupted
        for index, one in zip(batch.indices, predict(run.sd, noisy, batch, conditioning).float(), strict=True):
            found[index] = one
    return found
