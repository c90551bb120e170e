"""The embeddings in embeddings/, of every format: the list, which of them a prompt names, and what may be done with one.

torch is loaded only by the functions that open a file, so that the page is built without it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.errors import UserError
from ti_core.workspace import Workspace, clean_name

if TYPE_CHECKING:
    from torch import Tensor

    from ti_core.embeddings.embedding import Embedding

SUFFIXES = (".pt", ".safetensors", ".bin", ".png", ".webp")
"""In this order of preference: the first file of a name is the one that is used."""
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
    def hash(self) -> str:
        """A1111's short hash of the file, 12 hex digits (reference 3.1)."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]


def stored_embeddings(workspace: Workspace) -> list[StoredEmbedding]:
    """Every embedding file below embeddings/, by name. A picture that carries no embedding is none; other unreadable files are listed."""
    folder = workspace.embeddings
    files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file() and p.stat().st_size]
    found = []
    for path in files:
        state = path.stat()
        embedding, problem = _load(path, state.st_mtime_ns, state.st_size)
        if embedding is not None or path.suffix.lower() not in PICTURES:
            name = embedding.name if embedding is not None and path.suffix.lower() in PICTURES else path.stem
            found.append(StoredEmbedding(path, name, embedding, problem))
    return sorted(found, key=lambda stored: (stored.name.lower(), len(stored.path.parts), SUFFIXES.index(stored.path.suffix.lower())))


@functools.lru_cache(maxsize=512)
def _load(path: Path, modified_ns: int, size: int) -> tuple[Embedding | None, str]:
    """Kept until the file changes, because the page asks again and again."""
    from ti_core.embeddings.formats import load_embedding

    try:
        return load_embedding(path), ""
    except UserError as error:
        return None, str(error)


def find_stored(file: str, workspace: Workspace) -> StoredEmbedding:
    """The embedding of a path below embeddings/, or of a name. Raises UserError if there is none, or if it cannot be read."""
    listed = stored_embeddings(workspace)
    for stored in listed:
        if file in (stored.path.relative_to(workspace.embeddings).as_posix(), stored.name):
            if stored.embedding is None:
                raise UserError(stored.problem)
            return stored
    if not file:
        raise UserError("No embedding is chosen.", "Choose one in the list.")
    raise UserError(f"Embedding '{file}' is not in embeddings/.", f"Choose one of: {', '.join(dict.fromkeys(s.name for s in listed)) or 'none yet'}.")


def named_in(prompts: Sequence[str], workspace: Workspace, width: int) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """The embeddings whose name is a whole word of a prompt, in any case: vectors by name, file hash by name, and a sentence for each
    that a model with vectors of length `width` cannot use."""
    vectors: dict[str, Tensor] = {}
    hashes: dict[str, str] = {}
    left_out: dict[str, str] = {}
    text = "\n".join(prompts)
    for stored in stored_embeddings(workspace):
        if stored.name in vectors or not re.search(rf"(?<!\w){re.escape(stored.name)}(?!\w)", text, re.IGNORECASE):
            continue
        if stored.embedding is None:
            left_out[stored.name] = stored.problem
        elif list(stored.embedding.widths.values()) != [width]:
            widths = " + ".join(str(w) for w in stored.embedding.widths.values())
            left_out[stored.name] = f"'{stored.name}' was trained for another model (vectors of {widths} numbers, not {width}), so it stays a plain word here."
        else:
            (vectors[stored.name],) = stored.embedding.vectors.values()
            hashes[stored.name] = stored.hash
    return vectors, hashes, [sentence for name, sentence in left_out.items() if name not in vectors]


# ---- what can be done with one


def convert(file: str, suffix: str, workspace: Workspace) -> Path:
    """A copy in the format of the suffix, in outputs/embeddings/: in embeddings/ there would be two of one name."""
    from ti_core.embeddings.formats import save_embedding

    stored = find_stored(file, workspace)
    assert stored.embedding is not None, "find_stored gives readable embeddings only"
    return save_embedding(workspace.root / CONVERTED / f"{stored.path.stem}{suffix}", replace(stored.embedding, name=stored.name))


def rename(file: str, new_name: str, workspace: Workspace) -> Path:
    """Give an embedding another name, and its optimizer state with it. Raises UserError, with nothing changed, if the name is taken.

    A picture shows its name, so it is not renamed.
    """
    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    if stored.path.suffix.lower() in PICTURES:
        raise UserError(
            f"'{stored.path.name}' is a picture that shows the name '{stored.name}'.", "Convert it to .pt, put that into embeddings/, and rename it."
        )
    target = stored.path.with_name(name + stored.path.suffix)
    if stored.path.suffix.lower() == ".bin":  # is only read, and has no name inside
        stored.path.rename(target)
        return target
    _save(target, stored.embedding, name)
    state = stored.path.with_name(stored.path.name + ".optim")
    if state.is_file():
        state.rename(target.with_name(target.name + ".optim"))
    stored.path.unlink()
    return target


def repair_norm(file: str, new_name: str, norm: float, workspace: Workspace) -> Path:
    """A new .pt whose vectors have that length. Raises UserError."""
    from ti_core.embeddings.merge import with_norm

    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    assert stored.embedding is not None, "find_stored gives readable embeddings only"
    return _save(workspace.embeddings / f"{name}.pt", with_norm(stored.embedding, norm), name)


def merge_stored(files: Sequence[str], mode: str, weights: str, new_name: str, workspace: Workspace) -> Path:
    """A new .pt out of several; `weights` is a text such as 0.7, 0.3, used in the mode weighted. Raises UserError."""
    from ti_core.embeddings.merge import merge

    name = new_embedding_name(new_name, workspace)
    embeddings = [stored.embedding for stored in (find_stored(file, workspace) for file in files) if stored.embedding is not None]
    return _save(workspace.embeddings / f"{name}.pt", merge(embeddings, mode, _numbers(weights) if mode == "weighted" else (), name), name)


def new_embedding_name(text: str, workspace: Workspace) -> str:
    """The typed name, made safe. Raises UserError if an embedding of that name exists, in any case and format."""
    name = clean_name(text)
    taken = {path.stem.lower() for path in workspace.embeddings.rglob("*") if path.suffix.lower() in SUFFIXES}
    if name.lower() in taken:
        raise UserError(f"An embedding called '{name}' exists already.", "Choose another name.")
    return name


def _save(path: Path, embedding: Embedding | None, name: str) -> Path:
    from ti_core.embeddings.formats import save_embedding

    assert embedding is not None, "find_stored gives readable embeddings only"
    return save_embedding(path, replace(embedding, name=name))


def _numbers(text: str) -> list[float]:
    try:
        return [float(piece) for piece in text.split(",")]
    except ValueError:
        raise UserError(f"Weights are '{text}'.", "Type one number for each embedding, separated by commas, such as 0.7, 0.3.") from None


# ---- beside a checkpoint's vocabulary


def vocabulary_norm(checkpoint: str, workspace: Workspace) -> tuple[float, int]:
    """Mean length of the vectors of the checkpoint's own words, and their width. Raises UserError."""
    from ti_core.library import find_checkpoint

    file = find_checkpoint(checkpoint, workspace)
    weights = file.path / "text_encoder" / "model.safetensors"
    return _vocabulary_norm(checkpoint, workspace, weights.stat().st_mtime_ns if weights.is_file() else 0)


@functools.lru_cache(maxsize=16)
def _vocabulary_norm(checkpoint: str, workspace: Workspace, modified_ns: int) -> tuple[float, int]:
    from ti_core.models.checkpoint import load_token_table

    table = load_token_table(checkpoint, workspace)[1].float()
    return float(table.norm(dim=1).mean()), table.shape[1]


def nearest_words(file: str, checkpoint: str, workspace: Workspace, count: int = 6) -> list[list[tuple[str, float]]]:
    """For each vector the words of the checkpoint that point most nearly the same way, with their cosine, best first.

    Raises UserError if the checkpoint's vectors have another length.
    """
    from ti_core.models.checkpoint import load_token_table

    stored = find_stored(file, workspace)
    assert stored.embedding is not None, "find_stored gives readable embeddings only"
    tokenizer, table = load_token_table(checkpoint, workspace)
    rows = next((rows for rows in stored.embedding.vectors.values() if rows.shape[1] == table.shape[1]), None)
    if rows is None:
        widths = " + ".join(str(w) for w in stored.embedding.widths.values())
        raise UserError(
            f"'{stored.name}' has vectors of {widths} numbers, and the words of {checkpoint} have {table.shape[1]}.",
            "Choose the checkpoint that it was trained with, at the top of the page.",
        )
    lengths = table.float().norm(dim=1)
    cosines = (rows @ table.float().T) / (rows.norm(dim=1, keepdim=True) * lengths).clamp_min(1e-12)
    cosines[:, tokenizer.all_special_ids] = -2.0
    best = cosines.topk(min(4 * count, cosines.shape[1]), dim=1)
    return [_words(tokenizer, ids.tolist(), values.tolist(), count) for ids, values in zip(best.indices, best.values, strict=True)]


def _words(tokenizer: Any, ids: Sequence[int], cosines: Sequence[float], count: int) -> list[tuple[str, float]]:
    """Each text once; pieces inside of words and whole words read the same, and pieces of letters (U+FFFD) are left out."""
    words: dict[str, float] = {}
    for token, cosine in zip(ids, cosines, strict=True):
        word = tokenizer.decode([token]).strip()
        if word and word.isprintable() and "\ufffd" not in word:
            words.setdefault(word, cosine)
    return list(words.items())[:count]


def table_rows(workspace: Workspace, checkpoint: str) -> list[list[str]]:
    """What the Embeddings tab lists: file, model family, vectors, step, norm, mean norm of the checkpoint's words, checkpoint."""
    from ti_core.embeddings.describe import describe

    try:
        norm, width = vocabulary_norm(checkpoint, workspace)
    except UserError:
        norm, width = 0.0, 0
    rows = []
    for stored in stored_embeddings(workspace):
        file = stored.path.relative_to(workspace.embeddings).as_posix()
        if stored.embedding is None:
            rows.append([file, "cannot be read", "", "", "", "", stored.problem])
            continue
        facts: Mapping[str, Any] = describe(stored.embedding)
        norms = facts["norms"]
        spread = f"{min(norms):.3g}" if max(norms) - min(norms) < 0.005 * max(norms) else f"{min(norms):.3g} to {max(norms):.3g}"
        words = f"{norm:.3g}" if width in stored.embedding.widths.values() else "–"
        step = "–" if facts["step"] is None else str(facts["step"])
        rows.append([file, facts["family"], str(facts["vectors"]), step, spread, words, facts["checkpoint"] or "–"])
    return rows
