"""Which of the painted pictures are bad: the ticked ones stay in the dataset of a negative word, the others move out of
it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ti_core.data.captions import CaptionFiles
from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.files import first_free

GOOD = "-good"
"""Ending of the folder beside the dataset that the good pictures go to."""


def keep_bad(folder: Path, bad: Collection[str]) -> tuple[int, Path]:
    """Move all pictures of the folder but those of these names, with their captions, into a folder beside it. Gives how
    many were moved, and where to. Raises UserError, with nothing moved, where none of the names is there.
    """
    pictures = find_images(folder)
    good = [path for path in pictures if path.name not in bad]
    if len(good) == len(pictures):
        raise UserError("No picture is ticked.", "Tick those that are bad: the word learns to avoid them.")
    target = folder.with_name(folder.name + GOOD)
    files = CaptionFiles.of(folder)
    for path in good:
        for file in (*files.all_of(path), path):
            target.mkdir(parents=True, exist_ok=True)
            file.rename(_free_place(target, file))
    return len(good), target


def _free_place(folder: Path, file: Path) -> Path:
    """Where a file goes, numbered where another lies."""

    def named(number: int) -> Path:
        return folder / (file.name if number == 1 else f"{file.stem}-{number}{file.suffix}")

    return first_free(named, Path.exists)
