"""What the names of finished pictures keep of their photo's name, which is the caption where there is no other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ti_core.data.captions import mirrored_caption, words_of_file_name, words_of_folder
from ti_core.data.steps import Piece

_STEM_BYTES = 180
"""File systems end a name at 255 bytes; the rest is for our numbers and the temporary name."""


def file_stem(stem: str) -> str:
    """What of a photo's stem the names of its pictures hold: no lines, no signs that turn the writing direction, and
    not more than a file's name may have.
    """
    plain = "".join(c for c in stem if c.isprintable())
    return os.fsencode(plain)[:_STEM_BYTES].decode("utf-8", "ignore")


def with_words_of_its_name(piece: Piece, photo: Path) -> Piece:
    """Without a caption the words of the folder's or the file's name are trained on; where the finished picture's name
    cannot say them, because they are cut, or left and right are exchanged, they become its caption.
    """
    if piece.caption:
        return piece
    words = words_of_folder(photo) or words_of_file_name(photo.stem)
    meant = mirrored_caption(words) if piece.mirrored else words
    said = words_of_file_name(photo.stem) if file_stem(photo.stem) == photo.stem else None
    return piece if meant == said else replace(piece, caption=meant)
