"""Embeddings inside pictures (A1111 1.10.1, textual_inversion/image_embedding.py): a text chunk, and pixel columns
beside the picture that survive sites which strip chunks.

Both hold A1111's JSON. A picture may come from anybody, so sizes, shapes and numbers are checked before they are
used.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, PngImagePlugin, UnidentifiedImageError

from ti_core.checkpoints.library import CARD_KEY
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.layouts import embeddings_in, safe_name
from ti_core.embeddings.pt_file import content_of
from ti_core.errors import UserError
from ti_core.files import save_atomically

TENSOR_KEY = "TORCHTENSOR"
MAX_JSON_BYTES = 16 * 2**20
"""A hundred vectors of SDXL come to about 5 MB; parsed JSON takes some twenty times its size in memory."""
MAX_PIXELS = 16 * 10**6
_ANOTHER = "Choose a picture that was saved with an embedding, and that was not resized or saved as JPEG since."
_DOT_PITCH_PX = 8
Array = npt.NDArray[Any]
"""uint8; numpy's types lose track of that at the first operator."""


def to_payload(embedding: Embedding) -> dict[str, Any]:
    """A1111's dict (A1111 1.10.1, textual_inversion.py: Embedding, create_embedding) with tensors as nested lists;
    float32 values become exact doubles, so nothing is lost.
    """
    return content_of(embedding, {encoder: {TENSOR_KEY: rows.tolist()} for encoder, rows in embedding.plain.items()})


def from_payload(payload: Any, where: str = "embedding") -> Embedding:
    """The embedding of a parsed JSON dict. `where` names the picture in errors, and gives the name where the data
    has none.
    """
    if not isinstance(payload, dict):
        raise UserError(f"'{where}' holds data, but no Textual Inversion embedding.", _ANOTHER)
    content = {key: _tensor(value, where) for key, value in payload.items()}
    if isinstance(payload.get("string_to_param"), dict):
        content["string_to_param"] = {key: _tensor(value, where) for key, value in payload["string_to_param"].items()}
    return embeddings_in(content, Path(where), name=safe_name(payload.get("name"), Path(where)))[0]


def _tensor(value: Any, where: str) -> Any:
    """Nested lists under TENSOR_KEY become a tensor; every other value stays."""
    if not isinstance(value, dict) or TENSOR_KEY not in value:
        return value
    try:
        return torch.tensor(value[TENSOR_KEY], dtype=torch.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise UserError(f"'{where}' holds an embedding whose vectors are damaged.", _ANOTHER) from None


def _parsed(data: bytes, where: str) -> Embedding:
    if len(data) > MAX_JSON_BYTES:
        raise UserError(f"'{where}' holds more data than any embedding has.", _ANOTHER)
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        raise UserError(f"'{where}' holds data that is damaged.", _ANOTHER) from None
    return from_payload(payload, where)


# ------------------------------------------------------------------------------------------------ the cipher of A1111
# 1.10.1, image_embedding.py: insert_image_data_embed


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
    """Each block restarts the stream; applying it twice gives the block back."""
    return block ^ _keystream(-(-block.size // 4096) * 4096)[: block.size].reshape(block.shape)


# ------------------------------------------------------------------------------------------------ hidden pixels


def _dots(levels: Array, height: int, width: int) -> Array:
    """uint8 [height, width, 1]: the pattern of grey dots that makes the data columns pleasant to look at; upper
    four bits only.
    """
    image = Image.new("L", (width, height))
    pen, number = ImageDraw.Draw(image), 0
    for x in range(-6, width, _DOT_PITCH_PX):
        for row, y in enumerate(range(-6, height, _DOT_PITCH_PX)):
            left = x + (4 if row % 2 == 0 else 0)
            pen.ellipse([left, y, left + 6, y + 6], fill=int(levels[number % len(levels)]))
            number += 1
    return np.asarray(image)[:, :, None] & 0xF0


def hide_in_pixels(picture: Image.Image, embedding: Embedding) -> Image.Image:
    """The picture with a block of data columns on either side (A1111 1.10.1, image_embedding.py:
    insert_image_data_embed), RGB, of the same height.
    """
    height = picture.height
    data = np.frombuffer(zlib.compress(json.dumps(to_payload(embedding)).encode(), 9), np.uint8)
    padded = len(data) + height - len(data) % height
    padded += 3 * height - padded % (3 * height)
    width = padded // (3 * height)
    repeated = np.resize(data, padded).reshape(height, width, 3)
    first = next(iter(embedding.vectors.values()))[0, :1024].detach().float().abs().cpu().numpy()
    levels = first / max(float(first.max()), 1e-12) * 255
    low = _ciphered(repeated & 15) | _dots(levels, height, width)
    high = _ciphered(repeated >> 4) | _dots(levels[::-1], height, width)
    # The reader cuts off outer black rows and columns. A lit pixel in two corners keeps ours, however dark the picture
    # is.
    low[0, 0] |= 16
    high[-1, -1] |= 16
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(np.concatenate([low, black, np.asarray(picture.convert("RGB")), black, high], axis=1))


def _without_black_border(pixels: Array) -> Array:
    lit: Array = np.min(pixels, axis=2) > 0
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else pixels[:0]


def _hidden_data(picture: Image.Image, where: str) -> bytes | None:
    """The JSON in the pixels, or None if there is none. Raises UserError for data that is too large."""
    nibbles: Array = _without_black_border(np.asarray(picture.convert("RGB"))) & 15
    borders = np.flatnonzero(~nibbles.any(axis=(0, 2)))
    if len(borders) < 2:
        return None
    low, high = nibbles[:, : borders[0]], nibbles[:, borders[-1] + 1 :]
    if low.shape != high.shape or not low.size:
        return None
    packed = (_ciphered(high) << 4 | _ciphered(low)).tobytes()
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed, MAX_JSON_BYTES)
    except zlib.error:
        return None
    if not reader.eof:
        too_large = len(data) >= MAX_JSON_BYTES
        raise UserError(
            f"'{where}' holds {'more data than any embedding has' if too_large else 'data that is cut off'}.", _ANOTHER
        )
    return data


# ------------------------------------------------------------------------------------------------ files


def save_card(path: Path, picture: Image.Image, embedding: Embedding) -> Path:
    """Write a PNG that looks like `picture` and carries the embedding twice: as a text chunk and in its pixels."""
    info = PngImagePlugin.PngInfo()
    info.add_text(CARD_KEY, base64.b64encode(json.dumps(to_payload(embedding)).encode()).decode("ascii"))
    card = hide_in_pixels(picture, embedding)
    return save_atomically(path, lambda part: card.save(part, "PNG", pnginfo=info, compress_level=3))


def load_picture(path: Path) -> Embedding:
    """The embedding that a PNG or lossless WebP carries: the text chunk, else the hidden pixels.

    Raises UserError that says why if it has neither, or if what it has cannot be used.
    """
    try:
        with Image.open(path, formats=("PNG", "WEBP")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"'{path.name}' is too large a picture ({picture.width} x {picture.height} pixels).", _ANOTHER
                )
            picture.load()
            text = picture.info.get(CARD_KEY)
            if isinstance(text, str):
                return _parsed(_from_base64(text, path.name), path.name)
            data = _hidden_data(picture, path.name)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent.name}/.", "Check the spelling.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"'{path.name}' cannot be opened as a PNG or WebP picture.", _ANOTHER) from error
    if data is None:
        raise UserError(f"'{path.name}' carries no embedding, neither as text nor in its pixels.", _ANOTHER)
    return _parsed(data, path.name)


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"'{where}' holds data that is damaged.", _ANOTHER) from None
