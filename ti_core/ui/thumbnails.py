"""Pictures of a dataset as the galleries show them: shrunk copies, so that no folder of the disk has to be opened
to browsers.
"""

from __future__ import annotations

import base64
import html
import io
import threading
from pathlib import Path

from PIL import Image

from ti_core.data.caption_edits import Captioned
from ti_core.data.images import open_rgb
from ti_core.errors import UserError

_ONE_AT_A_TIME = threading.Lock()


def thumbnail(captioned: Captioned, size_px: int) -> Image.Image:
    """The picture, at most `size_px` x `size_px` large (`small_picture`)."""
    return small_picture(captioned.picture, size_px)


def small_picture(file: Path, size_px: int) -> Image.Image:
    """The picture, at most `size_px` x `size_px` large; a grey area for one that cannot be read.

    One at a time, however many pages look at a folder: a photo of 100 megapixels takes 0.8 GB on its way. What its
    file says besides the picture (tags, texts, places) is left behind.
    """
    with _ONE_AT_A_TIME:
        try:
            picture = open_rgb(file, enough_px=2 * size_px)
        except UserError:
            return Image.new("RGB", (size_px, size_px), (128, 128, 128))
        picture.thumbnail((size_px, size_px))
        small = Image.new("RGB", picture.size)
        small.paste(picture)
        return small


def figure(picture: Image.Image, name: str) -> str:
    """A picture and its name as HTML that needs no other file."""
    return f"<figure>{_tag(picture, name)}<figcaption>{html.escape(name)}</figcaption></figure>"


def picture_tag(file: Path, size_px: int, name: str) -> str:
    """A small copy of a picture's file as HTML that needs no other file; `name` is read aloud."""
    return _tag(small_picture(file, size_px), name)


def _tag(picture: Image.Image, name: str) -> str:
    data = io.BytesIO()
    picture.save(data, "webp")
    address = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return f'<img src="{address}" alt="{html.escape(name, quote=True)}">'


def words_below(captioned: Captioned) -> str:
    """What a gallery shows below the picture."""
    return captioned.caption or "(no words)"
