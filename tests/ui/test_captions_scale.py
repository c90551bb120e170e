"""What the Captions tab costs among thousands of pictures: counted, because times would tell of the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from tests.ui.calls import Calls
from ti_core.data import caption_edits, text_files
from ti_core.jobs.queue import JobQueue
from ti_core.ui.app_context import AppContext
from ti_core.ui.captions_layout import PAGE_PICTURES, TAGS_LISTED
from ti_core.ui.captions_tab import CaptionsTab
from ti_core.ui.part import PageContext
from ti_core.workspace import Workspace

PICTURES = 400
FOLDER = "datasets/many"


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[CaptionsTab]:
    """400 names of one picture: enough that anything done for each of them shows in a count."""
    workspace = Workspace(tmp_path)
    folder = workspace.datasets / "many"
    folder.mkdir(parents=True)
    Image.new("RGB", (16, 16), "red").save(folder / "0000.png")
    for i in range(PICTURES):
        if i:
            os.link(folder / "0000.png", folder / f"{i:04d}.png")
        (folder / f"{i:04d}.txt").write_text(f"1girl, tag {i}, number {i % 7}")
    jobs = JobQueue(workspace)
    with gr.Blocks():
        yield CaptionsTab(PageContext(AppContext(workspace, jobs), my_job=None))
    jobs.close()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Calls]:
    found = {"listed": Calls(os.scandir), "read": Calls(text_files.read_text), "opened": Calls(Image.open)}
    monkeypatch.setattr(os, "scandir", found["listed"])
    monkeypatch.setattr(caption_edits, "read_text", found["read"])
    monkeypatch.setattr(Image, "open", found["opened"])
    return found


def numbers(counts: dict[str, Calls]) -> dict[str, int]:
    """Since the last time."""
    found = {name: calls.count for name, calls in counts.items()}
    for calls in counts.values():
        calls.count = 0
    return found


def size_of(updates: dict[Any, Any]) -> int:
    return len(json.dumps(list(updates.values()), default=str))


def test_each_action_reads_what_has_changed_and_answers_with_one_page(
    tab: CaptionsTab, counts: dict[str, Calls], tmp_path: Path
) -> None:
    opened = tab.open(FOLDER)
    at_first = numbers(counts)
    assert at_first["read"] == PICTURES and at_first["opened"] <= 2 * PAGE_PICTURES + 2
    assert len(opened[tab.gallery]["value"]) == PAGE_PICTURES and len(opened[tab.tags]["value"]) == TAGS_LISTED
    assert size_of(opened) < 60_000

    again = tab.open(FOLDER)
    assert numbers(counts)["read"] == 0 and again[tab.text] == opened[tab.text]

    saved = tab.save_one(opened[tab.opened], "1girl, typed")
    assert saved[tab.message]["value"] == "Saved: 0000.txt."
    found = numbers(counts)
    assert found["read"] == 2 and found["opened"] == 0  # what is there before, and what is there then
    assert found["listed"] <= 6 and saved[tab.gallery]["value"][0][1] == "1girl, typed"

    there = tab.go_on(saved[tab.opened], "1girl, typed")
    assert there[tab.opened][1] == "0001.png" and there[tab.gallery] == gr.update(selected_index=1)
    assert tab.tags not in there and size_of(there) < 5_000
    found = numbers(counts)
    assert found["read"] == 0 and found["opened"] <= 2 and found["listed"] <= 2
    tab.preview(there[tab.opened], "tag 5", "hat")
    assert tab.mark_tagged(there[tab.opened], "number 3")[tab.only]["value"][0] == "0003.png"
    assert numbers(counts)["read"] == 0

    (tmp_path / FOLDER / "0300.txt").write_text("by somebody else")
    (tmp_path / FOLDER / "0301.txt").unlink()
    later = tab.open(FOLDER, picture="0301.png")
    assert numbers(counts)["read"] == 1 and later[tab.text] == ""  # a number is no word
    words = dict(enumerate(words for _, words in later[tab.gallery]["value"]))
    assert words[300 - 288] == "by somebody else" and later[tab.gallery]["selected_index"] == 301 - 288


def test_pages_of_pictures_follow_the_open_one(tab: CaptionsTab) -> None:
    opened = tab.open(FOLDER)
    assert opened[tab.pages]["visible"] and "(1 to 36 of 400)" in opened[tab.gallery]["label"]

    def then(handler: Any, *given: Any) -> dict[Any, Any]:
        nonlocal opened
        opened = handler(opened[tab.opened], opened[tab.opened][2], True, *given)
        return opened

    assert then(tab.go_to_later)[tab.opened][1] == "0036.png" and "(37 to 72 of 400)" in opened[tab.gallery]["label"]
    assert opened[tab.marks]["first"] == opened[tab.findings.html]["first"] == 36
    clicked = gr.SelectData(None, {"index": 3, "value": None})
    assert then(tab.pick, clicked)[tab.opened][1] == "0039.png" and "value" not in opened[tab.gallery]
    assert then(tab.go_to_earlier)[tab.opened][1] == "0000.png"
    assert then(tab.go_to_earlier)[tab.opened][1] == "0396.png" and len(opened[tab.gallery]["value"]) == 4
    assert then(tab.go_to_later)[tab.opened][1] == "0000.png"
    assert then(tab.go_back)[tab.opened][1] == "0399.png" and opened[tab.gallery]["selected_index"] == 3


def test_the_thumbnails_of_a_page_are_made_once(tab: CaptionsTab, counts: dict[str, Calls]) -> None:
    files = [file for file, _ in tab.open(FOLDER)[tab.gallery]["value"]]
    made = {file: os.stat(file).st_ino for file in files}
    numbers(counts)
    assert [file for file, _ in tab.open(FOLDER)[tab.gallery]["value"]] == files
    assert numbers(counts)["opened"] == 0 and {file: os.stat(file).st_ino for file in files} == made
