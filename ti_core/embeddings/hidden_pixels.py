"""Bytes hidden in the pixels of a picture, in columns on both sides of it, which survive sites that strip text chunks
(A1111 1.10.1, image_embedding.py: insert_image_data_embed, extract_image_data_embed).

The low four bits of each pixel hold data: the left block the low halves of the bytes, the right block the high ones,
both under a fixed cipher. A picture may come from anybody, so sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

_DOT_PITCH_PX = 8
Array = npt.NDArray[Any]
"""uint8; numpy's types lose track of that at the first operator."""


# ---- the cipher


@lru_cache(maxsize=4)
def _keystream(count: int) -> Array:
    """uint8 [count]: state <- 1664525 state + 1013904223 mod 2**32 from 0; the low four bits of (state mod 255)."""
    states = np.array([1013904223], np.uint32)
    factor, offset = 1664525, 1013904223
    while len(states) < count:  # with n states known, state[i + n] = factor**n state[i] + offset_n: the list doubles
        states = np.concatenate([states, states * np.uint32(factor) + np.uint32(offset)])
        offset = (offset * factor + offset) % 2**32
        factor = factor * factor % 2**32
    stream = (states[:count] % 255).astype(np.uint8) & 15
    stream.setflags(write=False)
    return stream


def _ciphered(block: Array) -> Array:
    """The block, xor the keystream, which starts anew for each block; doing it twice gives the block back."""
    return block ^ _keystream(-(-block.size // 4096) * 4096)[: block.size].reshape(block.shape)


# ---- writing


def _dots(levels: Array, height: int, width: int) -> Array:
    """uint8 [height, width, 1], upper four bits only: a pattern of grey dots, which hides that the columns are data."""
    image = Image.new("L", (width, height))
    pen, number = ImageDraw.Draw(image), 0
    for x in range(-6, width, _DOT_PITCH_PX):
        for row, y in enumerate(range(-6, height, _DOT_PITCH_PX)):
            left = x + (4 if row % 2 == 0 else 0)
            pen.ellipse([left, y, left + 6, y + 6], fill=int(levels[number % len(levels)]))
            number += 1
    return np.asarray(image)[:, :, None] & 0xF0


def hide(picture: Image.Image, data: bytes, levels: Array) -> Image.Image:
    """The picture with a block of data columns on either side, RGB, of the same height. `levels` are the grey values,
    0 to 255, of the dots that are drawn over the blocks.
    """
    height = picture.height
    packed = np.frombuffer(zlib.compress(data, 9), np.uint8)

    # Both blocks have 3 bytes a pixel and the picture's height, so the data is repeated until they are full.
    padded = len(packed) + height - len(packed) % height
    padded += 3 * height - padded % (3 * height)
    width = padded // (3 * height)
    repeated = np.resize(packed, padded).reshape(height, width, 3)
    low = _ciphered(repeated & 15) | _dots(levels, height, width)
    high = _ciphered(repeated >> 4) | _dots(levels[::-1], height, width)

    # The reader cuts off outer black rows and columns. A lit pixel in two corners keeps ours in a dark picture too.
    low[0, 0] |= 16
    high[-1, -1] |= 16
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(np.concatenate([low, black, np.asarray(picture.convert("RGB")), black, high], axis=1))


# ---- reading


def _without_black_border(pixels: Array) -> Array:
    """The pixels [height, width, 3] without outer rows and columns that have no lit pixel; empty if none is lit."""
    lit: Array = np.min(pixels, axis=2) > 0
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else pixels[:0]


def find_hidden(picture: Image.Image, most_bytes: int) -> tuple[bytes, bool] | None:
    """The bytes in the pixels, at most `most_bytes` of them, and whether these are all; None if there are none."""
    # The data blocks are parted from the picture by columns whose low four bits are all 0: the first and the last such.
    nibbles: Array = _without_black_border(np.asarray(picture.convert("RGB"))) & 15
    borders = np.flatnonzero(~nibbles.any(axis=(0, 2)))
    if len(borders) < 2:
        return None
    low, high = nibbles[:, : borders[0]], nibbles[:, borders[-1] + 1 :]
    if low.shape != high.shape or not low.size:
        return None
    packed = (_ciphered(high) << 4 | _ciphered(low)).tobytes()
    # Unpacked up to a limit, because a small picture can hold gigabytes of zeros.
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed, most_bytes)
    except zlib.error:
        return None
    return data, reader.eof
