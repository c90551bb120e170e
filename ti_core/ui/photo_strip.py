"""The photos that will be preprocessed, as HTML: small copies with the crop drawn on them. photos.js lets a person
leave one out and move its crop.
"""

from __future__ import annotations

import html
from functools import lru_cache
from pathlib import Path

from ti_core.data.crops import largest_box
from ti_core.data.images import find_images
from ti_core.data.origin import look_at
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.settings.preprocess import parse_by_hand
from ti_core.ui.thumbnails import picture_tag
from ti_core.workspace import Workspace

MOST_SHOWN, SHOWN_PX = 60, 112


def photo_strip(workspace: Workspace, settings: PreprocessSettings) -> str:
    """The photos of the source directory; empty where there are none. A frame stands where the crop is known before
    a photo is opened, or where a person has put it. Settings are `sized` ones.
    """
    try:
        photos = find_images(workspace.folder(settings.source_directory, "Source directory"))
        by_hand = parse_by_hand(settings.by_hand)
    except UserError:  # what stands before the start says what is wrong
        return ""
    if not photos or min(settings.width, settings.height) < 1:
        return ""
    searched = settings.face_crop or settings.focal_crop or settings.split_oversized
    is_known = not (searched or settings.auto_sized_crop or settings.keep_original_size)
    drawn = "".join(_photo(photo, settings, by_hand.get(photo.name, ()), is_known) for photo in photos[:MOST_SHOWN])
    more = f"<p>The first {MOST_SHOWN} of {len(photos)} photos.</p>" if len(photos) > MOST_SHOWN else ""
    hint = "Click a photo to leave it out. Drag its frame to move the crop."
    return f'<p class="photos-hint">{hint}</p><div class="photos" role="group" aria-label="Photos">{drawn}</div>{more}'


def _photo(
    photo: Path, settings: PreprocessSettings, by_hand: tuple[float, float] | tuple[()] | None, is_known: bool
) -> str:
    look = look_at(photo)
    if look is None:
        return ""
    middle = by_hand or (0.5, 0.5)
    left, upper, width, height = largest_box(look.size, (settings.width, settings.height), middle)
    shares = (left / look.size[0], upper / look.size[1], width / look.size[0], height / look.size[1])
    frame = ";".join(
        f"{side}:{100 * share:.2f}%" for side, share in zip(("left", "top", "width", "height"), shares, strict=True)
    )
    shown = "" if is_known or by_hand else " hidden"
    name = html.escape(photo.name, quote=True)
    pressed = "true" if by_hand is None else "false"
    inside = f'{_small(photo, photo.stat().st_mtime_ns)}<i class="frame" style="{frame}"{shown}></i>'
    named = f'data-name="{name}" title="{name}" aria-label="Leave out {name}"'
    return f'<button type="button" class="photo" aria-pressed="{pressed}" {named}>{inside}</button>'


@lru_cache(maxsize=300)
def _small(photo: Path, changed: int) -> str:
    """The tag of a small copy, kept until the file has changed (`changed`)."""
    return picture_tag(photo, SHOWN_PX, "")
