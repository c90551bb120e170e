"""Which picture of a dataset is the mirrored copy of which: Preprocess puts each right after its original, and says it
in the picture (origin.py); of older datasets the pixels tell.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from PIL import ImageChops, ImageOps

from ti_core.data.images import open_rgb
from ti_core.data.origin import OUTPUT_NAME, look_at
from ti_core.errors import UserError
from ti_core.files import state_of


def mirrored_pairs(pictures: Iterable[Path]) -> list[tuple[Path, Path]]:
    """(original, mirrored copy), for all pictures of one folder that have one."""
    by_place = {_place(path): path for path in pictures if OUTPUT_NAME.match(path.stem)}
    pairs = []
    for (photo, piece, rest), original in by_place.items():
        copy = by_place.get((photo, piece + 1, rest))
        if piece % 2 == 0 and copy and _is_mirrored(original, copy):
            pairs.append((original, copy))
    return pairs


def twin_of(picture: Path, pictures: Iterable[Path]) -> Path | None:
    """The mirrored copy of a picture of the folder, or the original of a copy; None where there is none."""
    if not OUTPUT_NAME.match(picture.stem):
        return None
    photo, piece, rest = _place(picture)
    near = (path for path in pictures if path.name.startswith(f"{photo}-"))  # among thousands
    alike = [path for path in near if OUTPUT_NAME.match(path.stem) and _place(path)[::2] == (photo, rest)]
    pairs = mirrored_pairs(path for path in alike if _place(path)[1] // 2 == piece // 2)
    return next((b if a == picture else a for a, b in pairs if picture in (a, b)), None)


def _place(path: Path) -> tuple[str, int, str]:
    match = OUTPUT_NAME.match(path.stem)
    assert match, "it is asked for finished pictures only"
    return match[1], int(match[2]), match[3] + path.suffix.lower()


def _is_mirrored(original: Path, copy: Path) -> bool:
    both = look_at(original), look_at(copy)
    if not both[0] or not both[1] or both[0].size != both[1].size:
        return False
    flipped = [bool(look and look.origin and look.origin.flipped) for look in both]
    return (
        flipped[1] and not flipped[0] if any(flipped) else _shows_mirrored(original, copy, state_of([original, copy]))
    )


@functools.lru_cache(maxsize=10_000)
def _shows_mirrored(original: Path, copy: Path, state: tuple[object, ...]) -> bool:
    """By the pixels, remembered while the files stay the same."""
    try:
        return ImageChops.difference(ImageOps.mirror(open_rgb(original)), open_rgb(copy)).getbbox() is None
    except UserError:
        return False
