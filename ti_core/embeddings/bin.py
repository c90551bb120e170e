"""Deleted embeddings: moved into bin/embeddings/ of the workspace, one folder a deletion, from where they can be put
back. Nothing is ever removed from there by us.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from ti_core.embeddings.folder import StoredEmbedding, optimizer_file, stored_embeddings
from ti_core.embeddings.formats import SUFFIXES
from ti_core.errors import UserError
from ti_core.files import first_free, move
from ti_core.workspace import Workspace

BIN = "bin/embeddings"


@dataclass(frozen=True)
class Deleted:
    """An embedding in the bin: `file` is its path there, `title` its name and when it was deleted."""

    file: Path
    title: str


def find_listed(file: str, workspace: Workspace) -> StoredEmbedding:
    """The embedding of a path below embeddings/, as the list shows it, also one that cannot be read. Raises UserError,
    so that no path leads elsewhere.
    """
    for stored in stored_embeddings(workspace):
        if stored.path.relative_to(workspace.embeddings).as_posix() == file:
            return stored
    raise UserError(
        f"Embedding '{file[:100]}' is not in embeddings/." if file else "No embedding is chosen.",
        "Choose one in the list.",
    )


def delete_embedding(file: str, workspace: Workspace) -> Path:
    """Move an embedding of the list into the bin, with its optimizer's state. Gives its place there. Raises UserError
    with nothing moved.
    """
    stored = find_listed(file, workspace)
    time = datetime.datetime.now().strftime("%Y-%m-%d %H.%M.%S")
    folder = first_free(
        lambda number: workspace.root / BIN / (time if number == 1 else f"{time} {number}"), Path.exists
    )
    target = folder / stored.path.relative_to(workspace.embeddings)
    return _move(stored.path, target)


def deleted_embeddings(workspace: Workspace) -> list[Deleted]:
    """What is in the bin, the last deletion first."""
    folder = workspace.root / BIN
    found = [path for path in folder.glob("*/**/*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return [
        Deleted(path, f"{Path(*parts[1:]).as_posix()}, deleted {parts[0]}")
        for path in sorted(found, reverse=True)
        if (parts := path.relative_to(folder).parts)
    ]


def restore_embedding(title: str, workspace: Workspace) -> Path:
    """Put one of `deleted_embeddings` back where it was. Raises UserError where there is another of its name now."""
    deleted = next((each for each in deleted_embeddings(workspace) if each.title == title), None)
    if deleted is None:
        raise UserError(
            f"'{title[:100]}' is not in the bin." if title else "Nothing of the bin is chosen.",
            "Choose one in the list.",
        )
    folder = workspace.root / BIN
    target = workspace.embeddings / Path(*deleted.file.relative_to(folder).parts[1:])
    taken = next((s for s in stored_embeddings(workspace) if s.name.lower() == target.stem.lower()), None)
    if target.exists() or taken:
        raise UserError(f"An embedding called '{target.stem}' exists already.", "Rename or delete that one first.")
    _move(deleted.file, target)
    for empty in (deleted.file.parent, *deleted.file.parent.parents):
        if empty == folder or any(empty.iterdir()):
            break
        empty.rmdir()
    return target


def _move(file: Path, target: Path) -> Path:
    """The optimizer's state goes first: without it a training would not go on, and without the file it is nothing."""
    state = optimizer_file(file)
    if state.is_file():
        move(state, optimizer_file(target))
    return move(file, target)
