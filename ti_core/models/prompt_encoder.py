"""Prompts to conditioning. An embedding's name in a prompt is replaced by its vectors at the token embedding: the one way in.

Captions are text: brackets are not emphasis. Long prompts become several chunks of 75 tokens, as in A1111.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ti_core.models.checkpoint import StableDiffusion


@dataclass(frozen=True)
class Slot:
    """One token position that takes row `row` of the vectors of embedding `name`."""

    name: str
    row: int


Token = int | Slot


class PromptEncoder:
    """Encodes prompts with one checkpoint; gradients flow to the vectors given to `encode`."""

    def __init__(self, sd: StableDiffusion) -> None:
        self.sd = sd
        self.chunk = sd.text_encoder.config.max_position_embeddings - 2

    def tokenize(self, prompt: str, counts: Mapping[str, int]) -> list[Token]:
        """Token ids of the prompt without start and end; each whole-word name (any case) becomes its slots.

        `counts` maps embedding names to their number of vectors; longer names win.
        """
        if not counts:
            return self._ids(prompt)
        by_name = {name.lower(): name for name in counts}
        names = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
        tokens: list[Token] = []
        for i, part in enumerate(re.split(rf"(?<!\w)({names})(?!\w)", prompt, flags=re.IGNORECASE)):
            name = by_name[part.lower()] if i % 2 else ""
            tokens.extend([Slot(name, row) for row in range(counts[name])] if name else self._ids(part))
        return tokens

    def _ids(self, text: str) -> list[Token]:
        text = re.sub(r"\\([()\[\]])", r"\1", text)  # taggers write \( for A1111, where a bare bracket is emphasis
        return list(self.sd.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

    def chunks(self, tokens: Sequence[Token]) -> list[list[Token]]:
        """Pieces of at most 75 tokens, at least one; an embedding that does not fit moves whole to the next piece."""
        pieces: list[list[Token]] = [[]]
        i = 0
        while i < len(tokens):
            end = i + 1
            while end < len(tokens) and isinstance(token := tokens[end], Slot) and token.row:
                end += 1
            group = list(tokens[i:end])
            if len(pieces[-1]) + len(group) > self.chunk and pieces[-1]:
                pieces.append([])
            pieces[-1].extend(group[: self.chunk])
            i = end
        return pieces

    def encode(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> Tensor:
        """Conditioning, float32 [prompts, 77 x chunks, width], in one pass of the text encoder over the different prompts.

        Shorter prompts are filled up with empty chunks. `vectors` maps names to [n, width].
        """
        different = list(dict.fromkeys(prompts))
        counts = {name: len(rows) for name, rows in vectors.items()}
        pieces = [self.chunks(self.tokenize(prompt, counts)) for prompt in different]
        most = max(len(p) for p in pieces)
        rows = [self._row(piece) for p in pieces for piece in [*p, *([[]] * (most - len(p)))]]
        ids = torch.tensor([[token if isinstance(token, int) else 0 for token in row] for row in rows], device=self.sd.device)
        with self._inserted(rows, vectors):
            hidden = self.sd.text_encoder(ids)[0]
        encoded = hidden.reshape(len(different), -1, hidden.shape[-1])
        index = torch.tensor([different.index(prompt) for prompt in prompts], device=self.sd.device)
        return encoded[index]

    def _row(self, piece: Sequence[Token]) -> list[Token]:
        """Start token, the piece, end token, padding: exactly 77."""
        tokenizer = self.sd.tokenizer
        row = [tokenizer.bos_token_id, *piece, tokenizer.eos_token_id]
        return row + [tokenizer.pad_token_id] * (self.chunk + 2 - len(row))

    @contextmanager
    def _inserted(self, rows: list[list[Token]], vectors: Mapping[str, Tensor]) -> Iterator[None]:
        """For one pass, put the vectors at the slots of the token embedding's output."""
        places = [(i, j, token) for i, row in enumerate(rows) for j, token in enumerate(row) if isinstance(token, Slot)]
        if not places:
            yield
            return
        at = (torch.tensor([p[0] for p in places]), torch.tensor([p[1] for p in places]))
        values = torch.stack([vectors[slot.name][slot.row] for _, _, slot in places])

        def replace_rows(module: Any, inputs: Any, output: Tensor) -> Tensor:
            return output.index_put(tuple(i.to(output.device) for i in at), values.to(output))

        handle = self.sd.text_encoder.get_input_embeddings().register_forward_hook(replace_rows)
        try:
            yield
        finally:
            handle.remove()
