"""Which file holds a picture's caption, in which encoding, and how its lines become tags."""

from __future__ import annotations

import codecs
import json
import threading
from pathlib import Path

import pytest
from PIL import Image

from ti_core.data.caption_edits import adding, change_captions, read_captions, removing, replacing, save_caption
from ti_core.data.captions import CaptionFiles, caption_notes, word_note
from ti_core.data.dataset import CaptionRules, fallback_notes, scan_dataset
from ti_core.data.initialization import initialization_hint
from ti_core.data.preprocess import preprocess
from ti_core.data.template_edits import captions_of
from ti_core.errors import UserError
from ti_core.events import Event, Notice
from ti_core.settings import ONE_LINE, PreprocessSettings, TrainSettings
from ti_core.training.presets import describe_plan
from ti_core.ui.server.uploads import keep_photos
from ti_core.workspace import Workspace

LINES = b"shirt\r\n\r\n gray background, \r\nhat\r\n"


def read_caption(picture: Path) -> str | None:
    return CaptionFiles.of(picture.parent).read(picture)


def add(folder: Path, name: str, **files: bytes) -> Path:
    """A picture; `files` are written beside it, `__` in their names stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16)).save(folder / name)
    for file, content in files.items():
        (folder / file.replace("__", ".")).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("content", "caption"),
    [
        (LINES, "shirt, gray background, hat"),
        (b"shirt\ngray background", "shirt, gray background"),
        (b"one line,  as it is ,\n", "one line,  as it is ,"),
        (codecs.BOM_UTF8 + "röd".encode(), "röd"),
        ("röd\nhatt".encode("utf-16"), "röd, hatt"),
        (codecs.BOM_UTF16_BE + "röd".encode("utf-16-be"), "röd"),
        ("röd".encode("utf-32"), "röd"),
        (b"\n \r\n", ""),
    ],
)
def test_lines_are_tags_and_every_encoding_with_a_mark_is_read(tmp_path: Path, content: bytes, caption: str) -> None:
    picture = add(tmp_path, "a.jpg", a__txt=content)
    assert read_caption(picture) == caption
    assert scan_dataset(tmp_path)[0].caption == caption
    assert read_captions(tmp_path)[0].caption == caption


@pytest.mark.parametrize(
    "content", ["röd".encode("cp1252"), "röd hatt".encode("utf-16-le"), b"\xff\xfe\x00", b"a\x00b"]
)
def test_what_is_no_text_for_certain_is_never_guessed(tmp_path: Path, content: bytes) -> None:
    picture = add(tmp_path, "a.jpg", a__txt=content)
    with pytest.raises(UserError, match=r"'a\.txt' is not UTF-8"):
        read_caption(picture)
    assert any(
        "1 caption file cannot be read" in note and "a.txt" in note for note in caption_notes(CaptionFiles.of(tmp_path))
    )


@pytest.mark.parametrize(
    "file", ["a__txt", "a__TXT", "A__txt", "a__jpg__txt", "a__JPG__TXT", "a__caption", "a__jpg__caption", "a__tags"]
)
def test_a_caption_is_found_under_every_name_in_use(tmp_path: Path, file: str) -> None:
    picture = add(tmp_path, "a.jpg", **{file: b"shirt"})
    assert read_caption(picture) == "shirt" and scan_dataset(tmp_path)[0].caption == "shirt"
    assert [c.caption for c in read_captions(tmp_path)] == ["shirt"]
    assert captions_of("", Workspace(tmp_path)) == [] and caption_notes(CaptionFiles.of(tmp_path)) == []
    assert len([path for path in tmp_path.iterdir() if not path.name.startswith(".")]) == 2
    save_caption(tmp_path, "a.jpg", "hat")  # into the file in use, so that there are not two
    assert read_caption(picture) == "hat" and (tmp_path / file.replace("__", ".")).read_text() == "hat\n"


def test_of_several_the_txt_is_used_and_that_is_said(tmp_path: Path) -> None:
    picture = add(tmp_path, "a.jpg", a__caption=b"second", a__jpg__txt=b"third", a__txt=b"first")
    assert read_caption(picture) == "first"
    (note,) = caption_notes(CaptionFiles.of(tmp_path))
    assert note.startswith("1 picture has several caption files") and "a.txt is used, not a.jpg.txt, a.caption" in note


def test_a_caption_belongs_to_the_picture_of_its_exact_name_first(tmp_path: Path) -> None:
    inner = add(tmp_path, "a.jpg.png", a__jpg__txt=b"of the png")
    outer = add(tmp_path, "a.jpg")
    small, large = add(tmp_path, "b.png", b__txt=b"small"), add(tmp_path, "B.png")
    assert [read_caption(picture) for picture in (inner, outer, small, large)] == ["of the png", None, "small", None]


def test_text_files_of_no_picture_and_pictures_without_text_are_counted(tmp_path: Path) -> None:
    add(tmp_path, "a.jpg", a__txt=b"x", IMG_7__txt=b"lost", notes__caption=b"lost")
    add(tmp_path, "b man.jpg")
    (orphans,), (without,) = caption_notes(CaptionFiles.of(tmp_path)), fallback_notes(scan_dataset(tmp_path))
    assert orphans.startswith("2 caption files are of no picture here, and are not used: IMG_7.txt, notes.caption.")
    assert without.startswith("1 of 2 pictures has no caption file") and "'b man'" in without


def test_the_plan_and_preprocess_and_the_training_tell_before_the_start(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    add(photos, "a.jpg", a__jpg__txt=b"shirt\nhat", lost__txt=b"x")
    add(photos, "b.jpg", b__txt="röd".encode("cp1252"))
    add(photos, "c.jpg", c__txt=b"one", c__caption=b"two")
    workspace, events = Workspace(tmp_path), list[Event]()
    plan = describe_plan(workspace, TrainSettings(dataset_directory="photos"))
    for part in ("lost.txt", "b.txt", "c.txt is used, not c.caption"):
        assert part in plan
    settings = PreprocessSettings(
        source_directory="photos", destination_directory="out", width=64, height=64, caption_action="copy"
    )
    result = preprocess(settings, workspace, events.append, threading.Event())
    notices = [event.text for event in events if isinstance(event, Notice)]
    for part in ("lost.txt", "b.txt", "c.txt is used, not c.caption"):
        assert part in result.sentence() and any(part in text for text in notices)
    assert [example.caption for example in scan_dataset(tmp_path / "out")] == ["shirt, hat", "b", "one"]
    events.clear()
    scan_dataset(photos, events.append)
    notices = [event.text for event in events if isinstance(event, Notice)]
    for part in ("lost.txt", "b.txt", "c.txt is used, not c.caption"):
        assert sum(part in text for text in notices) == 1
    assert "hat" in initialization_hint(["photos"], workspace)  # one unreadable file does not hide the others


def test_captions_of_an_earlier_run_are_moved_aside_under_every_name(tmp_path: Path) -> None:
    add(tmp_path / "photos", "a.jpg")
    add(
        tmp_path / "out",
        "00000-0-a.png",
        **{"00000-0-a__caption": b"somebody else", "00000-0-a__png__txt": b"somebody else"},
    )
    settings = PreprocessSettings(source_directory="photos", destination_directory="out", width=64, height=64)
    preprocess(settings, Workspace(tmp_path), lambda event: None, threading.Event())
    assert [example.caption for example in scan_dataset(tmp_path / "out")] == ["a"]
    assert len(list((tmp_path / "out" / "earlier-1").iterdir())) == 3


def test_an_edit_keeps_the_lines_that_it_does_not_change(tmp_path: Path) -> None:
    add(tmp_path, "a.jpg", a__txt=b"red shirt,  tie\ngray background\n")
    add(tmp_path, "b.jpg", b__txt=LINES)
    add(tmp_path, "c.jpg", c__jpg__txt="röd\nhatt".encode("utf-16"))
    untouched = (tmp_path / "b.txt").read_bytes(), (tmp_path / "c.jpg.txt").read_bytes()
    save_caption(tmp_path, "a.jpg", "red shirt,  tie\ngray  wall\n")
    assert (tmp_path / "a.txt").read_text() == "red shirt,  tie\ngray wall\n"
    assert change_captions(tmp_path, replacing("wall", "background"))[0] == 1
    assert (tmp_path / "a.txt").read_text() == "red shirt,  tie\ngray background\n"
    assert untouched == ((tmp_path / "b.txt").read_bytes(), (tmp_path / "c.jpg.txt").read_bytes())
    change_captions(tmp_path, removing("gray background"))
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == [
        "red shirt,  tie\n",
        "shirt\n\nhat\n",
    ]  # and the empty one
    change_captions(tmp_path, adding("photo, shirt", at_front=False))
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == [
        "red shirt, tie, photo, shirt\n",
        "shirt\n\nhat, photo\n",
    ]
    change_captions(tmp_path, adding("new", at_front=True))
    assert [c.caption for c in read_captions(tmp_path)] == [
        "new, red shirt, tie, photo, shirt",
        "new, shirt, hat, photo",
        "new, röd, hatt, photo, shirt",
    ]


def test_captions_of_every_name_are_taken_from_a_drop_and_stay_with_their_photo(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    files = [
        add(drop, "a (1).jpg", **{"a (1)__jpg__txt": b"one"}),
        drop / "a (1).jpg.txt",
        add(drop, "a 1.jpg", **{"a 1__CAPTION": b"two"}),
        drop / "a 1.CAPTION",
        add(drop, "b.png", b__TXT=b"three"),
        drop / "b.TXT",
    ]
    folder, sentences = keep_photos(files, "", Workspace(tmp_path / "workspace"))
    assert not sentences
    assert sorted(
        filter(None, (read_caption(path) for path in folder.iterdir() if path.suffix in (".jpg", ".png")))
    ) == ["one", "three", "two"]


def test_captions_of_many_come_along_with_a_drop(tmp_path: Path) -> None:
    files = [add(tmp_path / str(number), f"a {number}.png") for number in range(3)]  # each lies alone, as they arrive
    files += [add(tmp_path / "own", "b.png", b__txt=b"beside it"), tmp_path / "own" / "b.txt"]
    table, broken = tmp_path / "metadata.jsonl", tmp_path / "tags.csv"
    rows = [{"file_name": f"train/a {number}.png", "text": f"caption {number}"} for number in (0, 2)]
    table.write_text("\n".join(json.dumps(row) for row in [*rows, {"file_name": "b.png", "text": "other"}]))
    broken.write_text("a,b\n1,2\n")
    folder, sentences = keep_photos([*files, table, broken], "", Workspace(tmp_path / "workspace"))
    captions = {each.picture.name: each.caption for each in read_captions(folder)}
    assert sorted(captions.values()) == ["a 1", "beside it", "caption 0", "caption 2"]
    assert sentences[0] == "2 captions taken from metadata.jsonl."
    assert sentences[1].startswith("Left out, because it has no columns") and "tags.csv" in sentences[1]


def test_a_name_that_is_also_a_word_of_the_captions_is_pointed_out() -> None:
    captions = ["a woman, smiling", "womanly dress", "Woman in red"]
    assert word_note("woman", captions).startswith("'woman' is also a word of 2 captions")
    assert word_note("anna", captions) == word_note("", captions) == ""


def test_the_plan_says_how_several_lines_are_read_and_the_other_way_draws_one(tmp_path: Path) -> None:
    add(tmp_path / "set", "a.jpg", a__txt=LINES)
    add(tmp_path / "set", "b.jpg", b__txt=b"one")
    joined = describe_plan(Workspace(tmp_path), TrainSettings(dataset_directory="set"))
    assert "1 picture has a caption of several lines, which are read as tags of one." in joined
    one = describe_plan(Workspace(tmp_path), TrainSettings(dataset_directory="set", caption_lines=ONE_LINE))
    assert "1 of 2 pictures has several captions, up to 3: each use draws one line." in one
    rules = CaptionRules.of(TrainSettings(caption_lines=ONE_LINE))
    assert [example.captions for example in scan_dataset(tmp_path / "set", rules=rules)] == [
        ("shirt", "gray background,", "hat"),
        ("one",),
    ]
