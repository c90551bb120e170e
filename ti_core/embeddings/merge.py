"""New embeddings out of old ones: appended, averaged, summed with weights, joined from the two halves of SDXL, or
with another norm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ti_core.embeddings.embedding import CHUNK, SDXL_ENCODERS, Embedding, shown_widths
from ti_core.errors import UserError, shown_number

if TYPE_CHECKING:
    from torch import Tensor

MERGE_MODES = ("concatenate", "average", "weighted", "slerp")
WITH_WEIGHTS = ("weighted", "slerp")


def merge(embeddings: Sequence[Embedding], mode: str, weights: Sequence[float] = (), name: str = "merged") -> Embedding:
    """One embedding out of several. `concatenate` appends the vectors of all; `average` and `weighted` sum vector i
    of each, and `slerp` turns vector i of the first towards that of the second, so all need the same number of
    vectors.

    `weights`, one for each embedding, are used as given and need not sum to 1; of slerp only their shares count, and
    without any both count the same. The merged step is None; the
    checkpoint is kept if all have the same. Raises UserError with the numbers when they do not fit together.
    """
    import torch

    # What can be known without a tensor is checked first, so that the errors name numbers and not shapes.
    check_choice(len(embeddings), mode, weights)
    _check_widths(embeddings)
    if mode == "concatenate":
        _check_total(embeddings)
        vectors = {encoder: torch.cat([e.vectors[encoder] for e in embeddings]) for encoder in embeddings[0].vectors}
    elif mode == "slerp":
        _check_counts(embeddings)
        first, second = weights or (1.0, 1.0)
        vectors = {
            encoder: _slerp(rows, embeddings[1].vectors[encoder], second / (first + second))
            for encoder, rows in embeddings[0].vectors.items()
        }
    else:
        _check_counts(embeddings)
        factors = weights if mode == "weighted" else [1 / len(embeddings)] * len(embeddings)
        vectors = {
            encoder: _weighted_sum([e.vectors[encoder] for e in embeddings], factors)
            for encoder in embeddings[0].vectors
        }
    return Embedding(
        name,
        vectors,
        None,
        _shared([e.checkpoint_hash for e in embeddings]),
        _shared([e.checkpoint_name for e in embeddings]),
    )


def join(first: Embedding, second: Embedding) -> Embedding:
    """One SDXL embedding out of diffusers' two files, given in any order; name (its token), step and checkpoint
    are the first one's. Raises UserError if they are no such pair.
    """
    vectors = {**first.vectors, **second.vectors}
    if set(vectors) != set(SDXL_ENCODERS) or len(first.vectors) != 1 or len(second.vectors) != 1:
        raise UserError(
            f"'{first.name}' ({shown_widths(first.widths)} numbers a vector) and '{second.name}'"
            f" ({shown_widths(second.widths)}) are not the two files of one SDXL embedding.",
            "Choose diffusers' learned_embeds (768) and learned_embeds_2 (1280), or use merge.",
        )
    if first.count != second.count:
        raise UserError(
            f"'{first.name}' has {first.count} vectors and '{second.name}' has {second.count}.",
            "Choose two files of the same training.",
        )
    ordered = {encoder: vectors[encoder] for encoder in SDXL_ENCODERS}
    return Embedding(
        first.token or first.name,
        ordered,
        first.step,
        first.checkpoint_hash,
        first.checkpoint_name,
        first.notes + second.notes,
    )


def with_norm(embedding: Embedding, target_norm: float | Mapping[str, float]) -> Embedding:
    """The embedding with every vector rescaled to the L2 norm `target_norm`, or to that of its encoder where a mapping
    is given. This repairs a word that is too strong for the rest of the prompt to count.

    The mean norm of a model's own vocabulary is a good target (about 0.3 to 0.4 in Stable Diffusion 1). Raises
    UserError for a vector of zeros, which points nowhere.
    """
    targets = {
        encoder: target_norm[encoder] if isinstance(target_norm, Mapping) else target_norm
        for encoder in embedding.vectors
    }
    scaled = {}
    for encoder, rows in embedding.vectors.items():
        if not (math.isfinite(targets[encoder]) and targets[encoder] > 0):
            raise UserError(f"Norm is {targets[encoder]}.", "Give a number above 0, such as 0.4.")
        # In float64, so that the result has the target norm to the last digit of float32.
        norms = rows.double().norm(dim=1, keepdim=True)
        if not bool(norms.all()):
            number = int((norms == 0).flatten().nonzero()[0]) + 1
            raise UserError(
                f"Vector {number} of '{embedding.name}' is all zeros, so it cannot be given a length.",
                "Train it first.",
            )
        scaled[encoder] = (rows.double() / norms * targets[encoder]).float()
    return Embedding(
        embedding.name, scaled, embedding.step, embedding.checkpoint_hash, embedding.checkpoint_name, embedding.notes
    )


# ---- checks


def check_choice(count: int, mode: str, weights: Sequence[float]) -> None:
    """What can be said without opening a file: the number of embeddings, the mode and the weights. Raises UserError."""
    if mode not in MERGE_MODES:
        raise UserError(f"Mode is '{mode}'.", f"Choose one of: {', '.join(MERGE_MODES)}.", field="mode")
    if count < 2:
        raise UserError(
            f"Merging needs two or more embeddings, and there {'is 1' if count == 1 else 'are none'}.",
            "Choose one more.",
            field="merged",
        )
    if mode == "slerp" and count != 2:
        raise UserError(
            f"slerp mixes two embeddings, and there are {count}.", "Choose two, or the mode average.", field="merged"
        )
    if mode not in WITH_WEIGHTS and weights:
        raise UserError(
            f"Weights are given, but the mode is '{mode}'.",
            "Choose weighted or slerp, or leave the weights out.",
            field="weights",
        )
    if (mode == "weighted" or weights) and len(weights) != count:
        raise UserError(
            f"There are {count} embeddings, but {len(weights)} weights.",
            "Give one weight for each embedding, such as 0.7, 0.3.",
            field="weights",
        )
    if not all(math.isfinite(weight) for weight in weights):
        raise UserError(
            f"Weights are {', '.join(map(str, weights))}.", "Give finite numbers, such as 0.7, 0.3.", field="weights"
        )
    if mode == "slerp" and weights and (min(weights) < 0 or sum(weights) <= 0):
        raise UserError(
            f"Weights are {', '.join(map(str, weights))}.",
            "For slerp give two from 0 on, such as 0.7, 0.3.",
            field="weights",
        )


def _check_widths(embeddings: Sequence[Embedding]) -> None:
    if any(e.widths != embeddings[0].widths for e in embeddings):
        listed = ", ".join(f"'{e.name}' has {shown_widths(e.widths)}" for e in embeddings)
        raise UserError(
            f"The embeddings are for different models: numbers a vector: {listed}.",
            "Merge embeddings of one family of models.",
        )


def parse_weights(text: str) -> list[float]:
    """The numbers of a text such as "0.7, 0.3", or "0,7; 0,3". Raises UserError."""
    if ";" in text:  # then a comma is a decimal one
        pieces = text.replace(",", ".").split(";")
    elif re.fullmatch(r"\s*\d*,\d+(\s*,?\s+\d*,\d+)+\s*", text):  # 0,7 0,3 or 0,7, 0,3
        pieces = [piece.replace(",", ".") for piece in re.split(r",?\s+", text.strip())]
    else:
        pieces = text.split(",")
    try:
        return [float(piece) for piece in pieces]
    except ValueError:
        raise UserError(
            f"Weights are '{text}'.",
            "Type one number for each embedding, separated by commas, such as 0.7, 0.3.",
            field="weights",
        ) from None


def _check_counts(embeddings: Sequence[Embedding]) -> None:
    if any(e.count != embeddings[0].count for e in embeddings):
        listed = ", ".join(f"'{e.name}' has {e.count}" for e in embeddings)
        raise UserError(
            f"The embeddings have different numbers of vectors: {listed}.",
            "Use the mode concatenate, or embeddings with the same number.",
        )


def _check_total(embeddings: Sequence[Embedding]) -> None:
    total = sum(e.count for e in embeddings)
    if total > CHUNK:
        raise UserError(
            f"Together they have {total} vectors, but a word with more than {CHUNK} is not read to its end.",
            "Merge fewer of them.",
        )


def _weighted_sum(rows: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of rows[i] * weights[i], each [vectors, width]; in float64, so that rounding does not depend on the order
    or the number of the embeddings.
    """
    import torch

    total = torch.stack([r.double() * weight for r, weight in zip(rows, weights, strict=True)]).sum(dim=0).float()
    if not bool(total.isfinite().all()):
        raise UserError(
            f"With the weights {', '.join(shown_number(w) for w in weights)} the sum is no finite number.",
            "Give smaller weights.",
        )
    return total


def _slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Each row of `first` [vectors, width] turned by `share`, 0 to 1, of the angle towards that of `second`
    (Shoemake 1985, section 3.3); its length goes from the one to the other evenly. A straight line where there is no
    angle, or no one way to turn.
    """
    import torch

    one, other = first.double(), second.double()
    lengths = [rows.norm(dim=1, keepdim=True) for rows in (one, other)]
    cosine = (one * other).sum(dim=1, keepdim=True) / (lengths[0] * lengths[1]).clamp(min=1e-30)
    angle = cosine.clamp(-1, 1).acos()
    straight = (1 - share) * one + share * other
    units = [rows / length.clamp(min=1e-30) for rows, length in zip((one, other), lengths, strict=True)]
    turned = (((1 - share) * angle).sin() * units[0] + (share * angle).sin() * units[1]) / angle.sin().clamp(min=1e-30)
    turned = turned * ((1 - share) * lengths[0] + share * lengths[1])
    has_way = (angle.sin() > 1e-6) & (lengths[0] > 0) & (lengths[1] > 0)
    return torch.where(has_way, turned, straight).float()


def _shared(values: Sequence[str | None]) -> str | None:
    return values[0] if all(value == values[0] for value in values) else None
