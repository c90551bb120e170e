"""The embeddings in embeddings/, of every format: which there are, and which of them can be trained.

torch is loaded only by the functions that open a file, so that the page is built without it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ti_core.checkpoints.library import folders_below
from ti_core.embeddings.formats import (
    FORMAT_OF_SUFFIX,
    PICTURES,
    SAVED_BY_TRAINING,
    SUFFIXES,
    TRAINABLE,
    load_embeddings,
    suffix_of_training,
)
from ti_core.errors import UserError
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding

_NAMED_INSIDE = frozenset(suffix for suffix, each in FORMAT_OF_SUFFIX.items() if each.word_in)
"""Files whose name is not the word."""


@dataclass(frozen=True)
class StoredEmbedding:
    """A file of embeddings/ and the embedding in it, None if it cannot be read: `problem` says why. `name` is its word
    in prompts.
    """

    path: Path
    name: str
    embedding: Embedding | None
    problem: str = ""

    @property
    def content(self) -> Embedding:
        """The embedding in it. Raises UserError if it cannot be read."""
        if self.embedding is None:
            raise UserError(self.problem)
        return self.embedding

    @property
    def hash(self) -> str:
        """A1111's short hash of the file, the first 12 hex digits of its SHA-256 (A1111 1.10.1, textual_inversion.py:
        Embedding.set_hash).
        """
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]


def stored_embeddings(workspace: Workspace) -> list[StoredEmbedding]:
    """Every embedding below embeddings/, sorted by name; a LoRA that bundles several words gives all of them.
    Unreadable files are listed too, but no pictures that carry no embedding, and no thumbnails, which A1111 calls
    `<name>.preview.png`.
    """
    found = []
    for path in (folder / name for folder, names in folders_below(workspace.embeddings, set()) for name in names):
        suffix = path.suffix.lower()
        is_thumbnail = suffix in PICTURES and path.stem.lower().endswith(".preview")
        if suffix not in SUFFIXES or is_thumbnail or not path.is_file() or not (state := path.stat()).st_size:
            continue
        embeddings, problem = _load(path, state.st_mtime_ns, state.st_size)
        if problem and suffix not in PICTURES:
            found.append(StoredEmbedding(path, path.stem, None, problem))
        found += [StoredEmbedding(path, word_of(path, one, len(embeddings)), one) for one in embeddings]
    return sorted(found, key=_order)


def word_of(path: Path, embedding: Embedding, of_file: int = 1) -> str:
    """The word for prompts of an embedding in a file with `of_file` of them, the same everywhere: the name inside a
    picture, which it shows; of a LoRA's several words each its own; else the file's name, as in A1111.
    """
    return embedding.name if of_file > 1 or path.suffix.lower() in PICTURES else path.stem


def _order(stored: StoredEmbedding) -> tuple[Any, ...]:
    """By name; of one name first the file nearest to embeddings/, and of those in one folder the format in which a
    training would save it.
    """
    suffix = stored.path.suffix.lower()
    is_trained = stored.embedding is not None and suffix == suffix_of_training(tuple(stored.embedding.vectors))
    return stored.name.lower(), len(stored.path.parts), not is_trained, SUFFIXES.index(suffix)


@functools.lru_cache(maxsize=10_000)
def _load(path: Path, modified_ns: int, size: int) -> tuple[tuple[Embedding, ...], str]:
    """The embeddings or the problem; cached until the file changes, because the page asks again and again."""
    try:
        return tuple(load_embeddings(path)), ""
    except UserError as error:
        return (), str(error)


def find_stored(file: str, workspace: Workspace) -> StoredEmbedding:
    """The stored embedding of a path below embeddings/, or of a name. Raises UserError if there is none, or if it
    cannot be read.
    """
    listed = stored_embeddings(workspace)
    # A path is exact. A name may have several files; the first that can be read counts.
    exact = [stored for stored in listed if shown_file(stored, workspace) == file] or [
        stored for stored in listed if stored.path.relative_to(workspace.embeddings).as_posix() == file
    ]
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


def prompt_words(workspace: Workspace) -> list[str]:
    """The words by which prompts name the embeddings, sorted; by the files' names, so that nothing is opened for it but
    pictures, whose word is inside.
    """
    found: set[str] = set()
    for folder, names in folders_below(workspace.embeddings, set()):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES and os.path.isfile(os.path.join(folder, name)):
                found.add(trainable_word(folder / name) if suffix.lower() in PICTURES else stem)
    return sorted(found - {""}, key=str.lower)


def shown_file(stored: StoredEmbedding, workspace: Workspace) -> str:
    """How lists name it: its path below embeddings/, and its word where the file has several."""
    file = stored.path.relative_to(workspace.embeddings).as_posix()
    is_word = stored.embedding is None or stored.path.suffix.lower() in PICTURES or stored.name == stored.path.stem
    return file if is_word else f"{file}: {stored.name}"


def shown_word(file: str) -> str:
    """The word of what `shown_file` gave, or of an embedding's name."""
    path = PurePosixPath(file.rpartition(": ")[2])
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


# ---- those that can be trained


def find_embeddings(workspace: Workspace) -> list[str]:
    """Names of the embeddings right inside embeddings/ that can be trained, sorted; of pictures, those that carry
    one.
    """
    return sorted({name for name, _ in _trainable(workspace)})


def find_embedding(name: str, workspace: Workspace, first: str = SAVED_BY_TRAINING[0]) -> Path | None:
    """The file of an embedding's name, whatever its format; of several the one with the suffix `first`."""
    order = (first, *TRAINABLE)
    files = [Path(path) for word, path in _trainable(workspace, name) if word == name]
    return min(files, key=lambda path: (order.index(path.suffix.lower()), path.name), default=None)


def _trainable(workspace: Workspace, named: str = "") -> list[tuple[str, str]]:
    """Each word with its file; where `named` is given, files that cannot have that word need not be looked at."""
    if not workspace.embeddings.is_dir():
        return []
    with os.scandir(workspace.embeddings) as entries:
        looked_at = (entry for entry in entries if not named or _may_be_named(entry.name, named))
        return [(word, entry.path) for entry in looked_at if (word := _word_of_entry(entry))]


def _may_be_named(file_name: str, word: str) -> bool:
    stem, suffix = os.path.splitext(file_name)
    return stem == word or suffix.lower() in _NAMED_INSIDE


def _word_of_entry(entry: os.DirEntry[str]) -> str:
    """As `trainable_word`, with one look at the disk and without a Path for most: each order of a training lists a
    thousand files several times.
    """
    if not _may_be_trained(entry.name):
        return ""
    stem, suffix = os.path.splitext(entry.name)
    with contextlib.suppress(OSError):  # it has just gone
        state = entry.stat()
        if stat.S_ISREG(state.st_mode) and state.st_size:
            is_named_inside = suffix.lower() in _NAMED_INSIDE
            return _word_in(Path(entry.path), state.st_mtime_ns, state.st_size) if is_named_inside else stem
    return ""


def _may_be_trained(file_name: str) -> bool:
    return not file_name.startswith(".") and os.path.splitext(file_name)[1].lower() in TRAINABLE


def is_embedding(path: Path) -> bool:
    """Whether a file of embeddings/ can be trained: a picture that carries no embedding is somebody's thumbnail."""
    return bool(trainable_word(path))


def trainable_word(path: Path) -> str:
    """The word of a file of embeddings/ that can be trained, without torch; empty for another file."""
    if not _may_be_trained(path.name) or not path.is_file():
        return ""
    state = path.stat()
    if not state.st_size:
        return ""
    return _word_in(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=10_000)
def _word_in(path: Path, modified_ns: int, size: int) -> str:
    word_in = FORMAT_OF_SUFFIX[path.suffix.lower()].word_in
    is_thumbnail = path.suffix.lower() in PICTURES and path.stem.lower().endswith(".preview")
    return "" if is_thumbnail else word_in(path) if word_in else path.stem


def optimizer_file(embedding: Path) -> Path:
    """A1111's place of the optimizer's state: `<name>.pt.optim`, beside the embedding (A1111 1.10.1,
    textual_inversion.py: save_embedding).
    """
    return embedding.with_name(embedding.name + ".optim")
