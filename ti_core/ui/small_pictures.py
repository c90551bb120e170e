"""Small copies of pictures for pages that show many of them, kept in memory for whoever asks next."""

from __future__ import annotations

import functools
import io
import threading
from pathlib import Path

from PIL import Image

from ti_core.data.images import open_rgb
from ti_core.errors import UserError
from ti_core.files import reason

_ONE_AT_A_TIME = threading.Lock()
"""A photo of 100 megapixels takes 0.8 GB on its way."""


def small_webp(path: Path, size_px: int) -> bytes:
    """The picture as webp, at most `size_px` x `size_px` large, without what its file says besides it. Made once for as
    long as the file is the same. Raises UserError if it cannot be read.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file.") from error
    return _small_webp(path, size_px, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=2000)
def _small_webp(path: Path, size_px: int, mtime_ns: int, size_bytes: int) -> bytes:
    """A few kilobytes each."""
    with _ONE_AT_A_TIME:
        picture = open_rgb(path, enough_px=2 * size_px)
        picture.thumbnail((size_px, size_px))
        small, data = Image.new("RGB", picture.size), io.BytesIO()
        small.paste(picture)  # leaves behind what the file says besides
        small.save(data, "webp", quality=85)
        return data.getvalue()
