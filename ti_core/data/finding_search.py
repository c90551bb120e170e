"""Looks through folders for what `findings` points out, beside everything else and one picture at a time, so that a
page answers at once and a training is not slowed down; what was found so far can be asked for at any time.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ti_core.data.findings import FindFaces, Finding, Sight, findings_of, sight_at, tiny_face_of
from ti_core.data.images import find_images

KEPT_FOLDERS = 8
UNASKED_S = 30.0
"""A search that nobody has asked for as long stops; the next question takes it up again."""
LISTED_FOR_S = 10.0
"""So long a page that only asks how far the search is does not list the folder again."""
NICENESS = 10
_ONE_AT_A_TIME = threading.Lock()
State = tuple[int, int]
"""Size in bytes and modification time in ns of a picture's file."""


@dataclass
class FolderSearch:
    """What is known of one folder. `looked` of its pictures were looked at; faces come after all else."""

    pictures: dict[Path, State]
    found: dict[Path, list[Finding]] = field(default_factory=dict)
    looked: int = 0
    is_done: bool = False
    asked_at: float = 0.0
    listed_at: float = 0.0
    thread: threading.Thread | None = None


class FindingSearches:
    """The searches of the folders that were asked for last. `load_finder` gives the finder of faces."""

    def __init__(self, load_finder: Callable[[], FindFaces]) -> None:
        self._load_finder = load_finder
        self._searches: dict[Path, FolderSearch] = {}
        self._faces: dict[tuple[Path, State], Finding | None] = {}
        self._lock = threading.Lock()

    def ask(self, folder: Path, again: bool = False) -> FolderSearch:
        """What is known of a folder's pictures now; the search goes on, or begins anew where a picture is another one.
        Raises UserError where the folder cannot be read. `again` asks how far it is, and notices that later.
        """
        known = self._searches.get(folder) if again else None
        listed_at = time.monotonic()
        if known and listed_at - known.listed_at < LISTED_FOR_S:
            pictures, listed_at = known.pictures, known.listed_at
        else:
            pictures = {path: state for path in find_images(folder) if (state := _state(path))}
        with self._lock:
            search = self._searches.pop(folder, None)
            if search is None or search.pictures != pictures:
                search = FolderSearch(pictures)
            search.listed_at = listed_at
            self._searches[folder] = search  # the last one asked for
            while len(self._searches) > KEPT_FOLDERS:
                del self._searches[next(iter(self._searches))]
            search.asked_at = time.monotonic()
            if not search.is_done and (search.thread is None or not search.thread.is_alive()):
                search.thread = threading.Thread(target=self._look, args=(folder, search), daemon=True)
                search.thread.start()
        return search

    def _is_wanted(self, folder: Path, search: FolderSearch) -> bool:
        return self._searches.get(folder) is search and time.monotonic() - search.asked_at < UNASKED_S

    def _look(self, folder: Path, search: FolderSearch) -> None:
        """The thread: all pictures for blur and near duplicates, then all for their faces."""
        _step_back()
        sights: dict[Path, Sight] = {}
        for looked, path in enumerate(search.pictures, 1):
            with _ONE_AT_A_TIME:
                if not self._is_wanted(folder, search):  # asked here, so that the searches of a flood end one and all
                    return
                sight = sight_at(path)
            if sight:
                sights[path] = sight
            search.looked = looked
        found = findings_of(sights)
        search.found = found
        find_faces = self._load_finder()
        for path, state in search.pictures.items():
            key = (path, state)
            with _ONE_AT_A_TIME:
                if not self._is_wanted(folder, search):
                    return
                if key not in self._faces:
                    self._faces[key] = tiny_face_of(path, find_faces)
            if finding := self._faces[key]:
                found = {**found, path: [*found.get(path, []), finding]}
                search.found = found  # as a whole, because others read it meanwhile
        search.is_done = True


def _step_back() -> None:
    """Whatever else wants a core has it before this thread; only Linux gives a thread a priority of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))


def _state(path: Path) -> State | None:
    try:
        facts = path.stat()
    except OSError:  # deleted meanwhile
        return None
    return facts.st_size, facts.st_mtime_ns
