"""Prompts to conditioning. An embedding's name in a prompt is replaced by its vectors at the token embedding: the
one way in.

Captions are text: brackets are emphasis only where it is asked for, in what is painted. Long prompts become several
chunks of 75 tokens, as in A1111.
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
from ti_core.settings.emphasis import parse_emphasis
from ti_core.settings.prompts import split_at_names


@dataclass(frozen=True)
class Slot:
    """One token position that takes row `row` of the vectors of embedding `name`."""

    name: str
    row: int


Token = int | Slot
LEAST_MEAN = 0.02
"""Of the standard deviation: a smaller mean is noise, by which nothing can be scaled."""
Vectors = Mapping[str, Mapping[str, Tensor]]
"""Embedding's name -> text encoder's name -> float32 [n, width]; each text encoder of the checkpoint has its own."""


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
        return [[tokens[i] for i in piece] for piece in self._chunk_indices(tokens)]

    def _chunk_indices(self, tokens: Sequence[Token]) -> list[list[int]]:
        """Which tokens each piece holds."""
        pieces: list[list[int]] = [[]]
        i = 0
        while i < len(tokens):
            end = i + 1
            while end < len(tokens) and isinstance(token := tokens[end], Slot) and token.row:
                end += 1
            group = list(range(i, end))
            if len(pieces[-1]) + len(group) > self.chunk and pieces[-1]:
                pieces.append([])
            pieces[-1].extend(group[: self.chunk])
            i = end
        return pieces

    def _weighted_chunks(self, prompt: str, counts: Mapping[str, int]) -> list[tuple[list[Token], list[float]]]:
        """The chunks of a prompt with emphasis, and the weight of each of their tokens. Pieces of different weight are
        tokenized one by one, as in A1111.
        """
        weighted = [(t, weight) for text, weight in parse_emphasis(prompt) for t in self.tokenize(text, counts)]
        tokens, weights = [token for token, _ in weighted], [weight for _, weight in weighted]
        return [([tokens[i] for i in at], [weights[i] for i in at]) for at in self._chunk_indices(tokens)]

    def encode(
        self, prompts: Sequence[str], vectors: Vectors, at_least: int = 1, emphasis: bool = False
    ) -> Conditioning:
        """Conditioning of the prompts, in their order and on the model's device, in one pass of each text encoder over
        the different ones; shorter prompts are filled up with empty chunks, and all to `at_least` so many.

        Hidden states of several text encoders lie side by side; the pooled outputs are those of the first chunk.
        Which layer they come from is the family's (models/families/). With `emphasis`, brackets weigh (`emphasized`).
        """
        different = list(dict.fromkeys(prompts))
        counts = {name: len(next(iter(rows.values()))) for name, rows in vectors.items()}
        if emphasis:
            pieces = [self._weighted_chunks(prompt, counts) for prompt in different]
        else:
            pieces = [[(chunk, []) for chunk in self.chunks(self.tokenize(prompt, counts))] for prompt in different]
        most = max(at_least, *(len(p) for p in pieces))
        filled = [piece for p in pieces for piece in [*p, *([([], [])] * (most - len(p)))]]
        chunks, weights = [chunk for chunk, _ in filled], [weight for _, weight in filled]

        hidden: list[Tensor] = []
        pooled: list[Tensor] = []
        for index, name in enumerate(self.sd.family.encoders):
            rows = {embedding: by_encoder[name] for embedding, by_encoder in vectors.items()}
            states, outputs = self._encode_with(index, chunks, rows)
            states = emphasized(states, weights)
            hidden.append(states.reshape(len(different), -1, states.shape[-1]))
            pooled.extend(output.reshape(len(different), most, -1)[:, 0] for output in outputs)

        order = torch.tensor([different.index(prompt) for prompt in prompts], device=self.sd.device)
        return Conditioning(torch.cat(hidden, dim=-1), tuple(pooled))[order]

    def most_chunks(self, prompts: Sequence[str], vectors: Vectors) -> int:
        """How many chunks the longest of the prompts has, brackets being emphasis."""
        counts = {name: len(next(iter(rows.values()))) for name, rows in vectors.items()}
        return max((len(self._weighted_chunks(prompt, counts)) for prompt in dict.fromkeys(prompts)), default=1)

    def _encode_with(
        self, index: int, chunks: Sequence[Sequence[Token]], vectors: Mapping[str, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Of one text encoder, on the model's device: hidden states, float32 [chunks, 77, width], and pooled outputs,
        [chunks, width] each.
        """
        encoder, device = self.sd.text_encoders[index], self.sd.encoder_device
        rows = [self._row(piece, index) for piece in chunks]
        ids = torch.tensor([[token if isinstance(token, int) else 0 for token in row] for row in rows], device=device)
        with _inserted(encoder, rows, vectors):
            states, pooled = self.sd.family.encode(encoder, ids, self.sd.clip_skip)
        return states.to(self.sd.device), tuple(output.to(self.sd.device) for output in pooled)

    def _row(self, piece: Sequence[Token], index: int) -> list[Token]:
        """Start token, the piece, end token, padding: exactly 77."""
        tokenizer = self.sd.tokenizers[index]
        row = [tokenizer.bos_token_id, *piece, tokenizer.eos_token_id]
        return row + [tokenizer.pad_token_id] * (self.chunk + 2 - len(row))


def emphasized(states: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """Hidden states of one text encoder, [chunks, 77, width], with each token's multiplied by its weight, and each
    chunk then scaled so that its mean is what it was (A1111 1.10.1, sd_emphasis.py: EmphasisOriginal).

    `weights` are those of each chunk's tokens without start, end and padding, which keep theirs; a chunk of weight 1
    stays bit for bit.

    A mean near 0, as that of a text encoder whose last layer leaves none, is not restored: the scale would be noise.
    Pooled outputs have no tokens to weigh, and stay as they are, as in A1111.
    """
    if all(weight == 1 for of_chunk in weights for weight in of_chunk):
        return states
    weighed = list(states)
    for i, of_chunk in enumerate(weights):
        if all(weight == 1 for weight in of_chunk):
            continue
        factors = torch.ones(states.shape[1], 1)
        factors[1 : len(of_chunk) + 1, 0] = torch.tensor(of_chunk)
        before, after = states[i], states[i] * factors.to(states)
        least = LEAST_MEAN * float(before.detach().std())
        means = before.detach().mean(), after.detach().mean()
        is_restored = min(abs(float(mean)) for mean in means) >= least
        weighed[i] = after * (before.mean() / after.mean()) if is_restored else after
    return torch.stack(weighed)


@contextmanager
def _inserted(
    encoder: CLIPTextModel | CLIPTextModelWithProjection, rows: list[list[Token]], vectors: Mapping[str, Tensor]
) -> Iterator[None]:
    """For one pass, put the vectors, [n, width] by embedding's name, at the slots of the token embedding's output,
    [chunks, 77, width]; the gradient goes to them.
    """
    slots = [(i, j, token) for i, row in enumerate(rows) for j, token in enumerate(row) if isinstance(token, Slot)]
    if not slots:
        yield
        return
    at = (torch.tensor([i for i, _, _ in slots]), torch.tensor([j for _, j, _ in slots]))
    values = torch.stack([vectors[slot.name][slot.row] for _, _, slot in slots])

    def replace_rows(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.index_put(tuple(i.to(output.device) for i in at), values.to(output))

    handle = encoder.get_input_embeddings().register_forward_hook(replace_rows)
    try:
        yield
    finally:
        handle.remove()
