"""Small copies of pictures, for whatever shows many of them: made a few at a time, without what a file says besides its
picture (tags, texts, places).
"""

from __future__ import annotations

import functools
import io
import os
import threading
from pathlib import Path

from PIL import Image

from ti_core.data.images import open_rgb, pixels_of
from ti_core.errors import UserError
from ti_core.files import reason

_AT_ONCE = threading.Semaphore(min(os.cpu_count() or 1, 4))
"""However many pages look: a photo of 12 megapixels takes 40 MB on its way."""
_ONE_AT_A_TIME = threading.Lock()
"""For large ones: a picture of 100 megapixels takes 0.8 GB."""
_LARGE_PX = 16_000_000


def small_picture(file: Path, size_px: int) -> Image.Image:
    """The picture, at most `size_px` x `size_px` large. Raises UserError if it cannot be read."""
    with _ONE_AT_A_TIME if pixels_of(file) > _LARGE_PX else _AT_ONCE:
        picture = open_rgb(file, enough_px=2 * size_px, roughly=True)
        picture.thumbnail((size_px, size_px))
        small = Image.new("RGB", picture.size)
        small.paste(picture)
        return small


def webp(picture: Image.Image) -> bytes:
    """The picture as a file that every browser shows."""
    data = io.BytesIO()
    picture.save(data, "webp", quality=85)
    return data.getvalue()


def small_webp(file: Path, size_px: int) -> bytes:
    """As `small_picture`, as a file; kept in memory for as long as the picture's file is the same."""
    try:
        facts = file.stat()
    except OSError as error:
        raise UserError(f"'{file.name}' cannot be read: {reason(error)}.", "Check the file.") from error
    return _small_webp(file, size_px, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=2000)
def _small_webp(file: Path, size_px: int, mtime_ns: int, size_bytes: int) -> bytes:
    """A few kilobytes each."""
    return webp(small_picture(file, size_px))
