"""Cards, pictures that carry an embedding (A1111 1.10.1, textual_inversion/image_embedding.py): as a text chunk, and
in pixel columns beside the picture (hidden_pixels.py). `.png` is written, `.png` and lossless `.webp` are read.

Both hold A1111's JSON. A picture may come from anybody, so sizes, shapes and numbers are checked before they are
used.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.embedding_format import EmbeddingFormat
from ti_core.embeddings.pt_file import content_of
from ti_core.errors import UserError
from ti_core.files import save_atomically

if TYPE_CHECKING:
    from PIL import Image

CARD_KEY = "sd-ti-embedding"
"""The text chunk of a picture in which A1111 keeps an embedding."""
TENSOR_KEY = "TORCHTENSOR"
MAX_JSON_BYTES = 16 * 2**20
"""A hundred vectors of SDXL come to about 5 MB; parsed JSON takes some twenty times its size in memory."""
MAX_PIXELS = 16 * 10**6
_ANOTHER = "Choose a picture that was saved with an embedding, and that was not resized or saved as JPEG since."
_PLAIN_COLOUR, _PLAIN_SIZE_PX = (96, 104, 120), (512, 512)


# ---- A1111's JSON


def to_payload(embedding: Embedding) -> dict[str, Any]:
    """A1111's dict with tensors as nested lists, for JSON (A1111 1.10.1, image_embedding.py: EmbeddingEncoder);
    float32 values become exact doubles, so nothing is lost.
    """
    return content_of(embedding, {encoder: {TENSOR_KEY: rows.tolist()} for encoder, rows in embedding.plain.items()})


def from_payload(payload: Any, where: str = "embedding") -> Embedding:
    """The embedding of a parsed JSON dict. `where` names the picture in errors, and gives the name where the data
    has none. Raises UserError.
    """
    from ti_core.embeddings.layouts import embeddings_in, safe_name

    if not isinstance(payload, dict):
        raise UserError(f"'{where}' holds data, but no Textual Inversion embedding.", _ANOTHER)
    content = {key: _tensor(value, where) for key, value in payload.items()}
    if isinstance(payload.get("string_to_param"), dict):
        content["string_to_param"] = {key: _tensor(value, where) for key, value in payload["string_to_param"].items()}
    return embeddings_in(content, Path(where), name=safe_name(payload.get("name"), Path(where)))[0]


def _tensor(value: Any, where: str) -> Any:
    """The tensor of nested lists under TENSOR_KEY, float64; every other value as it is. Raises UserError."""
    import torch

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


# ---- pictures


def hide_in_pixels(picture: Image.Image, embedding: Embedding) -> Image.Image:
    """The picture with the embedding's JSON in columns on either side; the first vector's values, as sizes from 0 to
    255, are the grey dots over them (A1111 1.10.1, image_embedding.py: insert_image_data_embed).
    """
    from ti_core.embeddings.hidden_pixels import hide

    first = next(iter(embedding.vectors.values()))[0, :1024].detach().float().abs().cpu().numpy()
    levels = first / max(float(first.max()), 1e-12) * 255
    return hide(picture, json.dumps(to_payload(embedding)).encode(), levels)


def save_card(path: Path, picture: Image.Image, embedding: Embedding) -> Path:
    """Write a PNG that looks like `picture` and carries the embedding twice: as a text chunk and in its pixels.
    Raises UserError if the disk is full.
    """
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text(CARD_KEY, base64.b64encode(json.dumps(to_payload(embedding)).encode()).decode("ascii"))
    card = hide_in_pixels(picture, embedding)
    return save_atomically(path, lambda part: card.save(part, "PNG", pnginfo=info, compress_level=3))


def load_picture(path: Path) -> Embedding:
    """The embedding that a PNG or lossless WebP carries: the text chunk, else the hidden pixels.

    Raises UserError that says why if it has neither, or if what it has cannot be used.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG", "WEBP")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"'{path.name}' is too large a picture ({picture.width} x {picture.height} pixels).", _ANOTHER
                )
            picture.load()
            # The text chunk comes first: it is exact, and found without decoding the hidden pixels.
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


def _hidden_data(picture: Image.Image, where: str) -> bytes | None:
    """The JSON in the pixels, or None if there is none. Raises UserError for data that is too large or cut off."""
    from ti_core.embeddings.hidden_pixels import find_hidden

    found = find_hidden(picture, MAX_JSON_BYTES)
    if found is None:
        return None
    data, is_whole = found
    if not is_whole:
        too_large = len(data) >= MAX_JSON_BYTES
        raise UserError(
            f"'{where}' holds {'more data than any embedding has' if too_large else 'data that is cut off'}.", _ANOTHER
        )
    return data


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"'{where}' holds data that is damaged.", _ANOTHER) from None


def carried_name(path: Path) -> str:
    """The name of the embedding that a picture carries, as `load_picture` gives it, without torch; empty if it carries
    none that can be read.
    """
    from PIL import Image

    from ti_core.workspace import clean_name

    try:
        with Image.open(path, formats=("PNG", "WEBP")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return ""
            text = picture.info.get(CARD_KEY)
            data = _from_base64(text, path.name) if isinstance(text, str) else _hidden_data(picture, path.name)
        payload = json.loads(data) if data is not None and len(data) <= MAX_JSON_BYTES else None
        if not isinstance(payload, dict):
            return ""
        name = payload.get("name")
        return clean_name(name if isinstance(name, str) else path.stem)
    except (UserError, OSError, SyntaxError, ValueError, RecursionError, Image.DecompressionBombError):
        return ""


def save_plain_card(path: Path, embedding: Embedding) -> Path:
    """A card without a preview: a plain area with word, checkpoint, vectors and step. Raises UserError if the disk is
    full.
    """
    from PIL import Image

    from ti_core.embeddings.card import render_card

    known = f"[{embedding.checkpoint_hash}]" if embedding.checkpoint_hash else ""
    steps = "" if embedding.step is None else f" {embedding.step}s"
    card = render_card(
        Image.new("RGB", _PLAIN_SIZE_PX, _PLAIN_COLOUR),
        f"<{embedding.name}>",
        (embedding.checkpoint_name or "", known, f"{embedding.count}v{steps}"),
    )
    return save_card(path, card, embedding)


PNG = EmbeddingFormat(
    suffix=".png",
    description="is a picture that carries the embedding",
    begins=lambda begin, size: begin.startswith(b"\x89PNG") or (begin.startswith(b"RIFF") and begin.endswith(b"WEBP")),
    load=lambda path: [load_picture(path)],
    save=save_plain_card,
    is_picture=True,
    word_in=carried_name,
)
WEBP = replace(PNG, suffix=".webp", save=None, can_train=False)
