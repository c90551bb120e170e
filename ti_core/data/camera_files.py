"""Pictures in phones' and cameras' own formats: HEIC by pi-heif, RAW by rawpy. Both are optional (docs/install.md);
where they are not installed, such pictures are named.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from PIL import Image

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".heics", ".heifs", ".hif"})
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf"
    " .srw .x3f".split()
)
CAMERA_SUFFIXES = HEIF_SUFFIXES | RAW_SUFFIXES
HEIF_PACKAGES = ("pi_heif", "pillow_heif")
"""The first that is installed reads HEIC. Both are BSD and by the same authors; the second also writes it, with x265,
which is GPL and four times as large.
"""
_UNUSABLE = (ImportError, OSError, AttributeError, RuntimeError, ValueError)
"""What importing such a package raises where it is not installed, where a library of the system is missing, or where
it was built for another numpy: pictures of its kind are then not read.
"""


@functools.cache
def heif_formats() -> tuple[str, ...]:
    """Pillow's name of the format, if it can be read here; its decoder is then known to Pillow."""
    for name in HEIF_PACKAGES:
        try:
            importlib.import_module(name).register_heif_opener(thumbnails=False)
        except _UNUSABLE:
            continue
        return ("HEIF",)
    return ()


@functools.cache
def _rawpy() -> Any:
    """The module, None where it cannot be used."""
    try:
        return importlib.import_module("rawpy")
    except _UNUSABLE:
        return None


@functools.cache
def read_suffixes() -> frozenset[str]:
    """Those of CAMERA_SUFFIXES that can be read here."""
    return (HEIF_SUFFIXES if heif_formats() else frozenset()) | (RAW_SUFFIXES if _rawpy() else frozenset())


def package_for(suffix: str) -> str:
    """What to install so that pictures of this kind can be read; empty for other kinds."""
    return "rawpy" if suffix in RAW_SUFFIXES else "pi-heif" if suffix in HEIF_SUFFIXES else ""


def is_raw(path: Path) -> bool:
    """By the name: inside, most are TIFF files whose first picture is a thumbnail, which nobody wants to train on."""
    return path.suffix.lower() in RAW_SUFFIXES


def raw_size(path: Path) -> tuple[int, int]:
    """Width and height in px, upright, by the header. Raises OSError for what cannot be read."""
    with _opened_raw(path) as raw:
        sizes = raw.sizes
        return (sizes.height, sizes.width) if sizes.flip in (5, 6) else (sizes.width, sizes.height)


def open_raw(path: Path, enough_px: int = 0) -> Image.Image:
    """The picture in sRGB, upright, with the camera's white balance; at half its sides if its shorter one then still
    has `enough_px`, which takes less time. Raises OSError for what cannot be read.
    """
    with _opened_raw(path) as raw:
        is_enough = 0 < enough_px <= min(raw.sizes.width, raw.sizes.height) // 2
        try:
            return Image.fromarray(raw.postprocess(use_camera_wb=True, half_size=is_enough))
        except _rawpy().LibRawError as error:
            raise OSError(str(error)) from error


def _opened_raw(path: Path) -> Any:
    rawpy = _rawpy()
    if rawpy is None:
        raise OSError("rawpy is not installed")
    try:
        return rawpy.imread(str(path))
    except rawpy.LibRawError as error:
        raise OSError(str(error)) from error
