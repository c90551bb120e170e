"""Colours: whatever profile a picture has, its numbers become those of sRGB, which every checkpoint was trained on.

Phones write Display P3, cameras Adobe RGB, printers CMYK; their numbers taken for sRGB give pale or greenish skin.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Sequence

from PIL import ExifTags, Image, ImageCms

ADOBE_RGB = ((0.6400, 0.3300), (0.2100, 0.7100), (0.1500, 0.0600)), 563 / 256
"""Chromaticities (x, y) of its red, green and blue, and its gamma (Adobe RGB (1998) Color Image Encoding, 4.3)."""
_WHITE_D65 = (0.3127, 0.3290)
_WHITE_D50 = (0.9642, 1.0, 0.8249)
"""XYZ of the white that all ICC profiles are written for (ICC.1:2022, 7.2.16)."""
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
"""Colour space of a profile -> the mode of a picture that it describes."""

Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def to_srgb(image: Image.Image) -> Image.Image:
    """The picture with its colours in sRGB: RGB or RGBA where it has a profile, and as it is where it has none, or
    one that is broken or belongs to another kind of picture.
    """
    profile = image.info.get("icc_profile") or (adobe_rgb_profile() if _says_adobe_rgb(image) else None)
    if not profile or image.mode.startswith(("I", "F")):
        return image
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _is_srgb(opened):
            return image
        has_alpha = image.has_transparency_data
        mode = _MODES[opened.profile.xcolor_space]
        if mode == "RGB":
            fitting = image.convert("RGBA" if has_alpha else "RGB")
        elif mode == "L" and image.mode in ("1", "L", "LA", "P"):
            fitting = image.convert("L")
        else:
            fitting = image
        output = "RGBA" if fitting.mode == "RGBA" else "RGB"
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), fitting.mode, output)
        found = ImageCms.applyTransform(fitting, transform)
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
        return image  # as every viewer shows it then
    if found is None:
        return image
    if has_alpha and output == "RGB":
        found.putalpha(image.convert("RGBA").getchannel("A"))
    return found


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """By its name, as nearly all cameras and programs write it: such numbers stay as they are to the last bit."""
    name = (profile.profile.profile_description or "").strip().lower()
    return name.startswith("srgb") and "linear" not in name and profile.profile.xcolor_space == "RGB "


def _says_adobe_rgb(image: Image.Image) -> bool:
    """Whether a camera says so without a profile (DCF 2.0: interoperability index R03)."""
    if image.mode != "RGB" or "exif" not in image.info:
        return False
    try:
        return str(image.getexif().get_ifd(ExifTags.IFD.Interop).get(1, "")).strip("\0 ") == "R03"
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error):  # broken tags
        return False


# ---- profiles of our own


@functools.cache
def adobe_rgb_profile() -> bytes:
    """For pictures of cameras that name Adobe RGB without a profile."""
    chromaticities, gamma = ADOBE_RGB
    curve = struct.pack(">4sIIH2x", b"curv", 0, 1, round(gamma * 256))
    return matrix_profile("Adobe RGB", chromaticities, curve)


def matrix_profile(name: str, chromaticities: Chromaticities, curve: bytes) -> bytes:
    """An ICC profile for RGB with white D65, of red, green and blue (x, y) and the one tone curve of all three, an
    element of type curv or para (ICC.1:2022, sections 7.2, 8.3 and 10).
    """
    columns = _adapted_primaries(chromaticities)
    text = name.encode("ascii") + b"\0"
    description = struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78)
    tags = {b"desc": description, b"wtpt": _xyz(_WHITE_D50)}
    tags |= {letter + b"XYZ": _xyz(column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
    tags |= {letter + b"TRC": curve for letter in (b"r", b"g", b"b")}
    table, data = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, begin + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = begin + len(data)
    header = struct.pack(">I4sI4s4s4s12x4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += bytes(28) + struct.pack(">3i", *(round(65536 * part) for part in _WHITE_D50))
    return header + bytes(128 - len(header)) + table + data


def _xyz(values: Sequence[float]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(65536 * value) for value in values))


def _adapted_primaries(chromaticities: Chromaticities) -> list[list[float]]:
    """XYZ of red, green and blue at white D65, adapted to D50 with the Bradford matrix (ICC.1:2022, annex E)."""
    import numpy as np

    def xyz(x: float, y: float) -> list[float]:
        return [x / y, 1.0, (1 - x - y) / y]

    primaries = np.array([xyz(*each) for each in chromaticities]).T
    white = np.array(xyz(*_WHITE_D65))
    primaries = primaries * np.linalg.solve(primaries, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gains = np.diag((bradford @ np.array(_WHITE_D50)) / (bradford @ white))
    adapted: list[list[float]] = (np.linalg.inv(bradford) @ gains @ bradford @ primaries).T.tolist()
    return adapted
