"""ICC profiles made from public numbers, for pictures whose colours are not those of sRGB."""

from __future__ import annotations

import struct

from PIL import ImageCms

from ti_core.data.colours import matrix_profile

_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""IEC 61966-2-1, as parameters of an ICC parametric curve of type 3."""
PRINTED_CYAN = (0, 158, 224)
"""What a press makes of pure cyan; Pillow alone takes it for (0, 255, 255)."""


def display_p3() -> bytes:
    """Of phones: the primaries of SMPTE EG 432-1 with the curve of sRGB."""
    curve = struct.pack(">4sIHH5i", b"para", 0, 3, 0, *(round(65536 * value) for value in _SRGB_CURVE))
    return matrix_profile("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), curve)


def cmyk() -> bytes:
    """A press with the one colour PRINTED_CYAN, and else Pillow's own rule: a table of its 16 corners to Lab."""
    corners = bytearray()
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    for index in range(16):
        ink = [index >> shift & 1 for shift in (3, 2, 1, 0)]
        colour = tuple(255 * (1 - part) * (1 - ink[3]) for part in ink[:3])
        colour = PRINTED_CYAN if ink == [1, 0, 0, 0] else colour
        corners += _lab8(to_lab, colour)
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = struct.pack(">4sIBBBx", b"mft1", 0, 4, 3, 2) + identity + 4 * ramp + bytes(corners) + 3 * ramp
    description = struct.pack(">4sII", b"desc", 0, 6) + b"press\0" + bytes(78)
    white = struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)
    tags = {b"desc": description, b"wtpt": white, b"A2B0": table}
    entries, data = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        entries += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 132 + 12 * len(tags) + len(data)
    header = struct.pack(">I4sI4s4s4s12x4s", size, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + entries + data


def _lab8(transform: ImageCms.ImageCmsTransform, colour: tuple[int, ...]) -> bytes:
    """A colour as three bytes of an 8-bit Lab table: L from 0 to 255, a and b around 128. Pillow's LAB is signed."""
    from PIL import Image

    lightness, a, b = ImageCms.applyTransform(Image.new("RGB", (1, 1), colour), transform).tobytes()
    return bytes([lightness, (a + 128) % 256, (b + 128) % 256])
