"""Keeps trained vectors in the range of the checkpoint's own words: a soft pull of their length, or their direction alone.

Textual Inversion with A1111's rates makes vectors ten times as long as any word, and long vectors drown the rest of the prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor

PULL = 0.1
"""How much of the way (in logarithms) a soft pull goes at each update: `rows *= (norm / length) ** PULL`."""


def mean_norm(table: Tensor) -> float:
    """Mean length of a token table's rows, [tokens, width]."""
    return float(table.detach().float().norm(dim=1).mean())


@torch.no_grad()
def to_tangent(rows: Tensor, gradient: Tensor) -> Tensor:
    """The gradient less its part along each row, both [n, width]: what is left turns the vectors and does not lengthen them."""
    units = torch.nn.functional.normalize(rows, dim=1)
    return gradient - (gradient * units).sum(1, keepdim=True) * units


@torch.no_grad()
def hold_norm(rows: Tensor, norm: float, mode: str) -> None:
    """After an update, in place: `soft pull` brings each row's length nearer to `norm`, `direction only` makes it exactly that, `none` does nothing.

    Rows of zeros have no direction and stay as they are. Directional Textual Inversion (arXiv 2512.13672) holds the vocabulary's mean.
    """
    if mode == "none":
        return
    lengths = rows.norm(dim=1, keepdim=True)
    ratio = torch.where(lengths > 0, norm / lengths.clamp_min(1e-12), torch.ones_like(lengths))
    rows.mul_(ratio if mode == "direction only" else ratio**PULL)
