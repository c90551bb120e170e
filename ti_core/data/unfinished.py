"""How far a preprocessing came, in a small file of its destination: one that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ti_core.data.by_hand import HandEdit
from ti_core.data.caption_tables import TABLE_SUFFIXES
from ti_core.data.crops import Size
from ti_core.data.masks import MASK_FOLDERS
from ti_core.settings import PreprocessSettings

UNFINISHED_FILE = ".unfinished.jsonl"
"""A line with a sign of what is worked on, then one for each photo that is done; gone when all are."""
_TELL_AFTER_S = 3.0


@dataclass(frozen=True)
class DonePhoto:
    """What became of one photo: the names and sizes of its pictures, how many captions were written, why a person
    should look at which picture, whether one has more pixels than the photo had there, and how it looks
    (`findings.Sight`).
    """

    number: int
    name: str
    size: Size
    files: tuple[str, ...]
    sizes: tuple[Size, ...]
    captions: int
    notes: tuple[tuple[str, str], ...]
    enlarged: bool
    bits: tuple[int, int, int, int] | None = None
    sharpness: float | None = None

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> DonePhoto:
        """What `asdict` gave. Raises what wrong values raise."""
        lists = {name: tuple(map(tuple, written[name])) for name in ("sizes", "notes")}
        bits = tuple(written["bits"]) if written["bits"] else None
        fixed = {"size": tuple(written["size"]), "files": tuple(map(str, written["files"])), "bits": bits}
        return cls(**{**written, **lists, **fixed})


class Unfinished:
    """The file of one preprocessing. `done` are the photos of an earlier, interrupted one of the same settings and the
    same files, by number, whose pictures are all still there.
    """

    def __init__(self, destination: Path, sign: str) -> None:
        self.file, self.sign = destination / UNFINISHED_FILE, sign
        self.done = self._load()

    def add(self, photo: DonePhoto) -> None:
        """Keep that a photo is done; its pictures are on the disk."""
        line = json.dumps(asdict(photo), ensure_ascii=True)
        is_new = not self.done and not self.file.exists()
        try:
            with self.file.open("a", encoding="ascii") as file:
                file.write((json.dumps({"sign": self.sign}) + "\n" if is_new else "") + line + "\n")
        except OSError:
            return  # then it begins anew after an interruption

    def remove(self) -> None:
        """Nothing is unfinished: all photos are done, or it begins anew."""
        self.file.unlink(missing_ok=True)

    def _load(self) -> dict[int, DonePhoto]:
        try:
            first, *lines = self.file.read_text(encoding="ascii").splitlines()
            if json.loads(first) != {"sign": self.sign}:
                return {}
            found = [DonePhoto.from_json(json.loads(line)) for line in lines if line.endswith("}")]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        folder = self.file.parent
        return {photo.number: photo for photo in found if all((folder / name).is_file() for name in photo.files)}


def sign_of(settings: PreprocessSettings, photos: Sequence[Path], by_hand: Mapping[str, HandEdit]) -> str:
    """Changes with every setting, with what was done by hand (kept elsewhere where nothing may be written beside the
    photos), and with every file that goes into the pictures: the photos and what lies beside them, masks in a folder
    of theirs, and captions of many pictures in the folder around.
    """
    files: list[tuple[str, int, int]] = []
    for folder in sorted({path.parent for path in photos}):
        files += _files_of(folder)
        for name in MASK_FOLDERS:
            files += _files_of(folder / name)
        files += [entry for entry in _files_of(folder.parent) if entry[0].lower().endswith(TABLE_SUFFIXES)]
    edits = {name: edit.to_dict() for name, edit in sorted(by_hand.items())}
    what = [settings.to_dict(), [str(path) for path in photos], files, edits]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _files_of(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size in bytes and modification time in ns of the files right inside; of hidden ones none is used."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # deleted meanwhile
                if not entry.name.startswith(".") and entry.is_file():
                    state = entry.stat()
                    found.append((entry.name, state.st_size, state.st_mtime_ns))
    return sorted(found)


def time_left(began: float, done: int, total: int) -> str:
    """ ", about 12 minutes left" by the pace so far (`began` is time.monotonic()); empty while nobody can know."""
    elapsed = time.monotonic() - began
    if not done or elapsed < _TELL_AFTER_S:
        return ""
    seconds = elapsed / done * (total - done)
    if seconds < 95:
        return f", about {max(5, round(seconds / 5) * 5)} seconds left"
    if seconds < 95 * 60:
        return f", about {seconds / 60:.0f} minutes left"
    return f", about {seconds / 3600:.1f} hours left"
