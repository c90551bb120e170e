"""Opening people's pictures: whatever Pillow reads becomes an upright RGB image of 8 bits, or one clear sentence."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from ti_core.errors import UserError

PHONE_SUFFIXES = frozenset({".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw"})
"""Pictures of phones and cameras that Pillow cannot read: found all the same, so that they are named and not just missing."""

_UNWANTED_FORMATS = frozenset({"EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF"})
"""EPS starts Ghostscript, a poor idea on a shared server; the others are names without a decoder."""

_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, NotImplementedError, struct.error, zlib.error)
"""What Pillow's decoders raise on broken files."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright."""


class Problem(NamedTuple):
    """A file that was left out, and why."""

    file: str
    reason: str

    def sentence(self) -> str:
        return f"{self.file} was skipped: {self.reason}."


@functools.cache
def readable_suffixes() -> dict[str, str]:
    """Lower-case suffix with its dot -> Pillow's name of the format."""
    return {suffix: name for suffix, name in Image.registered_extensions().items() if name in Image.OPEN and name not in _UNWANTED_FORMATS}


def find_images(folder: Path) -> list[Path]:
    """The pictures right inside `folder` by their suffix, sorted by name; hidden files are left out."""
    suffixes = readable_suffixes().keys() | PHONE_SUFFIXES
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"Folder '{folder.name}' cannot be read: {error.strerror}.", "Choose another folder.") from error
    return [path for path in files if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()]


def open_rgb(path: Path) -> Image.Image:
    """The whole picture, decoded, turned upright by its EXIF tag, as RGB; transparent parts become white.

    Raises UserError, naming the file, for one that is missing, broken, cut short, or too large to be a photo.
    """
    return _as_rgb(_open_upright(path))


def open_alpha(path: Path) -> Image.Image | None:
    """The transparency of the picture, upright, as greyscale (white is opaque); None where it has none. Raises UserError like `open_rgb`."""
    image = _open_upright(path)
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def _open_upright(path: Path) -> Image.Image:
    try:
        with path.open("rb") as file, Image.open(file, formats=sorted(set(readable_suffixes().values()))) as image:
            image.load()  # from a stream: given a name, Pillow 12.3 maps uncompressed TIFFs into memory and reads turned ones wrongly
            return _upright(image)
    except (Image.DecompressionBombError, MemoryError, *_DECODER_ERRORS) as error:
        raise UserError(
            f"Picture '{path.name}' cannot be used: {_reason(path, error)}.", "Save it anew as JPEG or PNG, or take it out of the folder."
        ) from error


def pixels_of(path: Path) -> int:
    """Width times height as the file's beginning says it; nothing is decoded. 0 for what is no picture."""
    try:
        with Image.open(path, formats=sorted(set(readable_suffixes().values()))) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, MemoryError, *_DECODER_ERRORS):
        return 0


def find_problem(path: Path) -> Problem | None:
    """Decode the picture once, only to know whether it can be used."""
    try:
        open_rgb(path)
    except UserError as error:
        return problem_of(path, error)
    return None


def problem_of(path: Path, error: UserError) -> Problem:
    """The Problem behind an error of `open_rgb`."""
    return Problem(path.name, _reason(path, error.__cause__))


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize so that the picture covers `width` x `height` px, and cut away what stands over on two sides alike (Lanczos, antialiased)."""
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _reason(path: Path, error: BaseException | None) -> str:
    if path.suffix.lower() in PHONE_SUFFIXES:
        return f"pictures of the kind {path.suffix} cannot be read; save it as JPEG first"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "it is too large; make it smaller than 100 megapixels"
    if isinstance(error, FileNotFoundError):
        return "it is not there any more"
    if isinstance(error, PermissionError):
        return "reading it is not allowed"
    return "it is not a readable picture"


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the EXIF tag says. Pillow's exif_transpose also writes the other tags anew and fails where one of them is odd."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_ERRORS:  # broken tags are no reason to lose a good picture
        return image
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _reduced_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _reduced_to_8_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits; Pillow's own convert cuts everything above 255 off, which turns photos white."""
    values = np.asarray(image).astype(np.float32)
    highest = float(values.max(initial=0.0))
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        white = next((top for top in ((1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)) if highest <= top), highest)
    return Image.fromarray(np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8))
