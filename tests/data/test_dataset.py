"""What counts as the dataset: pictures that really decode, their captions, and how many photos are behind them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ti_core.data.dataset import CaptionRules, count_originals, scan_dataset
from ti_core.errors import Interrupted, UserError
from ti_core.events import Event, Notice, Progress


def add(folder: Path, name: str, caption: bytes | None = None) -> Path:
    path = folder / name
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_bytes(caption)
    return path


def test_the_caption_is_the_text_beside_the_picture_without_bom_and_newline(tmp_path: Path) -> None:
    add(tmp_path, "00000-0-IMG_1.png", "\ufeffsmiling, röd\r\n".encode())
    assert [example.caption for example in scan_dataset(tmp_path)] == ["smiling, röd"]


@pytest.mark.parametrize(
    ("file", "caption"),
    [
        ("00001-0-a man.png", "a man"),
        ("2024-05- dog, hat.png", "dog, hat"),
        ("007.png", ""),
        ("red shirt.jpg", "red shirt"),
        ("a 7.png", "a 7"),
    ],
)
def test_without_a_text_the_file_name_is_the_caption(tmp_path: Path, file: str, caption: str) -> None:
    add(tmp_path, file)
    assert scan_dataset(tmp_path)[0].caption == caption


def test_an_empty_text_is_an_empty_caption_and_the_file_name_is_not_used(tmp_path: Path) -> None:
    add(tmp_path, "a man.png", b"\n")
    assert scan_dataset(tmp_path)[0].caption == ""


def test_corrupt_pictures_are_named_and_skipped(tmp_path: Path) -> None:
    """By their headers; tests/training/test_opening.py has those that are found broken when they are decoded."""
    add(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    (tmp_path / "c.jpg").write_bytes(b"")
    events: list[Event] = []
    assert [example.path.name for example in scan_dataset(tmp_path, events.append)] == ["a.png"]
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert notices == [f"{name} was skipped: it is not a readable picture." for name in ("b.png", "c.jpg")]
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 1, 2]


def test_a_caption_that_is_not_text_is_named_and_the_picture_kept(tmp_path: Path) -> None:
    add(tmp_path, "1 man.png", b"\xff\xfe\x00")
    events: list[Event] = []
    assert scan_dataset(tmp_path, events.append)[0].caption == "man"
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "1 man.txt was skipped: it is not UTF-8 text."
    ]


def test_mirrored_copies_and_pieces_count_as_one_original(tmp_path: Path) -> None:
    for name in (
        "00000-0-a.png",
        "00000-1-a.png",
        "00003-0-b.png",
        "00003-1-b.png",
        "holiday.png",
        "0001-0-short.png",
        "00003.png",
    ):
        add(tmp_path, name)
    examples = scan_dataset(tmp_path)
    assert len(examples) == 7 and count_originals(example.path for example in examples) == 5


def test_examples_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("c.png", "a.png", "b.jpg"):
        add(tmp_path, name)
    assert [example.path.name for example in scan_dataset(tmp_path)] == ["a.png", "b.jpg", "c.png"]


@pytest.mark.parametrize("content", [None, "text", "broken", "missing"])
def test_a_folder_without_a_usable_picture_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "data"
    if content != "missing":
        folder.mkdir()
    if content == "text":
        (folder / "a.txt").write_text("words")
    if content == "broken":
        (folder / "a.png").write_bytes(b"broken")
    message = {"broken": r"a\.png was skipped", "missing": "does not exist"}.get(content or "", "holds no pictures")
    with pytest.raises(UserError, match=message):
        scan_dataset(folder)


def test_stop_interrupts_the_scan(tmp_path: Path) -> None:
    add(tmp_path, "a.png")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        scan_dataset(tmp_path, stop=stop)


def test_a_word_regex_picks_the_words_of_a_file_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "00012-a_red-hat 7.png")
    assert scan_dataset(tmp_path, rules=CaptionRules("[a-z]+", ", "))[0].caption == "a, red, hat"
    assert scan_dataset(tmp_path)[0].caption == "a_red-hat 7"
