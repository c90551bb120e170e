"""Opening people's pictures: whatever Pillow reads becomes an upright RGB image of 8 bits, or one clear sentence."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from ti_core.data.camera_files import (
    CAMERA_SUFFIXES,
    heif_formats,
    is_raw,
    open_raw,
    package_for,
    raw_size,
    read_suffixes,
)
from ti_core.data.colours import to_srgb
from ti_core.errors import UserError

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
}
"""Suffix -> Pillow's name of the format. Nothing else is opened, whatever a file is called: each decoder is one
more that a made-up file could misuse.
"""

OPENED = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", *heif_formats())
"""JPEG takes MPO too, how some cameras write one with a second picture in it."""

PHONE_SUFFIXES = CAMERA_SUFFIXES - read_suffixes()
"""Pictures of phones and cameras that cannot be read here: found all the same, so that they are named and not just
missing.
"""
_OTHER_SUFFIXES = frozenset(
    ".jp2 .j2k .jpx .jxl .jxr .wdp .psd .xcf .kra .tga .ico .icns .pcx .ppm .pgm .pbm .dds .sgi .svg .exr .hdr .qoi"
    "".split()
)
"""Other pictures: found all the same, for the same reason."""
_FOUND_SUFFIXES = FORMATS.keys() | CAMERA_SUFFIXES | _OTHER_SUFFIXES

MASK_ENDING = "-masklabel"
"""`anna-masklabel.png` is the mask of `anna.jpg` (masks.py) and no picture."""
MAX_PIXELS = 100_000_000
LARGE_PIXELS = 36_000_000
"""Above that a JPEG is decoded at a half, a quarter or an eighth of its sides, if that is still large enough for
what is made of it; photos of usual cameras stay what they are to the last bit.
"""
_BAND_PX = 256
"""Rows that are converted at once: of a picture of 100 megapixels a whole copy takes 0.4 GB."""

_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    NotImplementedError,
    struct.error,
    zlib.error,
)
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
        """For the user."""
        return f"{self.file} was skipped: {self.reason}."


def open_only_known_formats() -> None:
    """Take every other decoder away from this process, for code that is not ours, such as gradio's."""
    Image.init()
    for name in [name for name in Image.ID if name not in OPENED]:
        Image.ID.remove(name)
        Image.OPEN.pop(name, None)


def is_mask(file: Path) -> bool:
    """Whether a file is, by its name, the mask of another picture."""
    return _is_mask_name(file.name)


def _is_mask_name(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    return stem.endswith(MASK_ENDING) and suffix in FORMATS


def _is_picture_name(name: str) -> bool:
    """By names alone: a path object for each of 5,000 files costs more than all else."""
    return os.path.splitext(name)[1].lower() in _FOUND_SUFFIXES and not _is_mask_name(name)


def find_images(folder: Path) -> list[Path]:
    """The pictures right inside `folder` by their suffix, sorted by name; hidden files and masks are left out."""
    try:
        names = found_names(folder)
    except OSError as error:
        raise UserError(
            f"Folder '{folder.name}' cannot be read: {error.strerror}.", "Choose another folder."
        ) from error
    return [folder / name for name in names if _is_picture_name(name)]


def find_image(folder: Path, name: str) -> Path | None:
    """The picture of that name among those of `find_images`, None if it is not there. No name leads out of the folder,
    and nothing else is listed.
    """
    path = folder / name
    if path.name != name or name.startswith(".") or not _is_picture_name(name):
        return None
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long a name, or a zero byte in it
        return None


def found_names(folder: Path) -> list[str]:
    """The names of the files right inside `folder`, sorted, without hidden ones; a folder of 10,000 costs some
    milliseconds. Raises OSError.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_file(entry)]
    return sorted(names, key=os.path.normcase)  # as paths are sorted


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False


def open_rgb(path: Path, enough_px: int = 0, roughly: bool = False) -> Image.Image:
    """The whole picture, decoded, turned upright by its EXIF tag, as RGB; transparent parts become white.

    `enough_px` says that its shorter side needs no more pixels than that: a large JPEG is then decoded at a
    fraction of its size, so the size of what comes is not always the photo's. With `roughly`, for a look at it, any
    JPEG is, which takes a fifth of the time. Raises UserError, naming the file, for one that is missing, broken, cut
    short, or too large to be a photo.
    """
    return _as_rgb(_open_upright(path, enough_px, at_most=0 if roughly else LARGE_PIXELS))


def open_rgb_and_alpha(path: Path, enough_px: int = 0) -> tuple[Image.Image, Image.Image | None]:
    """What `open_rgb` gives, and the picture's transparency as greyscale (white is opaque), None where it has none;
    decoded once for both.
    """
    image = _open_upright(path, enough_px)
    return _as_rgb(image), image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def open_on_black(path: Path) -> Image.Image:
    """The picture as greyscale, what is transparent in it as black: a mask. Raises UserError as `open_rgb` does."""
    image = _open_upright(path, in_srgb=False)  # its numbers are weights, and no colours
    if not image.has_transparency_data:
        return _reduced_to_8_bits(image) if image.mode.startswith(("I", "F")) else image.convert("L")
    coloured = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), coloured).convert("L")


def _open_upright(path: Path, enough_px: int = 0, in_srgb: bool = True, at_most: int = LARGE_PIXELS) -> Image.Image:
    """Of any mode; a JPEG of more than `at_most` pixels is decoded no larger than needed."""
    if is_raw(path):
        with _problems_named(path):
            _check_size(*raw_size(path))
            return open_raw(path, enough_px)
    with _opened(path) as image:
        if enough_px and image.width * image.height > at_most:
            image.draft(None, (enough_px, enough_px))  # of a JPEG; nothing happens to others
        image.load()
        return _upright(to_srgb(image) if in_srgb else image, image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture by its header, not decoded yet. Raises UserError for what is wrong with it, and for what is found
    wrong while it is decoded.
    """
    # from a stream: given a name, Pillow 12.3 maps uncompressed TIFFs into memory and reads turned ones wrongly
    with _problems_named(path), path.open("rb") as file, Image.open(file, formats=OPENED) as image:
        _check_size(*image.size)
        yield image


@contextmanager
def _problems_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (Image.DecompressionBombError, MemoryError, *_DECODER_ERRORS) as error:
        raise UserError(
            f"Picture '{path.name}' cannot be used: {_reason(path, error)}.",
            "Save it anew as JPEG or PNG, or take it out of the folder.",
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height}")


def pixels_of(path: Path) -> int:
    """Width times height as the file's beginning says it; nothing is decoded. 0 for what is no picture."""
    try:
        if is_raw(path):
            width, height = raw_size(path)
            return width * height
        with Image.open(path, formats=OPENED) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, MemoryError, *_DECODER_ERRORS):
        return 0


def find_problem(path: Path) -> Problem | None:
    """Why a picture cannot be used, as far as its header says it: it is no picture, of a kind that is not read, or
    too large. Whether it is cut short shows only when it is decoded.
    """
    try:
        if is_raw(path):
            with _problems_named(path):
                _check_size(*raw_size(path))
        else:
            with _opened(path):
                pass
        return None
    except UserError as error:
        return problem_of(path, error)


def problem_of(path: Path, error: UserError) -> Problem:
    """The Problem behind an error of `open_rgb`."""
    return Problem(path.name, _reason(path, error.__cause__))


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize so that the picture covers `width` x `height` px, and cut away what stands over on two sides alike
    (Lanczos, antialiased).
    """
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _reason(path: Path, error: BaseException | None) -> str:
    if path.suffix.lower() in PHONE_SUFFIXES | _OTHER_SUFFIXES:
        package = package_for(path.suffix.lower())
        install = f", or install {package} (docs/install.md)" if package else ""
        return f"pictures of the kind {path.suffix} cannot be read; save it as JPEG first{install}"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "it is too large; make it smaller than 100 megapixels"
    if isinstance(error, FileNotFoundError):
        return "it is not there any more"
    if isinstance(error, PermissionError):
        return "reading it is not allowed"
    return "it is not a readable picture"


def _upright(image: Image.Image, tagged: Image.Image) -> Image.Image:
    """Turned as the EXIF tag of the opened file says. Pillow's exif_transpose also writes the other tags anew and fails
    where one of them is odd.
    """
    try:
        orientation = tagged.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_ERRORS:  # broken tags are no reason to lose a good picture
        return image
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _reduced_to_8_bits(image).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # which copies
    whole = Image.new("RGB", image.size)
    for top, band in _bands(image):
        coloured = band.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        whole.paste(Image.alpha_composite(white, coloured).convert("RGB"), (0, top))
    return whole


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in pieces of some rows, each with the number of its first row."""
    for top in range(0, image.height, _BAND_PX):
        yield top, image.crop((0, top, image.width, min(image.height, top + _BAND_PX)))


def _reduced_to_8_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits; Pillow's own convert cuts everything above 255 off, which turns photos white."""
    highest = max(float(np.asarray(band).max(initial=0)) for _, band in _bands(image))
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        white = next(
            (top for top in ((1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)) if highest <= top),
            highest,
        )
    whole = Image.new("L", image.size)
    for top, band in _bands(image):
        values = np.asarray(band).astype(np.float32)
        whole.paste(Image.fromarray(np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)), (0, top))
    return whole
