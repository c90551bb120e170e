"""Where a finished picture comes from: how large its photo was, and which part of that it shows.

It travels in the picture itself, as a text chunk of the PNG, so it survives copying and renaming, and is written with
the pixels or not at all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, PngImagePlugin

from ti_core.data.camera_files import is_raw, raw_size
from ti_core.data.crops import Size
from ti_core.data.images import OPENED
from ti_core.workspace import SAMPLE_PHOTOS

OUTPUT_NAME = re.compile(r"^(\d{5})-(\d+)-(.*)$", re.DOTALL)
"""Stem of a finished picture: number of the photo, number of the piece, stem of the photo."""
KEY = "ti-photo"
"""Keyword of the text chunk. A1111 and its kin read `parameters` and `sd-ti-embedding` alone."""
MOST_PX = 10**6
"""No photo has a longer side."""
LIES_DOWN = (5, 6, 7, 8)
"""EXIF orientations that change width and height."""
_BROKEN = (SyntaxError, ValueError, EOFError, LookupError, TypeError, NotImplementedError, struct.error, zlib.error)
_UNREADABLE = (Image.DecompressionBombError, MemoryError, OSError, *_BROKEN)
"""What Pillow raises on headers that are broken or too large."""


@dataclass(frozen=True)
class Origin:
    """`size` of the photo in px, upright; `box` is the part of it that is shown: left, upper, width, height in its px.

    `drawn` marks pictures of the world that the built-in model knows, `flipped` mirrored copies.
    """

    size: Size
    box: tuple[float, float, float, float]
    drawn: bool = False
    flipped: bool = False

    @classmethod
    def whole(cls, size: Size, drawn: bool = False) -> Origin:
        """Of a picture that shows all of a photo of `size` px."""
        return cls(size, (0, 0, *size), drawn)

    def part(self, left: float, upper: float, width: float, height: float, of: Size) -> Origin:
        """Of a cut out of a picture that shows this and is `of` px large."""
        x, y = self.box[2] / of[0], self.box[3] / of[1]
        return replace(self, box=(self.box[0] + left * x, self.box[1] + upper * y, width * x, height * y))

    def covering(self, target: Size, of: Size) -> Origin:
        """Of a picture `of` px large after `images.cover`, which cuts both sides alike."""
        scale = max(target[0] / of[0], target[1] / of[1])
        width, height = target[0] / scale, target[1] / scale
        return self.part((of[0] - width) / 2, (of[1] - height) / 2, width, height, of)

    def turned(self, degrees: int) -> Origin:
        """Of the picture turned clockwise by a multiple of 90 degrees, as if the photo had been turned."""
        found = self
        for _ in range(degrees // 90):
            (width, height), (left, upper, shown_width, shown_height) = found.size, found.box
            turned_box = (height - upper - shown_height, left, shown_height, shown_width)
            found = replace(found, size=(height, width), box=turned_box)
        return found

    def mirrored(self) -> Origin:
        """Of a picture flipped left to right: the same part of the photo, counted from its other side."""
        left, upper, width, height = self.box
        box = (self.size[0] - left - width, upper, width, height)
        return replace(self, box=box, flipped=not self.flipped)

    def scale(self, picture: Size) -> float:
        """How many px of a picture of this size one px of the photo became; above 1 it was enlarged."""
        return max(picture[0] / self.box[2], picture[1] / self.box[3])

    def chunk(self, picture: Size) -> PngImagePlugin.PngInfo:
        """For saving with a picture of this size; it no longer describes one that was edited to another size."""
        info = PngImagePlugin.PngInfo()
        box = [round(side, 2) for side in self.box]
        marks = {name: True for name in ("drawn", "flipped") if getattr(self, name)}
        facts = {"photo": self.size, "box": box, "picture": picture} | marks
        info.add_text(KEY, json.dumps(facts))
        return info


def parse_origin(text: object, picture: Size) -> Origin | None:
    """What `chunk` wrote; None for anything else, and for a picture of another size."""
    try:
        found = json.loads(str(text))
        (width, height), (left, upper, shown_width, shown_height) = map(int, found["photo"]), map(float, found["box"])
        fits = tuple(found["picture"]) == picture
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    fits_x = left > -1 and left + shown_width < width + 1 < MOST_PX
    fits_y = upper > -1 and upper + shown_height < height + 1 < MOST_PX
    if not (fits and fits_x and fits_y) or min(width, height, shown_width, shown_height) < 0.01:
        return None
    marks = {name: found.get(name) is True for name in ("drawn", "flipped")}
    return Origin((width, height), (left, upper, shown_width, shown_height), **marks)


class Look(NamedTuple):
    """What a picture's file says before its pixels: `size` in px, upright, and its origin, if it was finished here."""

    size: Size
    origin: Origin | None


def look_at(path: Path) -> Look | None:
    """Nothing is decoded; None for what is no readable picture. Remembered as long as the file stays the same."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _look(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=20_000)
def _look(path: Path, bytes: int, changed_ns: int) -> Look | None:
    try:
        if is_raw(path):
            return Look(raw_size(path), None)
        with Image.open(path, formats=OPENED) as image:
            return Look(_upright_size(image), parse_origin(image.info[KEY], image.size) if KEY in image.info else None)
    except _UNREADABLE:  # whoever opens the picture says what is the matter with it
        return None


def _upright_size(image: Image.Image) -> Size:
    """A PNG whose EXIF tags lie behind its pixels is not decoded for them: Pillow would."""
    tags = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
    return image.size[::-1] if tags.get(ExifTags.Base.Orientation) in LIES_DOWN else image.size


def origin_of(path: Path, size: Size) -> Origin:
    """The origin of a picture that is `size` px large: what its file says, else the whole of it."""
    look = look_at(path)
    found = look.origin if look and look.origin and look.size == size else Origin.whole(size)
    return replace(found, drawn=found.drawn or is_sample_photo(path))


def is_drawn(path: Path) -> bool:
    """Whether it shows the built-in model's world: a sample photo, wherever it lies, or a picture finished from one."""
    look = look_at(path)
    return bool(look and look.origin and look.origin.drawn) or is_sample_photo(path)


def is_sample_photo(path: Path) -> bool:
    """By the content, so that a renamed copy is known too. Only files as long as one of the samples are read."""
    try:
        found = _sample_photos().get(path.stat().st_size, frozenset())
        return bool(found) and _digest(path) in found
    except OSError:
        return False


@functools.cache
def _sample_photos() -> dict[int, frozenset[str]]:
    """Size in bytes -> the SHA-256 of the sample photos of that size."""
    found: dict[int, frozenset[str]] = {}
    for path in SAMPLE_PHOTOS.glob("*/*"):
        size = path.stat().st_size
        found[size] = found.get(size, frozenset()) | {_digest(path)}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
