"""Photos that a person has left out, turned or cropped by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_preprocess import add_photo, names, run
from ti_core.data.by_hand import (
    BY_HAND_FILE,
    ELSEWHERE,
    KEPT_UNDO,
    UNTOUCHED,
    HandEdit,
    by_hand_file,
    change_by_hand,
    changes_to_undo,
    load_by_hand,
    parse_edit,
    undo_by_hand,
)
from ti_core.data.crops import largest_box
from ti_core.data.origin import Origin, look_at
from ti_core.errors import SettingsError, UserError
from ti_core.workspace import SAMPLE_PHOTOS, Workspace


def edit(workspace: Path, **edits: HandEdit) -> None:
    for name, each in edits.items():
        change_by_hand(workspace / "photos", Workspace(workspace), f"{name}.png", each)


def colours(path: Path) -> tuple[bool, bool]:
    """Whether the picture is more red than blue near its left and its right side."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
        ends = (rgb.getpixel((5, 30)), rgb.getpixel((58, 30)))
    return tuple(end[0] > end[2] for end in ends)  # type: ignore[return-value, index, operator]


def test_a_photo_is_left_out_and_a_crop_is_moved_and_scaled(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        add_photo(tmp_path, name)  # 120 x 80, red on the left, blue on the right
    left, right, small = HandEdit(middle=(0, 0.5)), HandEdit(middle=(1, 0.5)), HandEdit(middle=(1, 1), scale=0.5)
    edit(tmp_path, a=HandEdit(is_out=True), b=left, c=right, d=small, gone=HandEdit(is_out=True))
    run(tmp_path, face_crop=True)
    assert names(tmp_path / "out") == ["00000-0-b.png", "00001-0-c.png", "00002-0-d.png"]
    for name, box in (("0-0-b", (0, 0, 80, 80)), ("1-0-c", (40, 0, 80, 80)), ("2-0-d", (80, 40, 40, 40))):
        look = look_at(tmp_path / "out" / f"0000{name}.png")
        assert look and look.origin and look.origin.box == box and look.size == (64, 64)
    assert colours(tmp_path / "out" / "00000-0-b.png")[0] and not colours(tmp_path / "out" / "00002-0-d.png")[0]


def test_a_photo_is_turned_before_it_is_cropped(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        add_photo(tmp_path, name)
    edit(tmp_path, a=HandEdit(turn=180), b=HandEdit(turn=90, middle=(0.5, 0)), c=HandEdit(turn=270, middle=(0.5, 0)))
    run(tmp_path)
    assert colours(tmp_path / "out" / "00000-0-a.png") == (False, True)
    # turned right the red side is on top, turned left the blue one
    assert colours(tmp_path / "out" / "00001-0-b.png")[0] and not colours(tmp_path / "out" / "00002-0-c.png")[0]
    look = look_at(tmp_path / "out" / "00001-0-b.png")
    assert look and look.origin and look.origin.size == (80, 120) and look.origin.box == (0, 0, 80, 80)


def test_the_place_in_the_photo_turns_with_it() -> None:
    part = Origin((100, 60), (10, 20, 30, 40))
    assert part.turned(0) == part and part.turned(180).box == (60, 0, 30, 40)
    assert part.turned(90) == Origin((60, 100), (0, 10, 40, 30))
    assert part.turned(90).turned(270) == part


def test_mirrored_copies_follow_the_moved_crop(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    edit(tmp_path, a=HandEdit(middle=(0, 0)))
    run(tmp_path, flip=True)
    read = [look_at(path) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert [look.origin.box for look in read if look and look.origin] == [(0, 0, 80, 80), (40, 0, 80, 80)]


def test_all_photos_left_out_are_a_clear_sentence(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    edit(tmp_path, a=HandEdit(is_out=True))
    with pytest.raises(UserError, match="All photos of 'photos' are left out"):
        run(tmp_path)


def test_it_is_kept_beside_the_photos_and_undone_step_by_step(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    workspace, folder = Workspace(tmp_path), tmp_path / "photos"
    assert load_by_hand(folder, workspace) == {} and changes_to_undo(folder, workspace) == 0
    with pytest.raises(UserError, match="nothing to undo"):
        undo_by_hand(folder, workspace)
    first, second = HandEdit(turn=90), HandEdit(turn=90, middle=(0.25, 0.5), scale=0.5)
    edit(tmp_path, a=first)
    edit(tmp_path, a=second)
    edit(tmp_path, a=second)  # no change
    assert (folder / BY_HAND_FILE).is_file() and load_by_hand(folder, workspace) == {"a.png": second}
    assert undo_by_hand(folder, workspace) == ("a.png", first)
    assert undo_by_hand(folder, workspace) == ("a.png", UNTOUCHED)
    assert load_by_hand(folder, workspace) == {} and changes_to_undo(folder, workspace) == 0
    for number in range(KEPT_UNDO + 5):
        edit(tmp_path, a=HandEdit(is_out=number % 2 == 0))
    assert changes_to_undo(folder, workspace) == KEPT_UNDO


def test_for_photos_where_nothing_may_be_written_it_lies_in_the_workspace(tmp_path: Path) -> None:
    workspace, folder = Workspace(tmp_path), SAMPLE_PHOTOS / "anna"
    change_by_hand(folder, workspace, "x.jpg", HandEdit(turn=180))
    assert by_hand_file(folder, workspace).parent == tmp_path / ELSEWHERE
    assert load_by_hand(folder, workspace) == {"x.jpg": HandEdit(turn=180)} and not (folder / BY_HAND_FILE).exists()
    assert load_by_hand(SAMPLE_PHOTOS / "boris", workspace) == {}


@pytest.mark.parametrize(
    "edit",
    [
        5,
        None,
        {"turn": 45},
        {"turn": "90"},
        {"out": 1},
        {"middle": [1]},
        {"middle": [0.5, 2]},
        {"middle": [True, 0]},
        {"middle": ["0", 0]},
        {"middle": [0, 0], "scale": 0.01},
        {"middle": [0, 0], "scale": float("nan")},
        {"more": 1},
    ],
)
def test_what_is_no_edit_is_refused(edit: object) -> None:
    assert parse_edit(edit) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"photos": []}', '{"photos": {"a.png": {"turn": 1}}}', "[" * 9999])
def test_a_file_that_cannot_be_read_is_told_before_anything_is_written(tmp_path: Path, text: str) -> None:
    add_photo(tmp_path, "a.png")
    (tmp_path / "photos" / BY_HAND_FILE).write_text(text, encoding="utf-8")
    with pytest.raises((UserError, SettingsError), match=r"photos/\.photos-by-hand\.json, .* cannot be read"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_damaged_undo_list_loses_no_edit(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    written = {"photos": {"a.png": {"out": True}}, "undo": [["a.png", {"turn": 1}], ["a.png", {}]]}
    (tmp_path / "photos" / BY_HAND_FILE).write_text(json.dumps(written), encoding="utf-8")
    assert undo_by_hand(tmp_path / "photos", Workspace(tmp_path)) == ("a.png", UNTOUCHED)


def test_the_largest_box_stays_inside_the_picture() -> None:
    assert largest_box((120, 80), (64, 64)) == (20, 0, 80, 80)
    assert largest_box((120, 80), (64, 64), (0.1, 0.9)) == (0, 0, 80, 80)
    assert largest_box((120, 80), (64, 128), (0.9, 0.5)) == (80, 0, 40, 80)
    assert largest_box((120, 80), (64, 64), (1, 1), 0.25) == (100, 60, 20, 20)


def test_the_mask_is_turned_and_cropped_with_its_photo(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    mask = Image.new("L", (120, 80), 0)
    mask.paste(255, (60, 0, 120, 80))  # the blue side
    mask.save(tmp_path / "photos" / "a-masklabel.png")
    edit(tmp_path, a=HandEdit(turn=90, middle=(0.5, 1)))
    run(tmp_path)
    with (
        Image.open(tmp_path / "out" / "00000-0-a-masklabel.png") as made,
        Image.open(tmp_path / "out" / "00000-0-a.png") as picture,
    ):
        for y, counts in ((4, False), (60, True)):
            red, _, blue = picture.convert("RGB").getpixel((30, y))  # type: ignore[misc]
            assert (made.getpixel((30, y)) == 255) == counts == (blue > red)
