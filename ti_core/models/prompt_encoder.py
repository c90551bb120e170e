"""Prompts to conditioning. An embedding's name in a prompt is replaced by its vectors at the token embedding: the
one way in.

Captions are text: brackets are not emphasis. Long prompts become several chunks of 75 tokens, as in A1111.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.settings.prompts import split_at_names


@dataclass(frozen=True)
class Slot:
    """One token position that takes row `row` of the vectors of embedding `name`."""

    name: str
    row: int


Token = int | Slot
Vectors = Mapping[str, Mapping[str, Tensor]]
"""Embedding's name -> text encoder's name -> [n, width]; every text encoder of the checkpoint has its own rows."""


class PromptEncoder:
    """Encodes prompts with one checkpoint; gradients flow to the vectors given to `encode`."""

    def __init__(self, sd: StableDiffusion) -> None:
        self.sd = sd
        self.chunk = sd.text_encoders[0].config.max_position_embeddings - 2

    def tokenize(self, prompt: str, counts: Mapping[str, int]) -> list[Token]:
        """Token ids of the prompt without start and end; each whole-word name (any case) becomes its slots.

        `counts` maps embedding names to their number of vectors; longer names win.
        """
        tokens: list[Token] = []
        for name, part in split_at_names(prompt, counts):
            tokens.extend([Slot(name, row) for row in range(counts[name])] if name else self._ids(part))
        return tokens

    def _ids(self, text: str) -> list[Token]:
        return list(self.sd.tokenizers[0](text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

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

    def encode(self, prompts: Sequence[str], vectors: Vectors, at_least: int = 1) -> Conditioning:
        """Conditioning in one pass of each text encoder over the different prompts; shorter prompts are filled up
        with empty chunks, and all to `at_least` so many.

        Stable Diffusion 1 and 2 are told the last layer but `clip_skip` - 1, normalised. SDXL is told the last
        layer but one of both encoders side by side, and the second encoder's own summary of the first chunk.
        """
        different = list(dict.fromkeys(prompts))
        counts = {name: len(next(iter(rows.values()))) for name, rows in vectors.items()}
        pieces = [self.chunks(self.tokenize(prompt, counts)) for prompt in different]
        most = max(at_least, *(len(p) for p in pieces))
        chunks = [piece for p in pieces for piece in [*p, *([[]] * (most - len(p)))]]
        hidden, pooled = [], None
        for place, name in enumerate(self.sd.family.encoders):
            rows = {embedding: by_encoder[name] for embedding, by_encoder in vectors.items()}
            words, summary = self._encode_with(place, chunks, rows)
            hidden.append(words.reshape(len(different), -1, words.shape[-1]))
            pooled = None if summary is None else summary.reshape(len(different), most, -1)[:, 0]
        index = torch.tensor([different.index(prompt) for prompt in prompts], device=self.sd.device)
        return Conditioning(torch.cat(hidden, dim=-1), pooled)[index]

    def _encode_with(
        self, place: int, chunks: Sequence[Sequence[Token]], vectors: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Float32 [chunks, 77, width] of one text encoder, and [chunks, width] of the one that summarises."""
        encoder, device = self.sd.text_encoders[place], self.sd.encoder_device
        rows = [self._row(piece, place) for piece in chunks]
        ids = torch.tensor([[token if isinstance(token, int) else 0 for token in row] for row in rows], device=device)
        with _inserted(encoder, rows, vectors):
            out = encoder(ids, output_hidden_states=self.sd.is_sdxl or self.sd.clip_skip > 1)
        if self.sd.is_sdxl:
            summary = out.text_embeds.to(self.sd.device) if isinstance(encoder, CLIPTextModelWithProjection) else None
            return out.hidden_states[-2].to(self.sd.device), summary
        if self.sd.clip_skip == 1:
            return out.last_hidden_state.to(self.sd.device), None
        skipped = out.hidden_states[-min(self.sd.clip_skip, len(out.hidden_states) - 1)]
        return encoder.final_layer_norm(skipped).to(self.sd.device), None

    def _row(self, piece: Sequence[Token], place: int) -> list[Token]:
        """Start token, the piece, end token, padding: exactly 77."""
        tokenizer = self.sd.tokenizers[place]
        row = [tokenizer.bos_token_id, *piece, tokenizer.eos_token_id]
        return row + [tokenizer.pad_token_id] * (self.chunk + 2 - len(row))


@contextmanager
def _inserted(
    encoder: CLIPTextModel | CLIPTextModelWithProjection, rows: list[list[Token]], vectors: Mapping[str, Tensor]
) -> Iterator[None]:
    """For one pass, put the vectors at the slots of the token embedding's output."""
    places = [(i, j, token) for i, row in enumerate(rows) for j, token in enumerate(row) if isinstance(token, Slot)]
    if not places:
        yield
        return
    at = (torch.tensor([p[0] for p in places]), torch.tensor([p[1] for p in places]))
    values = torch.stack([vectors[slot.name][slot.row] for _, _, slot in places])

    def replace_rows(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.index_put(tuple(i.to(output.device) for i in at), values.to(output))

    handle = encoder.get_input_embeddings().register_forward_hook(replace_rows)
    try:
        yield
    finally:
        handle.remove()
