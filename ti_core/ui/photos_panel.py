"""The photos of the Preprocess tab: thumbnails with their crops, and one photo large, to crop, turn and leave out by
hand. The browser draws (photos/*.js) what it is told here.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ti_core.data.by_hand import (
    UNTOUCHED,
    HandEdit,
    change_by_hand,
    changes_to_undo,
    load_by_hand,
    parse_edit,
    undo_by_hand,
)
from ti_core.data.images import find_image, find_images
from ti_core.data.origin import Look, look_at
from ti_core.data.planned_crops import PlannedCrop, needs_pixels, plan_by_pixels, plan_by_size
from ti_core.errors import SettingsError, UserError
from ti_core.files import state_of
from ti_core.settings import PreprocessSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import json_answer
from ti_core.ui.server.roles import check_may_train, current_user
from ti_core.ui.small_pictures import small_picture, webp
from ti_core.workspace import Workspace

HERE = Path(__file__).parent / "photos"
SCRIPTS = ("rows.js", "crop.js", "editor.js", "start.js")
"""In this order: the last one starts when the functions of the others are there."""
PHOTOS_AT_ONCE = 60
SMALL_PX, LARGE_PX = 160, 960
CROPPING = (
    "width",
    "height",
    "keep_original_size",
    "split_oversized",
    "split_threshold",
    "split_overlap",
    "focal_crop",
    "face_weight",
    "entropy_weight",
    "edges_weight",
    "auto_sized_crop",
    "dimension_lower",
    "dimension_upper",
    "area_lower",
    "area_upper",
    "resizing_objective",
    "error_threshold",
    "face_crop",
)
"""The settings that change what is drawn on the photos."""

_changes = itertools.count(1)


def build_photos_panel(context: AppContext) -> Any:
    """Its custom event 'edited' fires when something was changed by hand."""

    def list_photos(asked: Any) -> dict[str, Any]:
        return _answered(context, functools.partial(photo_rows, context.workspace), asked)

    def change_photo(asked: Any) -> dict[str, Any]:
        return _answered(context, functools.partial(changed_photo, context.workspace), asked)

    def undo_photo(asked: Any) -> dict[str, Any]:
        return _answered(context, functools.partial(undone_photo, context.workspace), asked)

    return gr.HTML(
        value="",
        html_template=(HERE / "photos.html").read_text(encoding="utf-8"),
        css_template=(HERE / "photos.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        server_functions=[list_photos, change_photo, undo_photo],
        asked={},
        stamp=0,
        elem_id="preprocess_photos",
    )


def shown_photos(settings: PreprocessSettings | None) -> Any:
    """The panel's update: which folder it shows, and by which settings, which are `sized` ones; None shows nothing."""
    asked: dict[str, Any] = {}
    if settings and settings.source_directory.strip() and min(settings.width, settings.height) > 0:
        cropping = {name: getattr(settings, name) for name in CROPPING}
        asked = {"folder": settings.source_directory, "settings": cropping}
    return gr.update(asked=asked, stamp=next(_changes))


def _answered(context: AppContext, answer: Any, asked: Any) -> dict[str, Any]:
    """What is asked comes from outside, so it may be anything."""
    try:
        return answer(asked if isinstance(asked, dict) else {})
    except UserError as error:
        return {"error": context.workspace.without_paths(str(error))}


# ---- what the browser asks for


def photo_rows(workspace: Workspace, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The photos of a folder from the `first` on: name, size in px, what was done by hand, and the crops, which are
    None where the photo has to be decoded to know them. Raises UserError.
    """
    folder, settings = _folder(workspace, asked), _settings(asked)
    photos, by_hand = find_images(folder), load_by_hand(folder, workspace)
    first = asked.get("first")
    first = first if type(first) is int and first >= 0 else 0
    shown = photos[first : first + PHOTOS_AT_ONCE]
    rows = [
        _row(photo, look, by_hand.get(photo.name, UNTOUCHED), settings, workspace)
        for photo in shown
        if (look := look_at(photo))
    ]
    return {
        "rows": rows,
        "total": len(photos),
        "next": first + len(shown),
        "undo": changes_to_undo(folder, workspace),
        "may_edit": current_user().may_train,
    }


def _row(photo: Path, look: Look, edit: HandEdit, settings: PreprocessSettings, workspace: Workspace) -> dict[str, Any]:
    plan = None if needs_pixels(settings) else plan_by_size(look.size, edit, settings, workspace)
    return {
        "name": photo.name,
        "size": list(look.size),
        "at": state_of([photo])[1],
        "edit": edit.to_dict(),
        "plan": _plan(plan),
    }


def _plan(plan: PlannedCrop | None) -> Any:
    return plan and {"boxes": [[round(share, 5) for share in box] for box in plan.boxes], "note": plan.note}


def changed_photo(workspace: Workspace, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a person did to one photo. Raises UserError."""
    check_may_train()
    folder, photo = find_photo(workspace, asked)
    settings, edit = _settings(asked), parse_edit(asked.get("edit"))
    if edit is None:
        raise UserError("This change of a photo is not known here.", "Reload the page.")
    change_by_hand(folder, workspace, photo.name, edit)
    return _changed_row(workspace, folder, photo.name, edit, settings)


def undone_photo(workspace: Workspace, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Take the last change of the folder's photos back. Raises UserError."""
    check_may_train()
    folder, settings = _folder(workspace, asked), _settings(asked)
    name, edit = undo_by_hand(folder, workspace)
    return _changed_row(workspace, folder, name, edit, settings)


def _changed_row(
    workspace: Workspace, folder: Path, name: str, edit: HandEdit, settings: PreprocessSettings
) -> dict[str, Any]:
    look = look_at(folder / name)
    row = _row(folder / name, look, edit, settings, workspace) if look else None
    return {"row": row, "name": name, "undo": changes_to_undo(folder, workspace)}


def _folder(workspace: Workspace, asked: Mapping[str, Any]) -> Path:
    return workspace.folder(str(asked.get("folder", "")), "Source directory")


def find_photo(workspace: Workspace, asked: Mapping[str, Any]) -> tuple[Path, Path]:
    """The folder, and a photo right inside it: no name leads elsewhere. Raises UserError."""
    folder, name = _folder(workspace, asked), asked.get("name")
    photo = find_image(folder, name) if isinstance(name, str) else None
    if photo is None:
        raise UserError(f"Photo '{str(name)[:100]}' is not there any more.", "Reload the page.")
    return folder, photo


def _settings(asked: Mapping[str, Any]) -> PreprocessSettings:
    given = asked.get("settings")
    values = {name: value for name, value in given.items() if name in CROPPING} if isinstance(given, dict) else {}
    settings = PreprocessSettings.from_dict(values)
    sides = (settings.width, settings.height, *((settings.dimension_lower,) if settings.auto_sized_crop else ()))
    if min(sides) < 1:
        raise UserError("Width and Height must be at least 1.", "Type the size of the finished pictures.")
    # a crop of any size would take any memory, and whoever may look can ask for one
    if problems := [problem for problem in settings.problems(own_px=1) if problem.field in CROPPING]:
        raise SettingsError(problems)
    return settings


# ---- pictures and searched crops


def photo_routes(context: AppContext) -> list[Route]:
    """`photos/small` and `photos/crop`, each `?folder=...&name=...&turn=...`; AccessMiddleware has asked for the login
    before. Not async: they decode pictures.
    """

    def small(request: Request) -> Response:
        asked = request.query_params
        try:
            _, photo = find_photo(context.workspace, asked)
            size_px = LARGE_PX if "large" in asked else SMALL_PX
            data = _small_turned(photo, size_px, _turn(asked), state_of([photo]))
        except UserError as error:
            return PlainTextResponse(context.workspace.without_paths(str(error)), 404)
        # the time of the file is in the address, so another picture has another one
        return Response(data, media_type="image/webp", headers={"Cache-Control": "private, max-age=86400"})

    def crop(request: Request) -> Response:
        asked = request.query_params
        try:
            given = json.loads(asked.get("settings", "{}"))
            _, photo = find_photo(context.workspace, asked)
            edit = HandEdit(turn=_turn(asked))
            plan = plan_by_pixels(photo, edit, _settings({"settings": given}), context.workspace)
        except (UserError, ValueError, RecursionError) as error:
            return PlainTextResponse(context.workspace.without_paths(str(error)), 404)
        return json_answer(_plan(plan))

    return [Route("/photos/small", small, methods=["GET"]), Route("/photos/crop", crop, methods=["GET"])]


def _turn(asked: Mapping[str, Any]) -> int:
    turn = asked.get("turn", "0")
    edit = parse_edit({"turn": int(turn)} if turn.isdecimal() and len(turn) <= 3 else None)
    return edit.turn if edit else 0


@functools.lru_cache(maxsize=500)
def _small_turned(photo: Path, size_px: int, turn: int, state: tuple[int, int]) -> bytes:
    """A few kilobytes each, a large one 0.2 MB; kept until the file has changed (`state`)."""
    return webp(HandEdit(turn=turn).turned(small_picture(photo, size_px)))
