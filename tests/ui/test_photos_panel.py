"""What the photos of the Preprocess tab are told, and what they may change."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.data.test_preprocess import add_photo
from tests.ui.calls import Calls
from ti_core.data.by_hand import HandEdit, load_by_hand
from ti_core.data.steps import Steps
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.settings import PreprocessSettings
from ti_core.ui import photos_panel
from ti_core.ui.app_context import AppContext
from ti_core.ui.photos_panel import (
    changed_photo,
    photo_routes,
    photo_rows,
    shown_photos,
    undone_photo,
)
from ti_core.ui.server.roles import VISITOR
from ti_core.workspace import Workspace

NAME = 'a "<b>.png'


def asked(**more: Any) -> dict[str, Any]:
    settings = PreprocessSettings(source_directory="photos", width=64, height=64)
    return {**shown_photos(settings)["asked"], **more}


def test_a_photo_is_told_with_its_crop_and_its_change_is_kept_and_undone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_photo(tmp_path, NAME)
    answer = photo_rows(workspace, asked())
    (row,) = answer["rows"]
    assert (row["name"], row["size"], row["edit"]) == (NAME, [120, 80], {})
    assert row["plan"] == {"boxes": [pytest.approx([1 / 6, 0, 2 / 3, 1], abs=0.005)], "note": ""}
    assert (answer["total"], answer["next"], answer["undo"], answer["may_edit"]) == (1, 1, 0, True)
    edit = {"turn": 90, "middle": [0.5, 0.0], "scale": 0.5}
    changed = changed_photo(workspace, asked(name=NAME, edit=edit))
    assert changed["row"]["edit"] == edit and changed["undo"] == 1
    assert load_by_hand(tmp_path / "photos", workspace) == {NAME: HandEdit(False, 90, (0.5, 0.0), 0.5)}
    assert undone_photo(workspace, asked())["row"]["edit"] == {}


def test_a_screen_of_photos_costs_one_listing_one_crop_for_each_size_and_no_other_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: so it is as cheap among 5,000 photos."""
    workspace, photos = Workspace(tmp_path), tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (120, 80)).save(photos / "00000.jpg")
    for i in range(1, 200):
        os.link(photos / "00000.jpg", photos / f"{i:05d}.jpg")
    client = TestClient(Starlette(routes=photo_routes(AppContext(workspace, JobQueue(workspace)))))
    listed, cropped, opened = Calls(os.scandir), Calls(Steps.cut), Calls(Image.open)
    monkeypatch.setattr(os, "scandir", listed)
    monkeypatch.setattr(Steps, "cut", lambda *given: cropped(*given))
    monkeypatch.setattr(Image, "open", opened)
    wanted = asked()
    wanted["settings"] |= {"width": 72, "height": 1048}  # not yet asked for in this process
    answer = photo_rows(workspace, {**wanted, "first": 60})
    assert (len(answer["rows"]), answer["total"], answer["next"]) == (60, 200, 120)
    assert (listed.count, cropped.count, opened.count) == (1, 1, 60)
    for name in ("00060.jpg", "00061.jpg"):
        assert client.get("/photos/small", params={"folder": "photos", "name": name}).status_code == 200
    assert listed.count == 1 and opened.count <= 66


def test_where_the_photo_must_be_looked_at_its_crop_comes_later(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    wanted = asked()
    wanted["settings"]["face_crop"] = True
    assert photo_rows(Workspace(tmp_path), wanted)["rows"][0]["plan"] is None


def test_many_photos_come_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos_panel, "PHOTOS_AT_ONCE", 2)
    for name in "abc":
        add_photo(tmp_path, f"{name}.png")
    workspace = Workspace(tmp_path)
    assert [row["name"] for row in photo_rows(workspace, asked())["rows"]] == ["a.png", "b.png"]
    assert [row["name"] for row in photo_rows(workspace, asked(first=2))["rows"]] == ["c.png"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../photos/a.png"},
        {"name": "gone.png"},
        {"name": None},
        {"edit": {"turn": 45}},
        {"edit": None},
        {"folder": "/etc"},
        {"folder": "../"},
        {"settings": {"width": 0}},
        {"settings": {"width": "x"}},
        {"settings": {"width": 30_000, "height": 64}},
        {"settings": {"width": 64, "height": 64, "auto_sized_crop": True, "dimension_upper": 10**12}},
        {"settings": {"width": 64, "height": 64, "auto_sized_crop": True}},
        {"settings": 5},
    ],
)
def test_what_is_asked_wrongly_changes_nothing(tmp_path: Path, wrong: dict[str, Any]) -> None:
    add_photo(tmp_path, "a.png")
    workspace = Workspace(tmp_path, confined=True)
    with pytest.raises(UserError):
        changed_photo(workspace, asked(**{"name": "a.png", "edit": {"out": True}, **wrong}))
    assert load_by_hand(tmp_path / "photos", workspace) == {}


def test_who_may_only_look_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_photo(tmp_path, "a.png")
    workspace = Workspace(tmp_path)
    monkeypatch.setattr("ti_core.ui.server.roles.current_user", lambda: VISITOR)
    monkeypatch.setattr(photos_panel, "current_user", lambda: VISITOR)
    assert photo_rows(workspace, asked())["may_edit"] is False
    for change in (changed_photo, undone_photo):
        with pytest.raises(UserError, match="You may look"):
            change(workspace, asked(name="a.png", edit={"out": True}))
    assert load_by_hand(tmp_path / "photos", workspace) == {}


def test_small_copies_and_searched_crops_have_addresses_that_lead_to_photos_only(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    (tmp_path / "photos" / "secret.txt").write_text("x")
    context = AppContext(Workspace(tmp_path, confined=True), JobQueue(Workspace(tmp_path)))
    client = TestClient(Starlette(routes=photo_routes(context)))
    answer = client.get("/photos/small", params={"folder": "photos", "name": "a.png", "turn": 90})
    with Image.open(io.BytesIO(answer.content)) as small:
        assert answer.status_code == 200 and small.size == (80, 120)
    crop = client.get("/photos/crop", params={**asked(name="a.png"), "settings": json.dumps(asked()["settings"])})
    assert crop.json()["boxes"] == [pytest.approx([1 / 6, 0, 2 / 3, 1], abs=0.005)]
    for wrong in (
        {"name": "secret.txt"},
        {"name": "../photos/a.png"},
        {"folder": "/"},
        {"settings": "["},
        {"settings": "5"},
    ):
        wanted = {"folder": "photos", "name": "a.png", "settings": "{}", **wrong}
        assert client.get("/photos/crop", params=wanted).status_code == 404
    assert client.get("/photos/small", params={"folder": "photos", "name": "secret.txt"}).status_code == 404
    endless = client.get("/photos/small", params={"folder": "photos", "name": "a.png", "turn": "9" * 5000})
    assert endless.status_code == 200  # as without a turn


def test_nothing_is_shown_of_a_form_without_a_folder() -> None:
    assert shown_photos(None)["asked"] == {}
    assert shown_photos(PreprocessSettings(width=64, height=64))["asked"] == {}
    assert shown_photos(PreprocessSettings(source_directory="x"))["asked"] == {}  # no size is known
