"""The embeddings in embeddings/, of every format: the list, which of them a prompt names, and what may be done with
one.

torch is loaded only by the functions that open a file, so that the page is built without it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.checkpoints.library import WRITABLE, embedding_suffix, find_checkpoint, folders_below, optimizer_file
from ti_core.errors import UserError
from ti_core.settings.prompts import split_at_names
from ti_core.workspace import Workspace, clean_embedding_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ti_core.embeddings.embedding import Embedding

SUFFIXES = (".pt", ".safetensors", ".bin", ".png", ".webp")
"""In this order of preference behind the format that training writes."""
PICTURES = (".png", ".webp")
CONVERTED = "outputs/embeddings"


@dataclass(frozen=True)
class StoredEmbedding:
    """A file of embeddings/ and what it holds; `problem` says why it cannot be read."""

    path: Path
    name: str
    embedding: Embedding | None
    problem: str = ""

    @property
    def content(self) -> Embedding:
        """What it holds. Raises UserError if it cannot be read."""
        if self.embedding is None:
            raise UserError(self.problem)
        return self.embedding

    @property
    def hash(self) -> str:
        """A1111's short hash of the file, 12 hex digits (A1111 1.10.1, textual_inversion.py: Embedding,
        create_embedding).
        """
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]


def stored_embeddings(workspace: Workspace) -> list[StoredEmbedding]:
    """Every embedding file below embeddings/, by name. A picture that carries no embedding is none, nor is A1111's
    `<name>.preview.png`; other unreadable files are listed.
    """
    found = []
    for path in (folder / name for folder, names in folders_below(workspace.embeddings, set()) for name in names):
        suffix = path.suffix.lower()
        is_thumbnail = suffix in PICTURES and path.stem.lower().endswith(".preview")
        if suffix not in SUFFIXES or is_thumbnail or not path.is_file() or not (state := path.stat()).st_size:
            continue
        embedding, problem = _load(path, state.st_mtime_ns, state.st_size)
        if embedding is not None or suffix not in PICTURES:
            name = embedding.name if embedding is not None and suffix in PICTURES else path.stem
            found.append(StoredEmbedding(path, name, embedding, problem))
    return sorted(found, key=_order)


def _order(stored: StoredEmbedding) -> tuple[Any, ...]:
    """By name; of one name first the file nearest to embeddings/, and there the one that training goes on with and
    writes.
    """
    suffix = stored.path.suffix.lower()
    is_trained = stored.embedding is not None and suffix == embedding_suffix(tuple(stored.embedding.vectors))
    return stored.name.lower(), len(stored.path.parts), not is_trained, SUFFIXES.index(suffix)


@functools.lru_cache(maxsize=10_000)
def _load(path: Path, modified_ns: int, size: int) -> tuple[Embedding | None, str]:
    """Kept until the file changes, because the page asks again and again."""
    from ti_core.embeddings.formats import load_embedding

    try:
        return load_embedding(path), ""
    except UserError as error:
        return None, str(error)


def find_stored(file: str, workspace: Workspace) -> StoredEmbedding:
    """The embedding of a path below embeddings/, or of a name. Raises UserError if there is none, or if it cannot
    be read.
    """
    listed = stored_embeddings(workspace)
    exact = [stored for stored in listed if stored.path.relative_to(workspace.embeddings).as_posix() == file]
    named = exact or [stored for stored in listed if stored.name == file]
    if found := next((stored for stored in named if stored.embedding is not None), None):
        return found
    if named:
        raise UserError(named[0].problem)
    if not file:
        raise UserError("No embedding is chosen.", "Choose one in the list.")
    raise UserError(
        f"Embedding '{file}' is not in embeddings/.",
        f"Choose one of: {', '.join(dict.fromkeys(s.name for s in listed)) or 'none yet'}.",
    )


@dataclass(frozen=True)
class NamedIn:
    """The embeddings that a text names: `vectors` by name and text encoder, `hashes` of their files, and a sentence
    for each that cannot be used.
    """

    vectors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def hashes_in(self, *texts: str) -> dict[str, str]:
        """Of those that these texts name."""
        named = {name for text in texts for name, _ in split_at_names(text, self.hashes)}
        return {name: digest for name, digest in self.hashes.items() if name in named}

    def on(self, device: torch.device) -> NamedIn:
        """The same with the vectors there."""
        return replace(
            self,
            vectors={
                name: {encoder: rows.to(device) for encoder, rows in found.items()}
                for name, found in self.vectors.items()
            },
        )


def named_in(texts: Iterable[str], workspace: Workspace, widths: Mapping[str, int], own: str = "") -> NamedIn:
    """The embeddings whose names stand in the texts, for a model whose text encoders take vectors of those `widths`.

    `own` is a name that means something else there: the word that is being trained.
    """
    from ti_core.embeddings.embedding import shown_widths

    usable: dict[str, StoredEmbedding] = {}
    problems: dict[str, str] = {}
    for stored in stored_embeddings(workspace):
        if stored.name.lower() == own.lower() or stored.name in usable:
            continue
        if stored.embedding is None:
            problems.setdefault(stored.name, stored.problem)
        elif stored.embedding.vectors_for(widths) is None:
            theirs, ours = shown_widths(stored.embedding.widths), shown_widths(widths)
            problem = (
                f"'{stored.name}' was trained for another model (vectors of {theirs} numbers, not {ours}), so it stays"
                " a plain word here."
            )
            problems.setdefault(stored.name, problem)
        else:
            usable[stored.name] = stored
    names = dict.fromkeys(
        name for name, _ in split_at_names("\n".join(dict.fromkeys(texts)), [own, *usable, *problems])
    )
    found = [usable[name] for name in names if name in usable]
    left_out = [problems[name] for name in names if name in problems and name not in usable]
    vectors = {stored.name: stored.content.vectors_for(widths) or {} for stored in found}
    return NamedIn(vectors, {stored.name: stored.hash for stored in found}, left_out)


# ---- what can be done with one


def convert(file: str, suffix: str, workspace: Workspace) -> Path:
    """A copy in the format of the suffix, in outputs/embeddings/: in embeddings/ there would be two of one name.
    Raises UserError.
    """
    from ti_core.embeddings.formats import save_embedding

    if suffix not in WRITABLE:
        raise UserError(f"'{suffix[:40]}' is no format of embeddings.", f"Choose one of: {', '.join(WRITABLE)}.")
    stored = find_stored(file, workspace)
    return save_embedding(
        workspace.root / CONVERTED / f"{stored.name}{suffix}", replace(stored.content, name=stored.name)
    )


def rename(file: str, new_name: str, workspace: Workspace) -> Path:
    """Give an embedding another name, and its optimizer state with it. Raises UserError, with nothing changed, if
    the name is taken.

    A picture shows its name, so it is not renamed.
    """
    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    if stored.path.suffix.lower() in PICTURES:
        raise UserError(
            f"'{stored.path.name}' is a picture that shows the name '{stored.name}'.",
            "Convert it to .pt, put that into embeddings/, and rename it.",
        )
    target = stored.path.with_name(name + stored.path.suffix)
    if (
        stored.path.suffix.lower() == ".pt"
    ):  # holds its name; the others are called as their files are, and may hold more, such as a LoRA
        _save(target, stored.content, name)
        stored.path.unlink()
    else:
        stored.path.rename(target)
    state = optimizer_file(stored.path)
    if state.is_file():
        state.rename(optimizer_file(target))
    return target


def repair_norm(file: str, new_name: str, checkpoint: str, workspace: Workspace) -> Path:
    """A new embedding whose vectors have the mean length of the checkpoint's own words. Raises UserError."""
    from ti_core.embeddings.merge import with_norm

    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    norms = _norms_for(stored, vocabulary_norms(checkpoint, workspace), checkpoint)
    return _save(_new_file(name, stored.content, workspace), with_norm(stored.content, norms), name)


def merge_stored(files: Sequence[str], mode: str, weights: str, new_name: str, workspace: Workspace) -> Path:
    """A new embedding out of several; `weights` is a text such as 0.7, 0.3, used in the mode weighted. Raises
    UserError.
    """
    from ti_core.embeddings.merge import merge, parse_weights

    name = new_embedding_name(new_name, workspace)
    merged = merge(
        [find_stored(file, workspace).content for file in files],
        mode,
        parse_weights(weights) if mode == "weighted" else (),
        name,
    )
    return _save(_new_file(name, merged, workspace), merged, name)


def new_embedding_name(text: str, workspace: Workspace) -> str:
    """The typed name, made safe. Raises UserError if an embedding of that name exists, in any case and format."""
    name = clean_embedding_name(text)
    if name.lower() in {stored.name.lower() for stored in stored_embeddings(workspace)}:
        raise UserError(f"An embedding called '{name}' exists already.", "Choose another name.")
    return name


def _new_file(name: str, embedding: Embedding, workspace: Workspace) -> Path:
    return workspace.embeddings / f"{name}{embedding_suffix(tuple(embedding.vectors))}"


def _save(path: Path, embedding: Embedding, name: str) -> Path:
    from ti_core.embeddings.formats import save_embedding

    return save_embedding(path, replace(embedding, name=name))


# ---- beside a checkpoint's vocabulary


def vocabulary_norms(checkpoint: str, workspace: Workspace) -> dict[str, tuple[float, int]]:
    """For each text encoder the mean length of the vectors of the checkpoint's own words, and their width. Raises
    UserError.
    """
    path = find_checkpoint(checkpoint, workspace).path
    return _vocabulary_norms(checkpoint, workspace, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _vocabulary_norms(checkpoint: str, workspace: Workspace, modified_ns: int) -> dict[str, tuple[float, int]]:
    from ti_core.models.token_tables import load_token_tables

    tables = load_token_tables(checkpoint, workspace)
    return {encoder: (float(table.norm(dim=1).mean()), table.shape[1]) for encoder, (_, table) in tables.items()}


def _norms_for(stored: StoredEmbedding, norms: Mapping[str, tuple[float, int]], checkpoint: str) -> dict[str, float]:
    """The checkpoint's norm for each encoder of the embedding. Raises UserError if it was trained for another model."""
    from ti_core.embeddings.embedding import shown_widths

    widths = {encoder: width for encoder, (_, width) in norms.items()}
    if stored.content.vectors_for(widths) is None:
        raise UserError(
            f"'{stored.name}' has vectors of {shown_widths(stored.content.widths)} numbers, and the words of"
            f" {checkpoint} have {shown_widths(widths)}.",
            "Choose the checkpoint that it was trained with, at the top of the page.",
        )
    return dict(zip(stored.content.vectors, (norm for norm, _ in norms.values()), strict=True))


def nearest_words(file: str, checkpoint: str, workspace: Workspace, count: int = 6) -> list[list[tuple[str, float]]]:
    """For each vector the words of the checkpoint that point most nearly the same way, with their cosine, best
    first; for SDXL first those of its first text encoder's vectors, then those of the second's.

    Raises UserError if the checkpoint's vectors have another length.
    """
    from ti_core.models.token_tables import load_token_tables

    stored = find_stored(file, workspace)
    _norms_for(stored, vocabulary_norms(checkpoint, workspace), checkpoint)
    found = []
    for rows, (tokenizer, table) in zip(
        stored.content.vectors.values(), load_token_tables(checkpoint, workspace).values(), strict=True
    ):
        cosines = (rows @ table.T) / (rows.norm(dim=1, keepdim=True) * table.norm(dim=1)).clamp_min(1e-12)
        cosines[:, tokenizer.all_special_ids] = -2.0
        best = cosines.topk(min(4 * count, cosines.shape[1]), dim=1)
        found += [
            _words(tokenizer, ids.tolist(), values.tolist(), count)
            for ids, values in zip(best.indices, best.values, strict=True)
        ]
    return found


def _words(tokenizer: Any, ids: Sequence[int], cosines: Sequence[float], count: int) -> list[tuple[str, float]]:
    """Each text once; pieces inside of words and whole words read the same, and pieces of letters (U+FFFD) are left
    out.
    """
    words: dict[str, float] = {}
    for token, cosine in zip(ids, cosines, strict=True):
        word = tokenizer.decode([token]).strip()
        if word and word.isprintable() and "\ufffd" not in word:
            words.setdefault(word, cosine)
    return list(words.items())[:count]


def table_rows(workspace: Workspace, checkpoint: str) -> list[list[str]]:
    """What the Embeddings tab lists: file, model family, vectors, step, norm, mean norm of the checkpoint's words,
    checkpoint.
    """
    from ti_core.embeddings.describe import describe

    try:
        of_words = vocabulary_norms(checkpoint, workspace)
    except UserError:
        of_words = {}
    rows = []
    for stored in stored_embeddings(workspace):
        file = stored.path.relative_to(workspace.embeddings).as_posix()
        if stored.embedding is None:
            rows.append([file, "cannot be read", "", "", "", "", stored.problem])
            continue
        facts: Mapping[str, Any] = describe(stored.embedding)
        norms = facts["norms"]
        spread = (
            f"{min(norms):.3g}"
            if max(norms) - min(norms) <= 0.005 * max(norms)
            else f"{min(norms):.3g} to {max(norms):.3g}"
        )
        fits = stored.embedding.vectors_for({encoder: width for encoder, (_, width) in of_words.items()}) is not None
        words = " + ".join(f"{norm:.3g}" for norm, _ in of_words.values()) if fits else "–"
        step = "–" if facts["step"] is None else str(facts["step"])
        rows.append([file, facts["family"], str(facts["vectors"]), step, spread, words, facts["checkpoint"] or "–"])
    return rows
