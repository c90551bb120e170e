"""Edits of all captions at once."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ti_core.data.caption_edits import (
    adding,
    change_captions,
    count_tags,
    dataset_folders,
    find_captioned,
    pictures_with,
    preview_changes,
    prune_traits,
    read_captions,
    removing,
    replacing,
    save_caption,
    split_tags,
)
from ti_core.data.caption_undo import UNDO_FILE, last_edit, undo_edit
from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.workspace import Workspace

CAPTIONS = {"00000-0-a.png": "smiling, red shirt", "00001-0-b.png": "Red Shirt,  glasses ,", "00002-0-c man.png": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, caption in CAPTIONS.items():
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        if caption is not None:
            (tmp_path / name).with_suffix(".txt").write_text(caption, encoding="utf-8")
    return tmp_path


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))}


def test_the_captions_shown_are_those_of_the_training(folder: Path) -> None:
    (folder / "00003-0-d.png").write_bytes((folder / "00000-0-a.png").read_bytes())
    (folder / "00003-0-d.txt").write_bytes(b"\xff\xfe\x00")
    shown = read_captions(folder)
    assert [c.caption for c in shown] == ["smiling, red shirt", "Red Shirt,  glasses ,", "c man", ""]
    assert "not UTF-8" in shown[3].problem
    changed, problems = change_captions(folder, adding("photo", at_front=True))
    assert changed == 3 and problems == [shown[3].problem]
    assert (folder / "00003-0-d.txt").read_bytes() == b"\xff\xfe\x00"


def test_a_saved_caption_is_tidy_utf8_and_only_the_hidden_list_of_edits_is_left_in_the_folder(folder: Path) -> None:
    before = set(folder.iterdir())
    save_caption(folder, "00000-0-a.png", " lächelnd,\n rotes  Hemd \n\n")
    assert (folder / "00000-0-a.txt").read_bytes() == "lächelnd,\nrotes Hemd\n".encode()
    assert set(folder.iterdir()) == before | {folder / UNDO_FILE}
    assert find_captioned(folder, "00000-0-a.png").caption == "lächelnd, rotes Hemd"


def test_a_caption_that_cannot_be_read_is_never_replaced(folder: Path) -> None:
    picture = find_images(folder)[0]
    file = picture.with_suffix(".txt")
    file.write_bytes("Frau, l\u00e4chelnd".encode("cp1252"))
    with pytest.raises(UserError, match="not UTF-8"):
        save_caption(folder, picture.name, "smiling")
    assert file.read_bytes() == "Frau, l\u00e4chelnd".encode("cp1252")


@pytest.mark.parametrize("name", ["", "../00000-0-a.png", "00000-0-a.txt", "gone.png"])
def test_only_pictures_of_the_folder_get_a_caption(folder: Path, name: str) -> None:
    before = texts(folder)
    with pytest.raises(UserError):
        save_caption(folder, name, "x")
    assert texts(folder) == before


def test_find_and_replace_works_in_any_case_and_leaves_no_empty_tags(folder: Path) -> None:
    assert change_captions(folder, replacing("red shirt", "")) == (2, [])
    assert texts(folder) == {"00000-0-a": "smiling\n", "00001-0-b": "glasses\n"}
    assert replacing("a.b", r"\1")("x a.b axb") == r"x \1 axb"
    with pytest.raises(UserError, match="Find is empty"):
        replacing("", "x")


def test_a_tag_is_added_once_at_the_chosen_end(folder: Path) -> None:
    assert change_captions(folder, adding(" glasses , photo ", at_front=False))[0] == 3
    assert texts(folder) == {
        "00000-0-a": "smiling, red shirt, glasses, photo\n",
        "00001-0-b": "Red Shirt, glasses, photo\n",
        "00002-0-c man": "c man, glasses, photo\n",
    }
    assert change_captions(folder, adding("PHOTO", at_front=True)) == (0, [])
    assert adding("x", at_front=True)("a, b") == "x, a, b"


def test_a_tag_is_removed_as_a_whole_and_never_out_of_a_longer_one(folder: Path) -> None:
    assert change_captions(folder, removing("red shirt"))[0] == 2
    assert texts(folder) == {"00000-0-a": "smiling\n", "00001-0-b": "glasses\n"}
    assert removing("red")("red shirt, dark red, red") == "red shirt, dark red"
    with pytest.raises(UserError, match="Tag is empty"):
        removing(" , ")


def test_tags_are_counted_once_a_caption_whatever_their_case() -> None:
    assert count_tags(["smiling, red shirt, Smiling", "Red Shirt", "", "hat"]) == [
        ("red shirt", 2),
        ("hat", 1),
        ("smiling", 1),
    ]
    assert split_tags(" a ,, b,") == ["a", "b"]


def test_the_newest_dataset_comes_first(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert dataset_folders(workspace) == []
    for age, name in enumerate(("anna", "berta", ".hidden")):
        (workspace.datasets / name).mkdir(parents=True)
        os.utime(workspace.datasets / name, (1000 - age, 1000 - age))
    assert dataset_folders(workspace) == ["datasets/anna", "datasets/berta"]


def test_a_folder_without_pictures_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        read_captions(tmp_path)


def test_what_an_edit_would_change_is_shown_before_and_nothing_is_written(tmp_path: Path) -> None:
    for name, text in (("a", "red hat\nsmiling"), ("b", "blue hat"), ("c", "dog")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text)
    shown = preview_changes(read_captions(tmp_path), replacing("hat", "cap"))
    assert [(each.picture.name, each.before, each.after) for each in shown] == [
        ("a.png", "red hat\nsmiling", "red cap\nsmiling"),
        ("b.png", "blue hat", "blue cap"),
    ]
    assert (tmp_path / "a.txt").read_text() == "red hat\nsmiling" and not last_edit(tmp_path)
    assert [
        each.picture.name for each in preview_changes(read_captions(tmp_path), replacing("hat", "cap"), only=["b.png"])
    ] == ["b.png"]


def test_an_edit_of_chosen_pictures_takes_their_mirrored_copies_along(tmp_path: Path) -> None:
    for number in (0, 1):
        photo = Image.new("RGB", (8, 8))
        photo.putpixel((number, 0), (255, 0, 0))
        for piece, picture in enumerate((photo, ImageOps.mirror(photo))):
            path = tmp_path / f"0000{number}-{piece}-x.png"
            picture.save(path)
            path.with_suffix(".txt").write_text(["hat, left hand", "hat, right hand"][piece])
    names = ["00000-0-x.png", "00000-1-x.png", "00001-0-x.png", "00001-1-x.png"]

    def now() -> list[str]:
        return [each.caption for each in read_captions(tmp_path)]

    assert change_captions(tmp_path, removing("HAT"), in_step=True, only=[names[1]])[0] == 2  # the copy was chosen
    assert now() == ["left hand", "right hand", "hat, left hand", "hat, right hand"]
    assert change_captions(tmp_path, removing("left hand"), in_step=True, only=[names[2]])[0] == 2
    assert now() == ["left hand", "right hand", "hat", "hat"]
    assert undo_edit(tmp_path) and now()[2:] == ["hat, left hand", "hat, right hand"]
    assert change_captions(tmp_path, removing("hat"), only=[names[2]])[0] == 1


def test_tags_are_counted_with_their_pictures_in_every_spelling(tmp_path: Path) -> None:
    for name, text in (("a", "Long_hair, 1girl"), ("b", "long hair, hat"), ("c", "hat")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text)
    counts = count_tags(each.caption for each in read_captions(tmp_path))
    assert counts == [("hat", 2), ("Long_hair", 2), ("1girl", 1)]
    assert pictures_with(read_captions(tmp_path), "long hair") == ["a.png", "b.png"]
    assert prune_traits(tmp_path)[0] == 2
    assert [each.caption for each in read_captions(tmp_path)] == ["1girl", "hat", "hat"]


def test_a_replacement_that_would_take_gigabytes_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "x.txt").write_text("a" * 1000)
    for change in (lambda change: preview_changes(read_captions(tmp_path), change), partial(change_captions, tmp_path)):
        with pytest.raises(UserError, match="would get 100001000 characters, more than 20000"):
            change(replacing("a", "b" * 100_000))
    assert (tmp_path / "x.txt").read_text() == "a" * 1000
    assert replacing("a", "")("a" * 30_000 + "b") == "b"
