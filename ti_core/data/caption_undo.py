"""The last edits of a dataset's captions, kept beside them, so that they can be taken back, after a reload too."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ti_core.data.captions import CAPTION_SUFFIXES, named
from ti_core.errors import UserError
from ti_core.files import load_json, save_atomically, save_many, save_text, state_of

UNDO_FILE = ".caption-edits.json"
"""In the dataset's folder, with which it moves; hidden files are no part of a dataset."""
KEPT_EDITS = 30
KEPT_CHARACTERS = 8_000_000
"""Edits of all captions of a large dataset are long: the oldest go, so that the file stays small. The last one is
always kept.
"""

editing = threading.RLock()
"""Held while captions are written: two people may press Save in the same moment."""


@contextmanager
def record_edit(folder: Path, title: str, files: Sequence[Path]) -> Iterator[None]:
    """Around the writing of caption files of a folder: keeps what was in them before and after. A failure half way
    is recorded as far as it came.
    """
    before = {file: _content(file) for file in files}
    try:
        yield
    finally:
        changed = {file.name: [before[file], after] for file in files if (after := _content(file)) != before[file]}
        if changed:
            _save_edits(folder, [*_edits(folder), {"title": title, "time": time.time(), "files": changed}])


def last_edit(folder: Path) -> str:
    """The title of the edit that `undo_edit` would take back; empty for none."""
    return _last_title(folder, state_of([folder / UNDO_FILE]))


@functools.lru_cache(maxsize=64)
def _last_title(folder: Path, state: tuple[int, int]) -> str:
    """Kept while the file is the same (`state`): after an edit of thousands of captions it has megabytes."""
    edits = _edits(folder)
    return str(edits[-1]["title"]) if edits else ""


def undo_edit(folder: Path) -> str:
    """Take the last edit back and give a sentence about it. Files that were changed since then stay as they are,
    and are named.

    Raises UserError if there is nothing to take back.
    """
    with editing:
        edits = _edits(folder)
        if not edits:
            raise UserError(
                f"No edit of the captions in '{folder.name}' is kept, so there is nothing to undo.",
                "Only edits made on this page are kept.",
            )
        edit = edits.pop()
        kept: list[Path] = []
        old: dict[Path, bytes] = {}
        for name, (before, after) in edit["files"].items():
            file = folder / name
            if _content(file) != after:
                kept.append(file)
            elif before is None:
                file.unlink(missing_ok=True)
            else:
                old[file] = before.encode("utf-8", "surrogateescape")
        save_many(lambda file: save_atomically(file, lambda part: part.write_bytes(old[file])), old)
        _save_edits(folder, edits)
    undone = len(edit["files"]) - len(kept)
    stayed = f" {len(kept)} changed since then and stayed as they are: {named(kept)}." if kept else ""
    return f"Undone: {edit['title']} ({undone} caption{'s' * (undone != 1)}).{stayed}"


def _content(file: Path) -> str | None:
    """The bytes of a file as text that gives them back exactly, whatever their encoding; None for no file."""
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _edits(folder: Path) -> list[dict[str, Any]]:
    """What the file holds, oldest first. It may come from anybody, so what is no edit of a caption file right in
    the folder is left out.
    """
    edits = load_json(folder / UNDO_FILE).get("edits")
    return [edit for edit in edits if _is_edit(edit)] if isinstance(edits, list) else []


def _is_edit(edit: Any) -> bool:
    if not isinstance(edit, dict) or not isinstance(edit.get("title"), str) or not isinstance(edit.get("files"), dict):
        return False
    return all(
        Path(name).name == name
        and not name.startswith(".")
        and Path(name).suffix.lower() in CAPTION_SUFFIXES
        and isinstance(pair, list)
        and len(pair) == 2
        and (pair[0] is None or isinstance(pair[0], str))
        and (pair[1] is None or isinstance(pair[1], str))
        for name, pair in edit["files"].items()
    )


def _save_edits(folder: Path, edits: list[dict[str, Any]]) -> None:
    texts = [json.dumps(edit) for edit in edits[-KEPT_EDITS:]]
    while len(texts) > 1 and sum(map(len, texts)) > KEPT_CHARACTERS:
        del texts[0]
    save_text(folder / UNDO_FILE, f'{{"edits": [{", ".join(texts)}]}}\n')
