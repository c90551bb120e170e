"""The captions of folders that a page asks for again and again: kept, and read anew where a file has changed since, so
that a folder of thousands answers at once.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.caption_edits import Captioned, captioned_of, read_captions
from ti_core.data.caption_tables import TABLE_SUFFIXES
from ti_core.data.captions import CAPTION_SUFFIXES, CaptionFiles
from ti_core.data.images import find_images

KEPT_FOLDERS = 4
Listing = dict[str, tuple[int, int]]
"""Name -> size in bytes and modification time in ns."""


@dataclass
class _Kept:
    listing: Listing
    captions: list[Captioned]


class KeptCaptions:
    """`read` gives what `caption_edits.read_captions` does. Edits read the files themselves."""

    def __init__(self) -> None:
        self._folders: OrderedDict[Path, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, folder: Path) -> list[Captioned]:
        """The pictures of the folder by name, with their captions as they are now. Raises UserError."""
        try:
            listing = _listing(folder)
        except OSError:
            find_images(folder)  # says what is wrong
            raise
        with self._lock:
            kept = self._folders.get(folder)
        captions = _brought_up(folder, kept, listing) if kept else None
        if captions is None:
            captions = read_captions(folder)
        with self._lock:
            self._folders[folder] = _Kept(listing, captions)
            self._folders.move_to_end(folder)
            while len(self._folders) > KEPT_FOLDERS:
                self._folders.popitem(last=False)
        return list(captions)


def _brought_up(folder: Path, kept: _Kept, listing: Listing) -> list[Captioned] | None:
    """The captions with those read again whose files have changed; None where other files than such have."""
    if kept.listing == listing:
        return kept.captions
    if kept.listing.keys() != listing.keys():
        return None
    changed = {name for name, state in listing.items() if kept.listing[name] != state}
    if any(not name.lower().endswith(CAPTION_SUFFIXES) for name in changed):
        return None
    files = CaptionFiles.of(folder)
    places = {folder / name for name in changed}
    return [captioned_of(each.picture, files) if {each.file, each.source} & places else each for each in kept.captions]


def _listing(folder: Path) -> Listing:
    """What the captions depend on: the folder's files, and the files with captions of many in the one around it."""
    found = _states(folder)
    try:
        around = _states(folder.parent, TABLE_SUFFIXES)
    except OSError:  # what lies around the folder is not needed
        around = {}
    return found | {f"../{name}": state for name, state in around.items()}


def _states(folder: Path, suffixes: Collection[str] = ("",)) -> Listing:
    found: Listing = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.lower().endswith(tuple(suffixes)):
                continue
            try:
                facts = entry.stat()
            except OSError:  # deleted meanwhile
                continue
            found[entry.name] = facts.st_size, facts.st_mtime_ns
    return found
