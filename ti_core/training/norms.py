"""Keeps trained vectors in the range of the checkpoint's own words: a soft pull of their length, or their direction
alone.

Rates that learn fast make vectors ten times as long as any word, and long vectors drown the rest of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.models.stable_diffusion import StableDiffusion

SOFT_PULL = 0.1
"""How far a soft pull goes at each update, as a power: 0.1 takes a vector that is 10 times too long to 7.9 times."""
RANGE = (0.05, 0.95)
"""Which shares of the vocabulary's words are shorter than the two ends of the range that the chart shows."""


@dataclass(frozen=True)
class NormControl:
    """What a run does about the length of its vectors, and the mean length of the checkpoint's words for each text
    encoder.

    `mode` is one of NORM_CONTROLS in settings/train.py. Directional Textual Inversion (arXiv 2512.13672) holds the
    mean and trains the direction alone.
    """

    mode: str
    mean: Mapping[str, float]
    usual: tuple[float, float] = (0.0, 0.0)
    """Between which lengths nine of ten words of the first text encoder lie."""

    @torch.no_grad()
    def turn_only(self, vectors: Mapping[str, Tensor]) -> None:
        """Before the optimizer's step: take from each gradient the part that only makes its vector longer or
        shorter.
        """
        if self.mode != "direction only":
            return
        for rows in vectors.values():
            assert rows.grad is not None, "turn_only comes after the gradient"
            units = torch.nn.functional.normalize(rows, dim=1)
            rows.grad -= (rows.grad * units).sum(1, keepdim=True) * units

    @torch.no_grad()
    def hold(self, vectors: Mapping[str, Tensor]) -> None:
        """Bring the vectors' lengths, in place, to the mean or nearer to it. Zeros have no direction and stay."""
        if self.mode == "none":
            return
        for encoder, rows in vectors.items():
            ratio = self.mean[encoder] / rows.norm(dim=1, keepdim=True)
            rows.mul_(
                torch.where(
                    ratio.isfinite(),
                    ratio if self.mode == "direction only" else ratio**SOFT_PULL,
                    torch.ones_like(ratio),
                )
            )


def norm_control(mode: str, sd: StableDiffusion) -> NormControl:
    """The control of that mode, with the mean lengths of the checkpoint's own words."""
    lengths = word_lengths(sd)
    first = next(iter(lengths.values())).cpu()
    low, high = torch.quantile(first[first > 0], torch.tensor(RANGE)).tolist()
    return NormControl(mode, {name: float(of_words.mean()) for name, of_words in lengths.items()}, (low, high))


def word_lengths(sd: StableDiffusion) -> dict[str, Tensor]:
    """For each text encoder the lengths of its words' vectors, float32 [tokens]."""
    tables = (encoder.get_input_embeddings().weight for encoder in sd.text_encoders)
    return {name: table.detach().float().norm(dim=1) for name, table in zip(sd.family.encoders, tables, strict=True)}


@torch.no_grad()
def move_average(average: Mapping[str, Tensor], vectors: Mapping[str, Tensor], decay: float, step: int) -> None:
    """The running average (EMA) after update `step`, in place; the first ones count less, so that the start soon
    counts for nothing.
    """
    kept = min(decay, (1 + step) / (10 + step))
    for encoder, rows in average.items():
        rows.lerp_(vectors[encoder], 1 - kept)
