"""A slider word: the prediction with the word at a strength is to be the neutral one plus the strength times the
difference of more and less (Concept Sliders, arXiv 2311.12092, eq. 8; as an embedding: Prompt Sliders, 2409.16535).

No picture is imitated: pictures only say at which noisy latents the predictions are compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.settings.strength import SLIDER_STRENGTHS, weighed
from ti_core.training.kinds.kind import NAME, Asked, Beside, TrainingKind, bare
from ti_core.training.noise_loss import MicroBatch, NoisyImages, predict

TRAINED_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Those of the training, so that emphasis acts as a strength; at 0 the word is not in the prompt."""
ALONE_SHARE = 0.25
"""How many of the trained prompts hold the word alone, as a negative prompt does."""


@dataclass(frozen=True)
class SliderWord(TrainingKind):
    """`reach` is how many differences of more and less strength 1 goes."""

    reach: float = 1.0
    strengths = SLIDER_STRENGTHS
    uses_captions = False

    def lines(self, of_template: Sequence[str]) -> list[str]:
        return [self.word.slider_line]

    @property
    def texts(self) -> list[str]:
        return [self.word.more, self.word.less, self.word.keep]

    @property
    def kept(self) -> list[str]:
        """What must stay as it is; each is added to a part of the prompts, so that the difference is none of it."""
        return [kept for piece in self.word.keep.split(",") if (kept := piece.strip())]

    def ask(self, drawn: Sequence[str], name: str, draw: Callable[[int], random.Random]) -> Asked:
        trained, neutral, more, less, strengths = [], [], [], [], []
        for index, line in enumerate(drawn):
            rng = draw(index)
            strength, is_alone = rng.choice(TRAINED_STRENGTHS), rng.random() < ALONE_SHARE
            plain = ", ".join(filter(None, [bare(line), rng.choice(self.kept) if self.kept else ""]))
            word = weighed(name, strength)
            trained.append(word if is_alone else f"{plain}, {word}")
            neutral.append("" if is_alone else plain)
            more.append(f"{plain}, {self.word.more}")
            less.append(f"{plain}, {self.word.less}" if self.word.less else plain)
            strengths.append(strength)
        return Asked(trained, (neutral, more, less), tuple(strengths), emphasis=True)

    def ask_without(self, asked: Asked, drawn: Sequence[str]) -> Asked:
        return Asked(asked.beside[0], asked.beside, asked.strengths, emphasis=True)

    def compare(
        self, sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning, beside: Beside
    ) -> tuple[Tensor, Tensor]:
        # one after the other: together they would need three times the memory
        with torch.no_grad():
            neutral, more, less = (predict(sd, images, batch, each).float() for each in beside.conditionings)
        strength = beside.strengths[batch.rows].view(-1, 1, 1, 1)
        return predict(sd, images, batch, conditioning), slider_target(neutral, more, less, strength * self.reach)

    def probes(self, things: Sequence[str]) -> list[tuple[str, str, str]]:
        on = bare(self.word.on.replace("[filewords]", "").strip(" ,"))
        return [(f"{on}, {thing}, {NAME}", f"{on}, {NAME}", "") for thing in things]

    def preview(self, thing: str) -> str:
        on = self.word.on.replace("[filewords]", "").strip(" ,")
        return f"{on}, {thing}, {NAME}"


def slider_target(neutral: Tensor, more: Tensor, less: Tensor, strength: Tensor) -> Tensor:
    """What the word's prediction should be, from predictions [k, c, h, w] and strengths [k, 1, 1, 1]."""
    return neutral + strength * (more - less)
