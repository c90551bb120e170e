"""Pictures of a dataset as the galleries show them: shrunk copies, so that no folder of the disk has to be opened
to browsers; a grey area for one that cannot be read.
"""

from __future__ import annotations

import base64
import functools
import html
from pathlib import Path

from PIL import Image

from ti_core.data.caption_edits import Captioned
from ti_core.errors import UserError
from ti_core.ui.small_pictures import small_picture, small_webp, webp


def thumbnail(file: Path, size_px: int) -> Image.Image:
    """The picture, at most `size_px` x `size_px` large; kept in memory for as long as its file is the same, because
    every change of captions shows the gallery anew.
    """
    try:
        facts = file.stat()
        return _small(file, size_px, facts.st_mtime_ns, facts.st_size)
    except (OSError, UserError):
        return _grey(size_px)


@functools.lru_cache(maxsize=256)
def _small(file: Path, size_px: int, mtime_ns: int, size_bytes: int) -> Image.Image:
    """0.2 MB each: those of one gallery."""
    return small_picture(file, size_px)


def picture_tag(file: Path, size_px: int, name: str) -> str:
    """A small copy of a picture's file as HTML that needs no other file; `name` is read aloud."""
    try:
        data = small_webp(file, size_px)
    except UserError:
        data = webp(_grey(size_px))
    address = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
    return f'<img src="{address}" alt="{html.escape(name, quote=True)}">'


def figure(file: Path, size_px: int, name: str) -> str:
    """A small copy of a picture's file and its name, as HTML that needs no other file."""
    return f"<figure>{picture_tag(file, size_px, name)}<figcaption>{html.escape(name)}</figcaption></figure>"


def words_below(captioned: Captioned) -> str:
    """What a gallery shows below the picture."""
    return captioned.caption or "(no words)"


def _grey(size_px: int) -> Image.Image:
    return Image.new("RGB", (size_px, size_px), (128, 128, 128))
