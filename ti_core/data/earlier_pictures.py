"""What an earlier preprocessing left in a folder is moved aside before the next one: kept, and not trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

from ti_core.data.captions import CAPTION_SUFFIXES
from ti_core.data.images import find_images, is_mask
from ti_core.data.origin import OUTPUT_NAME
from ti_core.errors import UserError
from ti_core.events import Emit, Notice
from ti_core.files import first_free
from ti_core.workspace import Workspace

DEBUG_FOLDER = "debug"
"""Pictures of the focal crop go into this folder of the destination: a dataset holds no sub-folders, so they are
never trained on.
"""


def set_aside_earlier_pictures(destination: Path, workspace: Workspace, emit: Emit) -> None:
    """Move what an earlier preprocessing left in the folder into `earlier-1`, `earlier-2`, ...: kept, with
    hand-written captions, but not trained on.

    Photos that were added since then shift the numbers, so that old and new pictures would mix. Other files stay
    where they are.
    """
    if not destination.is_dir():
        return
    ours = (".png", *CAPTION_SUFFIXES)
    earlier = [
        p
        for p in sorted(destination.iterdir())
        if p.is_file() and OUTPUT_NAME.match(p.stem) and p.suffix.lower() in ours
    ]
    if earlier:
        aside = first_free(lambda number: destination / f"earlier-{number}", Path.exists)
        try:
            aside.mkdir()
            debug = destination / DEBUG_FOLDER
            for path in [*earlier, *([debug] if debug.is_dir() else [])]:
                shutil.move(path, aside / path.name)
        except OSError as error:
            raise UserError(
                f"The earlier pictures in {workspace.shown(destination)} could not be moved aside: {error.strerror}.",
                "Choose another destination.",
            ) from error
        pictures = sum(path.suffix == ".png" and not is_mask(path) for path in earlier)
        moved = (
            f"{counted(pictures, 'picture')} of an earlier run moved to {workspace.shown(aside)}, so that old and new"
            " do not mix."
        )
        emit(Notice(f"{moved} Delete that folder if you do not need it."))
    if others := find_images(destination):
        names = ", ".join(path.name for path in others[:5]) + (", ..." if len(others) > 5 else "")
        emit(
            Notice(
                f"{workspace.shown(destination)} also holds {counted(len(others), 'other picture')} ({names}). Training"
                " there will use them too."
            )
        )


def counted(number: int, noun: str) -> str:
    """Number and noun, in the plural where it is due."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
