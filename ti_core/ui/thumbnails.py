"""Pictures of a dataset as the galleries show them: shrunk copies, so that no folder of the disk has to be opened
to browsers; a grey area for one that cannot be read.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import secrets
from pathlib import Path

from PIL import Image

from ti_core.data.caption_edits import Captioned
from ti_core.errors import UserError
from ti_core.ui.server.gradio_internals import upload_folder
from ti_core.ui.small_pictures import small_webp, webp

_SALT = secrets.token_bytes(16)
"""So that nobody can tell the name of a copy in the cache from the picture."""


def thumbnail(file: Path, size_px: int) -> str:
    """The picture, at most `size_px` x `size_px` large, as a file in gradio's cache, which gradio serves as it is. A
    picture object would be encoded, hashed and written anew with every answer that shows the gallery.
    """
    data = _small_data(file, size_px)
    place = Path(upload_folder()) / hashlib.sha256(_SALT + data).hexdigest() / "image.webp"
    try:
        os.utime(place)  # gradio deletes what is old
    except OSError:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{secrets.token_hex(8)}.part")
        part.write_bytes(data)
        os.replace(part, place)
    return str(place.absolute())


def _small_data(file: Path, size_px: int) -> bytes:
    """Kept in memory for as long as the picture's file is the same."""
    try:
        return small_webp(file, size_px)
    except UserError:
        return webp(Image.new("RGB", (size_px, size_px), (128, 128, 128)))


def picture_tag(file: Path, size_px: int, name: str) -> str:
    """A small copy of a picture's file as HTML that needs no other file; `name` is read aloud."""
    address = f"data:image/webp;base64,{base64.b64encode(_small_data(file, size_px)).decode('ascii')}"
    return f'<img src="{address}" alt="{html.escape(name, quote=True)}">'


def figure(file: Path, size_px: int, name: str) -> str:
    """A small copy of a picture's file and its name, as HTML that needs no other file."""
    return f"<figure>{picture_tag(file, size_px, name)}<figcaption>{html.escape(name)}</figcaption></figure>"


def words_below(captioned: Captioned) -> str:
    """What a gallery shows below the picture."""
    return captioned.caption or "(no words)"
