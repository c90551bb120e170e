"""The one object for a trained word, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ti_core.settings.word_kind import ORDINARY_WORD, WordKind

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 75
"""Tokens of a prompt that the text encoders read together, and so of one word."""
MAX_VECTORS = 4 * CHUNK
"""A file with more vectors for one word is refused."""
MAX_WIDTH = 16_384
"""Numbers in a vector; Stable Diffusion's text encoders have 768 to 1280."""
BUNDLE = "bundle_emb."
"""Prefix of the embeddings inside a LoRA: `bundle_emb.<name>.clip_l`, or `bundle_emb.<name>.string_to_param.*`."""
ENCODER_OF_FIRST_FORMAT = "clip_l"
"""The name under which vectors of one encoder are kept where the file does not say whose they are."""
KIND_KEY = "word_kind"
"""Under which a file keeps what the word is for. Other programs read past it."""
SDXL_ENCODERS = ("clip_l", "clip_g")
"""SDXL's two text encoders, of width 768 and 1280, in the order of its own files."""


@dataclass(frozen=True)
class Embedding:
    """A trained word. `vectors` maps a text encoder's name (`clip_l`) to a float32 tensor [vectors, width]; `step`
    counts completed updates.

    `checkpoint_hash` is A1111's short hash (10 hex digits) of the checkpoint it was last trained on, if it was.
    `notes` are sentences about what a file held besides, and what was left out of it. `token` is the word that
    diffusers' trainer was told to teach, where the file is not called by it. `kind` says what the word is for.
    """

    name: str
    vectors: dict[str, Tensor]
    step: int | None = 0
    checkpoint_hash: str | None = None
    checkpoint_name: str | None = None
    notes: tuple[str, ...] = ()
    token: str = ""
    kind: WordKind = ORDINARY_WORD

    @property
    def count(self) -> int:
        """Number of its vectors, which is how many tokens it takes in a prompt."""
        return len(next(iter(self.vectors.values())))

    @property
    def plain(self) -> dict[str, Tensor]:
        """The vectors as files hold them, float32 [vectors, width] by encoder: on the CPU, detached, contiguous, and
        in memory of their own, because torch.save would write all that shares it.
        """
        import torch

        return {
            encoder: rows.detach().float().cpu().clone(memory_format=torch.contiguous_format)
            for encoder, rows in self.vectors.items()
        }

    @property
    def widths(self) -> dict[str, int]:
        """Numbers in a vector, by encoder."""
        return {encoder: rows.shape[1] for encoder, rows in self.vectors.items()}

    def vectors_for(self, widths: Mapping[str, int]) -> dict[str, Tensor] | None:
        """The vectors under the names of a model's text encoders, whose `widths` are given in the model's order;
        None if the widths differ, because then it was trained for another model.
        """
        if list(self.widths.values()) != list(widths.values()):
            return None
        return dict(zip(widths, self.vectors.values(), strict=True))

    @property
    def norms(self) -> dict[str, list[float]]:
        """L2 norm of each vector, by encoder; the words of Stable Diffusion 1's own vocabulary have 0.3 to 0.4."""
        return {encoder: rows.norm(dim=1).tolist() for encoder, rows in self.vectors.items()}


def shown_widths(widths: Mapping[str, int]) -> str:
    """For a sentence: 768, or 768 + 1280."""
    return " + ".join(str(width) for width in widths.values())


def initial_rows(token_rows: Sequence[Tensor] | Tensor, vectors: int, width: int) -> Tensor:
    """First value of a new embedding, float32 [vectors, width] (A1111 1.10.1, textual_inversion.py:
    create_embedding).

    `token_rows` are the token-embedding rows of the initialization text, [tokens, width]; vector i of n is the row
    of token floor(i * tokens / n). No tokens give zeros.
    """
    import torch

    if len(token_rows) == 0:
        return torch.zeros(vectors, width)
    return torch.stack([token_rows[i * len(token_rows) // vectors].detach().float() for i in range(vectors)])
