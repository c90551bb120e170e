"""Captions that other tools write for a whole folder into one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ti_core.data.caption_edits import adding, change_captions, find_captioned, read_captions, save_caption
from ti_core.data.caption_undo import undo_edit
from ti_core.data.captions import CaptionFiles, caption_notes
from ti_core.data.character_traits import CHARACTER_TRAITS
from ti_core.data.dataset import scan_dataset
from ti_core.events import Event, Notice
from ti_core.settings import TrainSettings
from ti_core.training.presets import describe_plan
from ti_core.workspace import Workspace

META = {"caption": "a woman", "tags": "1girl, long hair"}


def dataset(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (16, 16)).save(folder / name)
    return folder


def notes(folder: Path) -> list[str]:
    return caption_notes(CaptionFiles.of(folder))


@pytest.mark.parametrize(
    ("file", "content", "caption"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "text": "röd hatt"}\n', "röd hatt"),
        ("metadata.jsonl", '\ufeff{"file_name": "sub/A.PNG", "text": "hat"}\n\n', "hat"),
        ("data.jsonl", '{"image": "a.png", "text": "hat", "mask": "m.png"}', "hat"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": ["one hat", "red hat"]}', "one hat, red hat"),
        ("metadata.csv", 'file_name,text\na.png,"red hat, smiling"\n', "red hat, smiling"),
        ("meta_cap.json", json.dumps({"C:\\img\\10_anna\\a.png": {"caption": "a woman"}}), "a woman"),
        ("meta_clean.json", json.dumps({"/home/x/img/a": META}), "a woman, 1girl, long hair"),
        ("meta_lat.json", json.dumps({"a": {"tags": "1girl", "train_resolution": [512, 512]}}), "1girl"),
        ("metadata.json", json.dumps([{"file_name": "a.png", "caption": "hat"}]), "hat"),
        ("wd14.csv", 'filename,tags\na.png,"1girl, hat"\n', "1girl, hat"),
        ("wd14.csv", "filename;tags\na.png;1girl, hat\n", "1girl, hat"),
        ("tags.csv", "filename,tags\na.png,1girl,hat,red eyes\n", "1girl, hat, red eyes"),
        ("tags.csv", "a.png,1girl,hat\n", "1girl, hat"),
        ("tags.csv", "a.png\t1girl, hat\n", "1girl, hat"),
    ],
)
def test_a_file_with_the_captions_of_many_is_used_and_that_is_said(
    tmp_path: Path, file: str, content: str, caption: str
) -> None:
    (dataset(tmp_path, "a.png") / file).write_text(content, encoding="utf-8")
    assert scan_dataset(tmp_path)[0].caption == caption and not scan_dataset(tmp_path)[0].is_file_name
    assert [each.caption for each in read_captions(tmp_path)] == [caption]
    assert notes(tmp_path) == [f"{file}: 1 caption is read from it."]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("metadata.jsonl", b'{"file_name": "a.png", "text": "x"}\nwrong', "line 2 is no JSON"),
        ("metadata.jsonl", b"[1, 2]", "name no pictures"),
        ("meta_cap.json", b"[" * 5000, "is no JSON"),
        ("meta_cap.json", b'{"a": 1}', "names no pictures"),
        ("a.csv", b"id,tag,count\n1,hat,3\n", "no columns such as file_name and text"),
        ("a.csv", b"", "is empty"),
        ("metadata.csv", "file_name,text\na.png,röd".encode("cp1252"), "is not UTF-8"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, file: str, content: bytes, why: str) -> None:
    (dataset(tmp_path, "a man.png") / file).write_bytes(content)
    assert scan_dataset(tmp_path)[0].caption == "a man"
    first, *_ = notes(tmp_path)
    assert first.startswith(f"{file} is not used as captions: ") and why in first


def test_the_taggers_own_list_and_other_json_are_no_captions(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "a.png")
    (folder / "selected_tags.csv").write_text("tag_id,name\n1,a.png")
    (folder / "settings.json").write_text("wrong")
    assert all("selected_tags" not in note and "settings" not in note for note in notes(folder))


def test_of_several_for_one_picture_the_one_used_is_said(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "a.png", "b.png")
    (folder / "a.txt").write_text("beside it")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "x"}\n{"file_name": "b.png", "text": "y"}')
    (folder / "meta_cap.json").write_text(json.dumps({"b": {"caption": "old"}, "c": {"caption": "nobody"}}))
    assert [example.caption for example in scan_dataset(folder)] == ["beside it", "y"]
    several, first, second = notes(folder)
    assert "2 pictures have several" in several and "a.txt is used, not metadata.jsonl" in several
    assert "metadata.jsonl is used, not meta_cap.json" in several
    assert first == "metadata.jsonl: 1 caption is read from it."
    assert second == "meta_cap.json: 1 of its 2 rows is of no picture here."
    events = list[Event]()
    scan_dataset(folder, events.append)
    assert [event.text for event in events if isinstance(event, Notice)] == [several, first, second]
    assert several in describe_plan(Workspace(tmp_path.parent), TrainSettings(dataset_directory=tmp_path.name))


def test_pictures_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    dataset(tmp_path / "1_anna", "a.png"), dataset(tmp_path / "2_ben", "a.png")
    rows = [{"file_name": "1_anna/a.png", "text": "of anna"}, {"file_name": "2_ben/a.png", "text": "of ben"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = CaptionFiles.of(tmp_path, [tmp_path / "1_anna", tmp_path / "2_ben"])
    assert [files.read(picture) for picture in files.pictures] == ["of anna", "of ben"]
    assert caption_notes(files) == ["metadata.jsonl: 2 captions are read from it."]


def test_an_edit_writes_beside_the_picture_and_leaves_the_other_tools_file(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "a.png", "b.png")
    table = folder / "metadata.jsonl"
    table.write_text('{"file_name": "a.png", "text": "one"}\n{"file_name": "b.png", "text": "two"}')
    before = table.read_bytes()
    assert find_captioned(folder, "a.png").source == table
    save_caption(folder, "a.png", "three")
    assert (folder / "a.txt").read_text() == "three\n" and find_captioned(folder, "b.png").caption == "two"
    assert change_captions(folder, adding("hat", at_front=False))[0] == 2
    assert [each.caption for each in read_captions(folder)] == ["three, hat", "two, hat"]
    undo_edit(folder), undo_edit(folder)
    assert [each.caption for each in read_captions(folder)] == ["one", "two"]
    assert table.read_bytes() == before and not list(folder.glob("*.txt"))


def test_half_a_letter_in_a_table_becomes_a_sign_that_can_be_trained(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "a.png")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": "x\ud800y"}))
    assert [each.caption for each in read_captions(folder)] == ["x?y"]


def test_the_documents_name_all_traits_that_are_left_out() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "captions.md").read_text(encoding="utf-8").split())
    assert ", ".join(CHARACTER_TRAITS) in text
    assert len(set(CHARACTER_TRAITS)) == len(CHARACTER_TRAITS) > 120
