"""A negative word, from pictures that one dislikes: it stands in the negative prompt, where guidance leads away from
what it predicts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.models.sampler import guide
from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.settings.strength import NEGATIVE_STRENGTHS
from ti_core.training.kinds.kind import NAME, Asked, Beside, TrainingKind, bare
from ti_core.training.noise_loss import MicroBatch, NoisyImages, against_noise, predict, target_for


@dataclass(frozen=True)
class PlainNegativeWord(TrainingKind):
    """Inversion of bad pictures: the word learns their noise as any word learns that of its own pictures, but alone,
    as it stands in a negative prompt.
    """

    strengths = NEGATIVE_STRENGTHS
    shown_strength = -1.0
    guidance: float = 7.0
    """The CFG scale with which the word is meant to be used."""

    def lines(self, of_template: Sequence[str]) -> list[str]:
        return [f"[filewords], {NAME}"]

    def ask(self, drawn: Sequence[str], name: str, draw: Callable[[int], random.Random]) -> Asked:
        return Asked([name] * len(drawn), ([bare(line) for line in drawn],))

    def ask_without(self, asked: Asked, drawn: Sequence[str]) -> Asked:
        return Asked([""] * len(drawn), asked.beside)

    def compare(
        self, sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning, beside: Beside
    ) -> tuple[Tensor, Tensor]:
        return against_noise(sd, images, batch, conditioning)

    def probes(self, things: Sequence[str]) -> list[tuple[str, str, str]]:
        return [(f"a photo of a person, {thing}", "a photo of a person", NAME) for thing in things]

    def preview(self, thing: str) -> str:
        return f"a photo of a person, {thing}, {NAME}"


class GuidedNegativeWord(PlainNegativeWord):
    """Classifier-free guidance inside the loss, with the word in the negative place and the caption as the prompt, as
    DreamArtist trains its pair (arXiv 2211.11337). The guided prediction for a noisy bad picture is to point as far
    away from it as the prompt alone misses it: the word learns what is bad beyond the caption, and no more than that.
    """

    def compare(
        self, sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning, beside: Beside
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            prompt = predict(sd, images, batch, beside.conditionings[0]).float()
        word = predict(sd, images, batch, conditioning).float()
        bad = target_for(sd, images, batch).float()
        # divided by what guidance multiplies the word with, so that the loss is as large as that of other words
        size = self.guidance - 1
        return guide(word, prompt, self.guidance, 0.0) / size, away_from(bad, prompt) / size


def away_from(bad: Tensor, prompt: Tensor) -> Tensor:
    """What the guided prediction should be: the bad picture's own, mirrored at that of the prompt, [k, c, h, w]."""
    return 2 * prompt - bad
