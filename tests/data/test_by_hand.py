"""Photos that a person has left out or cropped by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_preprocess import add_photo, names, run
from ti_core.data.crops import largest_box
from ti_core.data.origin import look_at
from ti_core.errors import SettingsError, UserError
from ti_core.settings import PreprocessSettings
from ti_core.settings.preprocess import parse_by_hand
from ti_core.ui.photo_strip import photo_strip
from ti_core.workspace import Workspace


def test_a_photo_is_left_out_and_a_crop_is_moved(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        add_photo(tmp_path, name)  # red on the left, blue on the right
    by_hand = json.dumps({"a.png": None, "b.png": [0, 0.5], "c.png": [1, 0.5], "gone.png": None})
    run(tmp_path, by_hand=by_hand, face_crop=True)
    assert names(tmp_path / "out") == ["00000-0-b.png", "00001-0-c.png"]
    for name, is_red, left in (("00000-0-b.png", True, 0), ("00001-0-c.png", False, 40)):
        look = look_at(tmp_path / "out" / name)
        assert look and look.origin and look.origin.box == (left, 0, 80, 80) and look.size == (64, 64)
        with Image.open(tmp_path / "out" / name) as picture:
            red, _, blue = picture.convert("RGB").getpixel((5 if is_red else 58, 30))  # type: ignore[misc]
            assert (red > blue) == is_red


def test_mirrored_copies_follow_the_moved_crop(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    run(tmp_path, by_hand='{"a.png": [0, 0]}', flip=True)
    read = [look_at(path) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert [look.origin.box for look in read if look and look.origin] == [(0, 0, 80, 80), (40, 0, 80, 80)]


def test_all_photos_left_out_are_a_clear_sentence(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    with pytest.raises(UserError, match="All photos of 'photos' are left out"):
        run(tmp_path, by_hand='{"a.png": null}')


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"a": 5}', '{"a": [1]}', '{"a": [0.5, 2]}', '{"a": [true, 0]}', '{"a": ["0", 0]}', "[" * 9999]
)
def test_what_is_written_wrongly_is_refused_before_anything_is_written(tmp_path: Path, text: str) -> None:
    add_photo(tmp_path, "a.png")
    with pytest.raises(UserError, match="Photos by hand cannot be read"):
        parse_by_hand(text)
    with pytest.raises(SettingsError, match="Photos by hand cannot be read"):
        run(tmp_path, by_hand=text)
    assert not (tmp_path / "out").exists()


def test_the_largest_box_stays_inside_the_picture() -> None:
    assert largest_box((120, 80), (64, 64)) == (20, 0, 80, 80)
    assert largest_box((120, 80), (64, 64), (0.1, 0.9)) == (0, 0, 80, 80)
    assert largest_box((120, 80), (64, 128), (0.9, 0.5)) == (80, 0, 40, 80)


def test_the_page_draws_the_crop_and_marks_what_is_left_out(tmp_path: Path) -> None:
    add_photo(tmp_path, 'a "<b>.png')
    add_photo(tmp_path, "c.png")
    settings = PreprocessSettings(source_directory="photos", width=64, height=64, by_hand='{"c.png": null}')
    drawn = photo_strip(Workspace(tmp_path), settings)
    assert drawn.count('class="photo"') == 2 and drawn.count('aria-pressed="true"') == 1
    assert "left:16.67%;top:0.00%;width:66.67%;height:100.00%" in drawn and "<b>" not in drawn
    searched = photo_strip(Workspace(tmp_path), PreprocessSettings(**{**settings.to_dict(), "face_crop": True}))
    assert searched.count("hidden") == 2  # where the face is, is not known yet
    assert photo_strip(Workspace(tmp_path), PreprocessSettings(source_directory="gone")) == ""
