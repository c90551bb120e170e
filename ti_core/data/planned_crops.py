"""Where Preprocess will crop a photo, before it does: found on a small copy, by the very steps that will do it."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ti_core.data.by_hand import HandEdit
from ti_core.data.crops import Size
from ti_core.data.face_model import face_finder_file
from ti_core.data.images import open_rgb
from ti_core.data.origin import Origin
from ti_core.data.steps import SMALL_FACE, Piece, Steps
from ti_core.files import state_of
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

SEARCHED_PX = 1024
"""The longer side of the copy: faces are looked for in no larger one anyway."""
BLANK_PX = 512
LINE = "It is a mere line, so it is left out"
Shares = tuple[float, float, float, float]
"""Left, upper, width and height of a crop, as shares of the turned photo's sides."""
_searching = threading.Lock()
"""One photo at a time, however many pages look: a training may be running beside this."""


class PlannedCrop(NamedTuple):
    """The crops of one photo, and why a person should look at them (empty for nothing)."""

    boxes: list[Shares]
    note: str


def needs_pixels(settings: PreprocessSettings) -> bool:
    """Whether the photo has to be decoded to know its crop; else its size is enough."""
    return settings.face_crop or settings.focal_crop


def plan_by_size(size: Size, edit: HandEdit, settings: PreprocessSettings, workspace: Workspace) -> PlannedCrop:
    """The crops of a photo of `size` px, upright, where `needs_pixels` is false. Settings are `sized` ones. Photos of
    one camera have few sizes, so it is worked out once for each.
    """
    return _planned_by_size(size, replace(edit, is_out=False), _cropping(settings), workspace)


@functools.lru_cache(maxsize=2000)
def _planned_by_size(size: Size, edit: HandEdit, settings: PreprocessSettings, workspace: Workspace) -> PlannedCrop:
    scale = BLANK_PX / max(size)
    blank = Image.new("RGB", (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
    return _planned(blank, size, edit, _steps(settings, workspace, (0, 0)))


def plan_by_pixels(photo: Path, edit: HandEdit, settings: PreprocessSettings, workspace: Workspace) -> PlannedCrop:
    """The crops of a photo by what it shows, remembered while its file stays the same. Raises UserError if it cannot
    be read.
    """
    # a photo that was left out has the same crop as before
    return _found(photo, state_of([photo]), replace(edit, is_out=False), _cropping(settings), workspace)


@functools.lru_cache(maxsize=20_000)
def _found(photo: Path, state: Any, edit: HandEdit, settings: PreprocessSettings, workspace: Workspace) -> PlannedCrop:
    with _searching:
        image = open_rgb(photo, SEARCHED_PX)
        size = image.size
        image.thumbnail((SEARCHED_PX, SEARCHED_PX), reducing_gap=2)
        return _planned(image, size, edit, _steps(settings, workspace, state_of([face_finder_file(workspace)])))


def _planned(image: Image.Image, size: Size, edit: HandEdit, steps: Steps) -> PlannedCrop:
    if steps.is_line(edit.turned(image).size):  # Preprocess leaves it out
        return PlannedCrop([], LINE)
    whole = Origin.whole(size)
    pieces = steps.cut(image, whole, edit)
    notes = [note for piece in pieces if (note := _note(piece, steps))]
    return PlannedCrop([_shares(piece.origin) for piece in pieces], notes[0] if notes else "")


def _note(piece: Piece, steps: Steps) -> str:
    """Of a small copy every face is small: what counts is the photo's."""
    if piece.note != SMALL_FACE:
        return piece.note
    return SMALL_FACE if 2 * min(piece.origin.box[2:]) < min(steps.target) else ""


def _shares(origin: Origin) -> Shares:
    (width, height), (left, upper, shown_width, shown_height) = origin.size, origin.box
    return left / width, upper / height, shown_width / width, shown_height / height


def _cropping(settings: PreprocessSettings) -> PreprocessSettings:
    """What of the settings changes the crops."""
    plain = replace(settings, blip_caption=False, booru_caption=False, florence_caption=False)
    return replace(plain, flip=False, debug_image=False)


@functools.lru_cache(maxsize=8)
def _steps(settings: PreprocessSettings, workspace: Workspace, finder: tuple[int, int]) -> Steps:
    """Kept with its face finder, until the finder's file (`finder`) is another one."""
    return Steps(settings, workspace, lambda event: None, threading.Event(), tells_place=True)
