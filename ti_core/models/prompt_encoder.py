"""Prompts to conditioning. An embedding's name in a prompt is replaced by its vectors at the token embedding: the
one way in.

Captions are text: brackets are emphasis only where it is asked for, in what is painted. Long prompts become several
chunks of 75 tokens, as in A1111.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.models.transfer import to_device
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

        order = [different.index(prompt) for prompt in prompts]
        ids, slots, in_order = self._sent(chunks, order)
        named = self._vectors_sent(vectors, {name for name, _ in slots.embeddings})
        hidden: list[Tensor] = []
        pooled: list[Tensor] = []
        for index, name in enumerate(self.sd.family.encoders):
            states, outputs = self._encode_with(index, ids[index], slots, named[name])
            states = emphasized(states, weights)
            hidden.append(states.reshape(len(different), -1, states.shape[-1]))
            pooled.extend(output.reshape(len(different), most, -1)[:, 0] for output in outputs)

        conditioning = Conditioning(torch.cat(hidden, dim=-1), tuple(pooled))
        return conditioning if order == list(range(len(different))) else conditioning[in_order.to(self.sd.device)]

    def most_chunks(self, prompts: Sequence[str], vectors: Vectors) -> int:
        """How many chunks the longest of the prompts has, brackets being emphasis."""
        counts = {name: len(next(iter(rows.values()))) for name, rows in vectors.items()}
        return max((len(self._weighted_chunks(prompt, counts)) for prompt in dict.fromkeys(prompts)), default=1)

    def _sent(self, chunks: Sequence[Sequence[Token]], order: list[int]) -> tuple[list[Tensor], _Slots, Tensor]:
        """In one copy to where the text encoders work: the ids of each, int64 [chunks, 77], where the vectors go, and
        the order of the prompts.
        """
        of_encoders = [[self._row(piece, i) for piece in chunks] for i in range(len(self.sd.text_encoders))]
        places = [
            _Place(token, i, j)
            for i, row in enumerate(of_encoders[0])
            for j, token in enumerate(row)
            if isinstance(token, Slot)
        ]
        # Whole embeddings, from the last to the first: in this order the gradients of one that stands often are summed
        embeddings: list[list[_Place]] = []
        for place in places:
            if not place.slot.row:
                embeddings.append([])
            embeddings[-1].append(place)
        embeddings.reverse()
        in_turn = list(chain.from_iterable(embeddings))
        numbers = [
            *([[token if isinstance(token, int) else 0 for token in row] for row in rows] for rows in of_encoders),
            [place.chunk for place in in_turn],
            [place.token for place in in_turn],
            order,
        ]
        *ids, at_chunk, at_token, in_order = to_device(
            [torch.tensor(of_one, dtype=torch.int64) for of_one in numbers], self.sd.encoding_device
        )
        counts = [(group[0].slot.name, len(group)) for group in embeddings]
        return ids, _Slots(counts, (at_chunk, at_token)), in_order

    def _vectors_sent(self, vectors: Vectors, names: Set[str]) -> dict[str, dict[str, Tensor]]:
        """Text encoder -> name -> the rows of the named embeddings, where the text encoders work, in one copy. So their
        gradients come back in one as well.
        """
        encoders, device = self.sd.family.encoders, self.sd.encoder_device
        keys = [(encoder, name) for encoder in encoders for name in sorted(names)]
        away = [key for key in keys if vectors[key[1]][key[0]].device != device]
        sent = to_device([vectors[name][encoder] for encoder, name in away], device)
        there = dict(zip(away, sent, strict=True))
        return {
            encoder: {name: there.get((encoder, name), vectors[name][encoder]) for name in names}
            for encoder in encoders
        }

    def _encode_with(
        self, index: int, ids: Tensor, slots: _Slots, vectors: Mapping[str, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Of one text encoder, on the model's device: hidden states, float32 [chunks, 77, width], and pooled outputs,
        [chunks, width] each.
        """
        encoder = self.sd.encoder_at_work(index)
        with _inserted(encoder, slots, vectors):
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
    factors = torch.ones(*states.shape[:2], 1)
    for i, of_chunk in enumerate(weights):
        factors[i, 1 : len(of_chunk) + 1, 0] = torch.tensor(of_chunk)
    (factors,) = to_device([factors.to(states.dtype)], states.device)
    weighed = list(states)
    for i, of_chunk in enumerate(weights):
        if all(weight == 1 for weight in of_chunk):
            continue
        before, after = states[i], states[i] * factors[i]
        means = before.mean(), after.mean()
        is_restored = torch.minimum(means[0].abs(), means[1].abs()) >= LEAST_MEAN * before.std()
        divisor = torch.where(is_restored, means[1], 1.0)  # else a mean of 0 would make the gradient of no use
        weighed[i] = after * torch.where(is_restored, means[0] / divisor, 1.0)
    return torch.stack(weighed)


class _Place(NamedTuple):
    """Where a slot stands: its chunk, and its token in it."""

    slot: Slot
    chunk: int
    token: int


@dataclass(frozen=True)
class _Slots:
    """Each embedding's name and how many of its rows stand there, every time that it stands in a prompt; and where, on
    the text encoders' device: chunk and token of each row, int64 [rows].
    """

    embeddings: Sequence[tuple[str, int]]
    at: tuple[Tensor, Tensor]

    def values(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """The rows, float32 [rows, width]."""
        whole = (vectors[name] for name, _ in self.embeddings)
        return torch.cat(
            [
                rows if count == len(rows) else rows[:count]
                for rows, (_, count) in zip(whole, self.embeddings, strict=True)
            ]
        )


@contextmanager
def _inserted(
    encoder: CLIPTextModel | CLIPTextModelWithProjection, slots: _Slots, vectors: Mapping[str, Tensor]
) -> Iterator[None]:
    """For one pass, put the vectors, [n, width] by embedding's name, at the slots of the token embedding's output,
    [chunks, 77, width]; the gradient goes to them.
    """
    if not slots.embeddings:
        yield
        return
    values = slots.values(vectors)

    def replace_rows(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.index_put(slots.at, values.to(output))

    handle = encoder.get_input_embeddings().register_forward_hook(replace_rows)
    try:
        yield
    finally:
        handle.remove()
