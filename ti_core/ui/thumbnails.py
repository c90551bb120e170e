"""Pictures of a dataset as the galleries show them: shrunk copies, so that no folder of the disk has to be opened to browsers."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

from ti_core.data.caption_edits import Captioned
from ti_core.data.images import open_rgb
from ti_core.errors import UserError


def thumbnail(captioned: Captioned, size_px: int) -> Image.Image:
    """The picture, at most `size_px` x `size_px` large; a grey area for one that cannot be read."""
    try:
        picture = open_rgb(captioned.picture)
    except UserError:
        return Image.new("RGB", (size_px, size_px), (128, 128, 128))
    picture.thumbnail((size_px, size_px))
    return picture


def figure(picture: Image.Image, name: str) -> str:
    """A picture and its name as HTML that needs no other file."""
    data, name = io.BytesIO(), html.escape(name, quote=True)
    picture.save(data, "webp")
    address = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return f'<figure><img src="{address}" alt="{name}"><figcaption>{name}</figcaption></figure>'


def words_below(captioned: Captioned) -> str:
    """What a gallery shows below the picture."""
    return captioned.caption or "(no words)"
