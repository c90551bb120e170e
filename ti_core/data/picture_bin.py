"""Pictures that were deleted from a dataset: moved, with their captions and masks, into bin/pictures/ of the workspace,
one folder a deletion, from where the last one can be put back. Nothing is ever removed from there by us.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection
from pathlib import Path

from ti_core.data.captions import CaptionFiles
from ti_core.data.masks import mask_file
from ti_core.data.mirrored import twin_of
from ti_core.errors import UserError
from ti_core.files import first_free, load_json, move, save_text
from ti_core.workspace import Workspace

BIN = "bin/pictures"
DELETED_FROM = "deleted-from.json"
"""Beside the deleted files: the folder that they come from."""


def delete_pictures(
    folder: Path, names: Collection[str], workspace: Workspace, with_copies: bool = False
) -> tuple[list[str], Path]:
    """Move these pictures of a dataset into the bin, with what belongs to them and, if wanted, their mirrored copies:
    the names of the pictures, and their place there. Raises UserError with nothing moved for a name that is not there,
    and for all pictures of the folder.
    """
    files = CaptionFiles.of(folder)
    by_name = {picture.name: picture for picture in files.pictures}
    if unknown := [name for name in names if name not in by_name]:
        raise UserError(f"Picture '{unknown[0][:100]}' is not in '{folder.name}' any more.", "Open the folder again.")
    chosen = {by_name[name] for name in names}
    if with_copies:
        chosen |= {twin for picture in chosen if (twin := twin_of(picture, files.pictures))}
    if not chosen:
        raise UserError("No picture is chosen.", "Choose one in the gallery.")
    if len(chosen) == len(files.pictures):
        raise UserError(
            f"These are all pictures of '{folder.name}'.", "Leave one, or choose another folder to train on."
        )
    time = datetime.datetime.now().strftime("%Y-%m-%d %H.%M.%S")
    place = first_free(lambda number: workspace.root / BIN / (time if number == 1 else f"{time} {number}"), Path.exists)
    save_text(place / DELETED_FROM, json.dumps({"folder": str(folder.resolve())}) + "\n")
    for picture in sorted(chosen):
        for file in (*_beside(picture, files), picture):  # the picture last: it is listed until all is moved
            move(file, place / file.name)
    return [picture.name for picture in sorted(chosen)], place


def _beside(picture: Path, files: CaptionFiles) -> list[Path]:
    """The caption files of the picture alone, and its mask."""
    found = [*files.all_of(picture), mask_file(picture)]
    return [file for file in dict.fromkeys(found) if file.parent == picture.parent and file.is_file()]


def deleted_pictures(folder: Path, workspace: Workspace) -> list[Path]:
    """The deletions from this folder that can be taken back, the last one first."""
    came_from = str(folder.resolve())
    places = sorted((workspace.root / BIN).glob(f"*/{DELETED_FROM}"), reverse=True)
    return [mark.parent for mark in places if load_json(mark).get("folder") == came_from]


def put_back_pictures(folder: Path, workspace: Workspace) -> list[str]:
    """Take the last deletion from this folder back: the names of its files. Raises UserError with nothing moved if
    there is none, or if other files of these names are there now.
    """
    places = deleted_pictures(folder, workspace)
    if not places:
        raise UserError(f"Nothing of '{folder.name}' is in the bin.", "Only what was deleted on this page is there.")
    files = sorted(file for file in places[0].iterdir() if file.name != DELETED_FROM)
    if taken := [file.name for file in files if (folder / file.name).exists()]:
        raise UserError(f"'{taken[0]}' is in '{folder.name}' again.", f"Take it from {BIN} by hand.")
    for file in files:
        move(file, folder / file.name)
    (places[0] / DELETED_FROM).unlink()
    places[0].rmdir()
    return [file.name for file in files]
