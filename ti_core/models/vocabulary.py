"""An embedding beside the words of a checkpoint's own vocabulary: their mean norm, the words nearest to a vector."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ti_core.checkpoints.library import find_checkpoint
from ti_core.embeddings.actions import file_of_new, save_as
from ti_core.embeddings.embedding import shown_widths
from ti_core.embeddings.folder import StoredEmbedding, find_stored
from ti_core.embeddings.merge import with_norm
from ti_core.embeddings.names import new_embedding_name
from ti_core.errors import UserError
from ti_core.workspace import Workspace


def vocabulary_norms(checkpoint: str, workspace: Workspace) -> dict[str, tuple[float, int]]:
    """For each text encoder the mean L2 norm of the token embeddings of the checkpoint's own words, and their width.
    Raises UserError if there is no such checkpoint, or if it cannot be used.
    """
    path = find_checkpoint(checkpoint, workspace).path
    return _vocabulary_norms(checkpoint, workspace, path.stat().st_mtime_ns)


def norms_if_known(checkpoint: str, workspace: Workspace) -> dict[str, tuple[float, int]]:
    """`vocabulary_norms`, empty for a checkpoint that cannot be used."""
    try:
        return vocabulary_norms(checkpoint, workspace)
    except UserError:
        return {}


@functools.lru_cache(maxsize=16)
def _vocabulary_norms(checkpoint: str, workspace: Workspace, modified_ns: int) -> dict[str, tuple[float, int]]:
    from ti_core.models.token_tables import load_token_tables  # loads torch, which the page is built without

    tables = load_token_tables(checkpoint, workspace)
    return {encoder: (float(table.norm(dim=1).mean()), table.shape[1]) for encoder, (_, table) in tables.items()}


def _norms_for(stored: StoredEmbedding, norms: Mapping[str, tuple[float, int]], checkpoint: str) -> dict[str, float]:
    """The checkpoint's norm for each encoder of the embedding. Raises UserError if it was trained for another model."""
    widths = {encoder: width for encoder, (_, width) in norms.items()}
    if stored.content.vectors_for(widths) is None:
        raise UserError(
            f"'{stored.name}' has vectors of {shown_widths(stored.content.widths)} numbers, and the words of"
            f" {checkpoint} have {shown_widths(widths)}.",
            "Choose the checkpoint that it was trained with, at the top of the page.",
        )
    return dict(zip(stored.content.vectors, (norm for norm, _ in norms.values()), strict=True))


def nearest_words(file: str, checkpoint: str, workspace: Workspace, count: int = 6) -> list[list[tuple[str, float]]]:
    """For each vector the `count` words of the checkpoint with the highest cosine similarity, best first, as (word,
    cosine). For SDXL the vectors of its first text encoder come first, then those of the second.

    Raises UserError if the checkpoint's vectors have another width.
    """
    from ti_core.models.token_tables import load_token_tables

    stored = find_stored(file, workspace)
    _norms_for(stored, vocabulary_norms(checkpoint, workspace), checkpoint)
    found = []
    for rows, (tokenizer, table) in zip(
        stored.content.vectors.values(), load_token_tables(checkpoint, workspace).values(), strict=True
    ):
        cosines = (rows @ table.T) / (rows.norm(dim=1, keepdim=True) * table.norm(dim=1)).clamp_min(1e-12)
        cosines[:, tokenizer.all_special_ids] = -2.0  # below every cosine, so that none of them is listed
        best = cosines.topk(min(4 * count, cosines.shape[1]), dim=1)
        found += [
            _words(tokenizer, ids.tolist(), values.tolist(), count)
            for ids, values in zip(best.indices, best.values, strict=True)
        ]
    return found


def _words(tokenizer: Any, ids: Sequence[int], cosines: Sequence[float], count: int) -> list[tuple[str, float]]:
    """The decoded tokens, each text once: a token inside of words and one that ends a word decode to the same text.
    Parts of a letter (U+FFFD) are left out.
    """
    words: dict[str, float] = {}
    for token, cosine in zip(ids, cosines, strict=True):
        word = tokenizer.decode([token]).strip()
        if word and word.isprintable() and "\ufffd" not in word:
            words.setdefault(word, cosine)
    return list(words.items())[:count]


def repair_norm(file: str, new_name: str, checkpoint: str, workspace: Workspace) -> Path:
    """Save a new embedding whose vectors have the mean norm of the checkpoint's own words. Raises UserError."""
    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    norms = _norms_for(stored, vocabulary_norms(checkpoint, workspace), checkpoint)
    return save_as(file_of_new(name, stored.content, workspace), with_norm(stored.content, norms), name)
