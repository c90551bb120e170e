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

from ti_core.data.caption_edits import Captioned, captioned_of, captions_of
from ti_core.data.caption_tables import TABLE_SUFFIXES
from ti_core.data.captions import CAPTION_SUFFIXES, CaptionFiles
from ti_core.data.images import find_images

KEPT_FOLDERS = 4
Listing = dict[str, tuple[int, int]]
"""Name -> size in bytes and modification time in ns."""


@dataclass
class _Kept:
    listing: Listing
    files: CaptionFiles
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
        now = _brought_up(folder, kept, listing) if kept else None
        if now is None:
            files = CaptionFiles.of(folder)
            now = _Kept(listing, files, captions_of(files))
        with self._lock:
            self._folders[folder] = now
            self._folders.move_to_end(folder)
            while len(self._folders) > KEPT_FOLDERS:
                self._folders.popitem(last=False)
        return list(now.captions)


def _brought_up(folder: Path, kept: _Kept, listing: Listing) -> _Kept | None:
    """What is kept, with the captions read again that other files hold now; None where a file with the captions of
    many has changed.
    """
    if kept.listing == listing:
        return kept
    changed = {name for name in kept.listing.keys() | listing.keys() if kept.listing.get(name) != listing.get(name)}
    if any(name.lower().endswith(TABLE_SUFFIXES) for name in changed):
        return None
    files = kept.files if kept.listing.keys() == listing.keys() else CaptionFiles.of(folder)
    before = {each.picture.name: each for each in kept.captions}
    captions = []
    for picture in files.pictures:
        each = before.get(picture.name)
        if each is None or each.file.name in changed or (each.source and each.source.name in changed):
            each = captioned_of(picture, files)
        elif files is not kept.files and (beside := files.find(picture)) and beside.name != each.file.name:
            each = captioned_of(picture, files)  # a file of another kind, or one that was another picture's
        captions.append(each)
    return _Kept(listing, files, captions) if captions else None


def _listing(folder: Path) -> Listing:
    """What the captions depend on: the folder's files, and the files with captions of many in the one around it."""
    found = _states(folder)
    try:
        around = _states(folder.parent, TABLE_SUFFIXES)
    except OSError:  # what lies around the folder is not needed
        around = {}
    return found | {f"../{name}": state for name, state in around.items()}


def _states(folder: Path, suffixes: Collection[str] = ("",)) -> Listing:
    """One look at each file; of pictures only that they are there, because no caption depends on what they show."""
    found: Listing = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.lower()
            if name.startswith(".") or not name.endswith(tuple(suffixes)):
                continue
            if not name.endswith(_READ):
                found[entry.name] = 0, 0
                continue
            try:
                facts = entry.stat()
            except OSError:  # deleted meanwhile
                continue
            found[entry.name] = facts.st_size, facts.st_mtime_ns
    return found


_READ = (*CAPTION_SUFFIXES, *TABLE_SUFFIXES)
