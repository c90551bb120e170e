"""What is drawn on a photo is what Preprocess then cuts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.data.test_preprocess import run
from ti_core.data import steps
from ti_core.data.by_hand import UNTOUCHED, HandEdit, change_by_hand
from ti_core.data.crops import head_and_shoulders
from ti_core.data.origin import look_at
from ti_core.data.planned_crops import LINE, needs_pixels, plan_by_pixels, plan_by_size
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

SIZE = (300, 120)


def photo(folder: Path) -> Path:
    """Grey, with many corners on its right."""
    (folder / "photos").mkdir()
    picture = Image.new("RGB", SIZE, (128, 128, 128))
    draw = ImageDraw.Draw(picture)
    for x in range(200, 296, 12):
        draw.rectangle((x, 40, x + 5, 80), fill=(0, 0, 0))
    picture.save(folder / "photos" / "a.png")
    return folder / "photos" / "a.png"


@pytest.mark.parametrize(
    ("ticked", "edit"),
    [
        ({}, UNTOUCHED),
        ({"split_oversized": True}, UNTOUCHED),
        ({"auto_sized_crop": True, "error_threshold": 1}, UNTOUCHED),
        ({"focal_crop": True, "face_weight": 0}, UNTOUCHED),
        ({"focal_crop": True, "face_weight": 0}, HandEdit(turn=90)),
        ({"focal_crop": True}, HandEdit(middle=(0.8, 0.5), scale=0.5, turn=180)),
    ],
)
def test_the_crops_that_are_drawn_are_those_that_are_made(
    tmp_path: Path, ticked: dict[str, bool], edit: HandEdit
) -> None:
    workspace, path = Workspace(tmp_path), photo(tmp_path)
    if edit != UNTOUCHED:
        change_by_hand(path.parent, workspace, path.name, edit)
    run(tmp_path, **ticked)
    made = [look_at(file) for file in sorted((tmp_path / "out").glob("*.png"))]
    values = {"source_directory": "photos", "width": 64, "height": 64, **ticked}
    settings = PreprocessSettings.from_dict(values).sized(128)
    plan = plan_by_pixels(path, edit, settings, workspace)
    assert len(plan.boxes) == len(made) and made
    for box, look in zip(plan.boxes, made, strict=True):
        assert look and look.origin
        width, height = look.origin.size
        shares = [side / of for side, of in zip(look.origin.box, (width, height, width, height), strict=True)]
        assert box == pytest.approx(shares, abs=0.02)
    if not needs_pixels(settings):
        assert plan_by_size(SIZE, edit, settings, workspace).boxes == [
            pytest.approx(box, abs=0.02) for box in plan.boxes
        ]


def test_a_face_is_drawn_where_it_is_in_the_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ti_core.data import faces

    face = (200.0, 40.0, 24.0, 30.0)
    monkeypatch.setattr(faces, "load_face_finder", lambda workspace, emit: lambda image: [face])
    settings = PreprocessSettings(source_directory="photos", width=64, height=64, face_crop=True)
    plan = plan_by_pixels(photo(tmp_path), UNTOUCHED, settings, Workspace(tmp_path))
    left, upper, right, lower = head_and_shoulders(face, SIZE)
    assert plan.note == "" and plan.boxes == [
        pytest.approx((left / 300, upper / 120, (right - left) / 300, (lower - upper) / 120))
    ]
    large = PreprocessSettings(source_directory="photos", width=512, height=512, face_crop=True)
    assert plan_by_pixels(tmp_path / "photos" / "a.png", UNTOUCHED, large, Workspace(tmp_path)).note == steps.SMALL_FACE


@pytest.mark.parametrize("ticked", [{"split_oversized": True}, {"focal_crop": True, "face_weight": 0}])
def test_a_mere_line_takes_no_memory_and_is_told(tmp_path: Path, ticked: dict[str, Any]) -> None:
    Image.new("RGB", (2, 9000)).save(tmp_path / "line.png")
    settings = PreprocessSettings(source_directory="x", width=2048, height=2048, **ticked).sized(2048)
    looked = plan_by_pixels(tmp_path / "line.png", UNTOUCHED, settings, Workspace(tmp_path))
    assert looked == plan_by_size((2, 9000), UNTOUCHED, settings, Workspace(tmp_path)) == ([], LINE)
