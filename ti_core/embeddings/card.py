"""The texts on an embedding's card: name, checkpoint and step on a preview that is darkened at top and bottom (A1111
1.10.1, image_embedding.py: caption_image_overlay).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_SIDE_PX = 512
PADDING_PX = 10
WHITE = (255, 255, 255, 230)
_MEASURED_AT_PX, _LARGEST_PX, _SMALLEST_PX = 32, 72, 6


def render_card(preview: Image.Image, title: str, footer: tuple[str, str, str]) -> Image.Image:
    """The preview with `title` at its top and the three texts of `footer` at its bottom, RGB; enlarged to at least 512
    px on the short side, so that they can be read.

    A1111 writes `<name-10>` as title, and as footer the checkpoint's name, `[hash]` and `1v 10s` (vectors, steps).
    """
    picture = _darkened(_enlarged(preview.convert("RGB")))
    width, height = picture.size
    layer = Image.new("RGBA", picture.size, (255, 255, 255, 0))
    pen = ImageDraw.Draw(layer)
    pen.text(
        (PADDING_PX, PADDING_PX), title, WHITE, _font(_fitting_size(title, width * 0.75 - 4 * PADDING_PX)), anchor="lt"
    )
    # One size for all three texts of the footer, so the longest decides.
    font = _font(min(_fitting_size(text, width / 3 - PADDING_PX) for text in footer))
    for text, x, anchor in zip(footer, (PADDING_PX, width / 2, width - PADDING_PX), ("ls", "ms", "rs"), strict=True):
        pen.text((x, height - PADDING_PX), text, WHITE, font, anchor=anchor)
    picture.paste(layer, (0, 0), layer)
    return picture


def _enlarged(picture: Image.Image) -> Image.Image:
    scale = MIN_SIDE_PX / min(picture.size)
    if scale <= 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def _darkened(picture: Image.Image) -> Image.Image:
    """The picture under black whose opacity at row y of H is max(1 - cos(1.5 y/H), 1 - cos(1.65 (H - y)/H))."""
    y = np.arange(picture.height, dtype=np.float32) / picture.height
    opacity = np.maximum(1 - np.cos(1.5 * y), 1 - np.cos(1.65 * (1 - y))).clip(0, 1)
    return Image.fromarray((np.asarray(picture) * (1 - opacity)[:, None, None]).astype(np.uint8))


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)


def _fitting_size(text: str, width_px: float) -> int:
    """The font size in pixels, within bounds, at which the text is about `width_px` wide."""
    measured = _font(_MEASURED_AT_PX).getlength(text)
    return (
        _LARGEST_PX
        if measured == 0
        else max(_SMALLEST_PX, min(_LARGEST_PX, int(_MEASURED_AT_PX * width_px / measured)))
    )
