"""The one object for a trained word, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.errors import UserError

CHUNK = 75
"""Tokens of a prompt that the text encoders read together, and so of one word."""
MAX_VECTORS = 4 * CHUNK
MAX_WIDTH = 16_384
ENCODER_OF_FIRST_FORMAT = "clip_l"
"""The name under which vectors of one encoder are kept where the file does not say whose they are."""
SDXL_ENCODERS = ("clip_l", "clip_g")


@dataclass(frozen=True)
class Embedding:
    """`vectors` maps an encoder's name (`clip_l`) to a float32 tensor [vectors, width]; `step` counts completed
    updates.

    `checkpoint_hash` is A1111's short hash (10 hex digits) of the checkpoint it was last trained on, if it was.
    `notes` are sentences about what a file held besides, and what was left out of it.
    """

    name: str
    vectors: dict[str, Tensor]
    step: int | None = 0
    checkpoint_hash: str | None = None
    checkpoint_name: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many tokens it takes in a prompt."""
        return len(next(iter(self.vectors.values())))

    @property
    def plain(self) -> dict[str, Tensor]:
        """The vectors as files hold them: on the CPU, without a graph, and without what else shares their memory."""
        return {
            encoder: rows.detach().float().cpu().clone(memory_format=torch.contiguous_format)
            for encoder, rows in self.vectors.items()
        }

    @property
    def widths(self) -> dict[str, int]:
        return {encoder: rows.shape[1] for encoder, rows in self.vectors.items()}

    def vectors_for(self, widths: Mapping[str, int]) -> dict[str, Tensor] | None:
        """The vectors under the names of a model's text encoders, None if they are of other widths: then it was
        trained for another model.
        """
        if list(self.widths.values()) != list(widths.values()):
            return None
        return dict(zip(widths, self.vectors.values(), strict=True))

    @property
    def norms(self) -> dict[str, list[float]]:
        """Length of each vector; the words of a model's own vocabulary have about 0.3 to 0.4 in Stable Diffusion 1."""
        return {encoder: rows.norm(dim=1).tolist() for encoder, rows in self.vectors.items()}


def shown_widths(widths: Mapping[str, int]) -> str:
    """For a sentence: 768, or 768 + 1280."""
    return " + ".join(str(width) for width in widths.values())


def checked_vectors(rows: Tensor, where: str) -> Tensor:
    """float32 [vectors, width] from what a file held; UserError if it is no list of finite vectors. `where` names
    the file.
    """
    if rows.is_nested or rows.is_meta or rows.layout is not torch.strided:
        raise UserError(f"'{where}' holds a tensor that is no plain table of numbers.", "Choose another file.")
    if rows.ndim == 1:
        rows = rows[None]
    if (
        not rows.is_floating_point()
        or rows.ndim != 2
        or not 1 <= len(rows) <= MAX_VECTORS
        or not 1 <= rows.shape[1] <= MAX_WIDTH
    ):
        raise UserError(
            f"'{where}' holds a tensor of shape {list(rows.shape)}, which is no list of vectors.",
            "Choose another file.",
        )
    rows = rows.detach().to("cpu", torch.float32)
    if not bool(rows.isfinite().all()):
        raise UserError(
            f"'{where}' holds vectors that are not finite numbers: its training failed.", "Use an earlier copy."
        )
    return rows


def initial_rows(token_rows: Sequence[Tensor] | Tensor, vectors: int, width: int) -> Tensor:
    """First value of a new embedding, float32 [vectors, width] (A1111 1.10.1, textual_inversion.py: Embedding,
    create_embedding).

    `token_rows` are the token-embedding rows of the initialization text, [tokens, width]; row i of n is token
    floor(i * tokens / n). No tokens give zeros.
    """
    if len(token_rows) == 0:
        return torch.zeros(vectors, width)
    return torch.stack([token_rows[i * len(token_rows) // vectors].detach().float() for i in range(vectors)])
