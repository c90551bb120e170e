"""What a person has done to photos before they are preprocessed: left out, turned, cropped. It is kept in a small file
beside the photos, so that the next run, another page and the command line do the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ti_core.errors import UserError
from ti_core.files import save_text
from ti_core.workspace import READ_ONLY, SAMPLE_PHOTOS, Workspace

BY_HAND_FILE = ".photos-by-hand.json"
"""In the folder of the photos, with which it moves."""
ELSEWHERE = "photos-by-hand"
"""Folder of the workspace for photos that lie where nothing may be written."""
LEAST_SCALE = 0.05
"""Smaller crops hold too few pixels to be meant."""
KEPT_UNDO = 100
TURNS = {0: None, 90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
"""Degrees clockwise -> what Pillow, which counts the other way, calls it."""

_writing = threading.RLock()
"""Held while the file is changed: two pages may do so in the same moment."""


@dataclass(frozen=True)
class HandEdit:
    """What was done to one photo. It is turned first, by `turn` degrees clockwise.

    `middle` is the crop's, as shares of the turned photo's width and height from its upper left corner; None leaves
    the crop to the program. `scale` is the crop's side as a share of the largest crop that fits.
    """

    is_out: bool = False
    turn: int = 0
    middle: tuple[float, float] | None = None
    scale: float = 1.0

    def turned(self, image: Image.Image) -> Image.Image:
        """The picture, or a mask of it, turned as the photo is."""
        turn = TURNS[self.turn]
        return image if turn is None else image.transpose(turn)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what was not done is left out."""
        found: dict[str, Any] = {}
        if self.is_out:
            found["out"] = True
        if self.turn:
            found["turn"] = self.turn
        if self.middle is not None:
            found |= {"middle": list(self.middle), "scale": self.scale}
        return found


UNTOUCHED = HandEdit()


def parse_edit(written: object) -> HandEdit | None:
    """What `to_dict` gave; None for anything else."""
    if not isinstance(written, dict) or written.keys() - {"out", "turn", "middle", "scale"}:
        return None
    is_out, turn = written.get("out", False), written.get("turn", 0)
    middle, scale = written.get("middle"), written.get("scale", 1.0)
    if type(is_out) is not bool or type(turn) is not int or turn not in TURNS:
        return None
    if not _is_number(scale, LEAST_SCALE):
        return None
    if middle is None:
        return HandEdit(is_out, turn)
    if not (isinstance(middle, list) and len(middle) == 2 and all(_is_number(share) for share in middle)):
        return None
    return HandEdit(is_out, turn, (float(middle[0]), float(middle[1])), float(scale))


def _is_number(value: object, least: float = 0.0) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= 1


def by_hand_file(folder: Path, workspace: Workspace) -> Path:
    """Where it is kept: beside the photos, or in the workspace where nothing may be written there."""
    shipped = any(folder.is_relative_to(place) for place in (*READ_ONLY, SAMPLE_PHOTOS))
    if not shipped and os.access(folder, os.W_OK):
        return folder / BY_HAND_FILE
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return workspace.root / ELSEWHERE / f"{folder.name}-{digest}.json"


def load_by_hand(folder: Path, workspace: Workspace) -> dict[str, HandEdit]:
    """Name of a photo of the folder -> what was done to it. Raises UserError for a file that cannot be read: cropping
    by itself what a person has cropped would be a silent loss.
    """
    return _load(by_hand_file(folder, workspace), workspace)[0]


def changes_to_undo(folder: Path, workspace: Workspace) -> int:
    """How many changes `undo_by_hand` can take back."""
    return len(_load(by_hand_file(folder, workspace), workspace)[1])


def change_by_hand(folder: Path, workspace: Workspace, name: str, edit: HandEdit) -> None:
    """Keep what was done to the photo of that name; `UNTOUCHED` forgets it. Raises UserError."""
    with _writing:
        file = by_hand_file(folder, workspace)
        edits, undo = _load(file, workspace)
        before = edits.get(name, UNTOUCHED)
        if edit == before:
            return
        _save(file, _changed(edits, name, edit), [*undo, (name, before)])


def undo_by_hand(folder: Path, workspace: Workspace) -> tuple[str, HandEdit]:
    """Take the last change back: the photo's name, and what is done to it now. Raises UserError if there is none."""
    with _writing:
        file = by_hand_file(folder, workspace)
        edits, undo = _load(file, workspace)
        if not undo:
            raise UserError("There is nothing to undo.", "What was done by hand shows on the photos.")
        name, before = undo.pop()
        _save(file, _changed(edits, name, before), undo)
        return name, before


def _changed(edits: Mapping[str, HandEdit], name: str, edit: HandEdit) -> dict[str, HandEdit]:
    kept = {each: old for each, old in edits.items() if each != name}
    return kept if edit == UNTOUCHED else {**kept, name: edit}


Undo = list[tuple[str, HandEdit]]


def _load(file: Path, workspace: Workspace) -> tuple[dict[str, HandEdit], Undo]:
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        edits = {str(name): parse_edit(edit) for name, edit in written["photos"].items()}
        undo = [(str(name), parse_edit(before)) for name, before in written.get("undo", [])]
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(file, workspace) from error
    known = {name: edit for name, edit in edits.items() if edit is not None}
    if len(known) < len(edits):
        raise _unreadable(file, workspace)
    return known, [(name, before) for name, before in undo if before is not None]


def _unreadable(file: Path, workspace: Workspace) -> UserError:
    return UserError(
        f"{workspace.shown(file)}, which holds your crops by hand, cannot be read.",
        "Delete it to begin anew, or put back a copy of it.",
    )


def _save(file: Path, edits: Mapping[str, HandEdit], undo: Undo) -> None:
    photos = {name: edit.to_dict() for name, edit in sorted(edits.items())}
    kept = [[name, before.to_dict()] for name, before in undo[-KEPT_UNDO:]]
    save_text(file, json.dumps({"photos": photos, "undo": kept}, ensure_ascii=True) + "\n")
