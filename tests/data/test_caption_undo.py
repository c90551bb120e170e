"""Edits of captions are kept and can be taken back, one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ti_core.data import caption_undo
from ti_core.data.caption_edits import (
    adding,
    change_captions,
    find_captioned,
    replacing,
    save_caption,
    state_of_picture,
)
from ti_core.data.caption_undo import KEPT_EDITS, UNDO_FILE, last_edit, record_edit, undo_edit
from ti_core.errors import UserError
from ti_core.files import save_many, save_text

LATIN, WIDE = "röd\r\nhatt\r\n".encode(), "röd".encode("utf-16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("a", LATIN), ("b", WIDE), ("c man", None)):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        if content is not None:
            (tmp_path / f"{name}.txt").write_bytes(content)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def test_edits_are_undone_one_by_one_to_the_last_byte(folder: Path) -> None:
    stages = [contents(folder)]
    save_caption(folder, "a.png", "blå\nhatt")
    stages.append(contents(folder))
    change_captions(folder, adding("photo", at_front=True), "photo added to all")
    stages.append(contents(folder))
    change_captions(folder, replacing("photo", "picture"), "photo replaced")
    assert len(contents(folder)) == 3 and last_edit(folder) == "photo replaced"
    assert undo_edit(folder) == "Undone: photo replaced (3 captions)."
    assert contents(folder) == stages[2]
    assert undo_edit(folder) == "Undone: photo added to all (3 captions)."
    assert contents(folder) == stages[1]  # the file that the edit made is gone again
    assert undo_edit(folder) == "Undone: the caption of a.png (1 caption)."
    assert contents(folder) == stages[0] == {"a.txt": LATIN, "b.txt": WIDE}
    assert last_edit(folder) == ""
    with pytest.raises(UserError, match="nothing to undo"):
        undo_edit(folder)


def test_what_was_changed_since_the_edit_is_not_undone_and_named(folder: Path) -> None:
    change_captions(folder, adding("photo", at_front=True), "photo added to all")
    (folder / "b.txt").write_text("by hand")
    (folder / "c man.txt").unlink()
    assert (
        undo_edit(folder)
        == "Undone: photo added to all (1 caption). 2 changed since then and stayed as they are: b.txt, c man.txt."
    )
    assert contents(folder) == {"a.txt": LATIN, "b.txt": b"by hand"}


def test_a_change_that_stops_half_way_is_undone_as_far_as_it_came(folder: Path) -> None:
    before = contents(folder)
    (folder / "c man.txt").unlink(missing_ok=True)
    (folder / "c man.txt").mkdir()  # what is to be written here cannot be
    texts = {folder / name: "new" for name in ("a.txt", "b.txt", "c man.txt")}
    with pytest.raises(UserError, match="could not be saved"), record_edit(folder, "stopped", list(texts)[:2]):
        save_many(lambda file: save_text(file, texts[file]), texts)
    (folder / "c man.txt").rmdir()
    assert contents(folder) == {"a.txt": b"new", "b.txt": b"new"}
    assert undo_edit(folder) == "Undone: stopped (2 captions)." and contents(folder) == before


def test_an_edit_that_changes_nothing_is_none(folder: Path) -> None:
    save_caption(folder, "a.png", "röd\nhatt")
    change_captions(folder, replacing("nowhere", ""))
    assert last_edit(folder) == "" and contents(folder)["a.txt"] == LATIN


def test_only_the_last_edits_are_kept_and_the_file_stays_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(KEPT_EDITS + 3):
        save_caption(folder, "a.png", f"number {i}")
    assert len(json.loads((folder / UNDO_FILE).read_text())["edits"]) == KEPT_EDITS
    monkeypatch.setattr(caption_undo, "KEPT_CHARACTERS", 10)
    save_caption(folder, "a.png", "last")
    assert len(json.loads((folder / UNDO_FILE).read_text())["edits"]) == 1 and undo_edit(folder)


@pytest.mark.parametrize(
    "edits",
    [
        '{"edits": 5}',
        "[]",
        "{",
        (
            '{"edits": [5, {"title": "x", "files": {"../b.txt": ["x", null]}}, {"title": "x", "files": {"a.png": ["x",'
            " null]}}]}"
        ),
    ],
)
def test_a_list_of_edits_from_elsewhere_writes_nothing_but_captions_of_the_folder(folder: Path, edits: str) -> None:
    (folder / UNDO_FILE).write_text(edits)
    with pytest.raises(UserError, match="nothing to undo"):
        undo_edit(folder)
    save_caption(folder, "a.png", "new")
    assert undo_edit(folder).startswith("Undone")


def test_an_edit_is_refused_where_its_caption_or_its_picture_is_another_now(folder: Path) -> None:
    opened = find_captioned(folder, "a.png")
    state = state_of_picture(opened.picture)
    save_caption(folder, "a.png", "hers")
    with pytest.raises(UserError, match="changed by somebody else meanwhile, to 'hers', so yours was not saved"):
        save_caption(folder, "a.png", "mine", opened.text, state)
    save_caption(folder, "a.png", "mine", "hers", state)
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    with pytest.raises(UserError, match=r"'a\.png' is another picture since you opened it"):
        save_caption(folder, "a.png", "mine too", "mine", state)
    assert find_captioned(folder, "a.png").text == "mine"
