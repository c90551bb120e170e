"""A preprocessing that was interrupted goes on where it was; with other photos or settings it begins anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.data.test_findings import ASTRONAUT
from ti_core.data.by_hand import HandEdit, change_by_hand
from ti_core.data.preprocess import PreprocessResult, preprocess
from ti_core.data.unfinished import UNFINISHED_FILE, time_left
from ti_core.errors import Interrupted
from ti_core.events import Event, Notice, Progress
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

PHOTOS = 12


@pytest.fixture
def photos(workspace: Workspace) -> Path:
    folder = workspace.root / "photos"
    folder.mkdir()
    with Image.open(ASTRONAUT) as photo:
        for i in range(PHOTOS):
            photo.crop((i, i, 300 + i, 300 + i)).save(folder / f"{i:02d}.jpg")
            (folder / f"{i:02d}.txt").write_text(f"photo {i}")
    return folder


def run(workspace: Workspace, stop_at: int = 0, **changes: Any) -> tuple[PreprocessResult | None, Recorder]:
    recorder = Recorder()

    def emit(event: Event) -> None:
        recorder(event)
        if stop_at and isinstance(event, Progress) and event.done == stop_at:
            recorder.stop.set()

    values = {"width": 64, "height": 64, "flip": True, "caption_action": "copy", "checkpoint": TINY}
    settings = PreprocessSettings(source_directory="photos", destination_directory="set", **(values | changes))
    try:
        return preprocess(settings, workspace, emit, recorder.stop), recorder
    except Interrupted:
        return None, recorder


def test_it_goes_on_where_it_was_and_ends_as_if_nothing_had_been(workspace: Workspace, photos: Path) -> None:
    assert run(workspace, stop_at=5)[0] is None
    folder = workspace.root / "set"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert (folder / UNFINISHED_FILE).is_file() and len(before) >= 4
    result, recorder = run(workspace)
    assert result is not None and len(result.written) == 2 * PHOTOS == len(list(folder.glob("*.png")))
    assert result.originals == PHOTOS and result.captions == 2 * PHOTOS
    kept = [path for path in before if path.stat().st_mtime_ns == before[path]]
    assert kept and any("finished before the interruption" in each.text for each in recorder.of(Notice))
    assert len(recorder.of(Progress)) < PHOTOS
    assert not (folder / UNFINISHED_FILE).exists() and not list(folder.glob("earlier-*"))
    again, _ = run(workspace)
    assert again is not None and again.sentence() == result.sentence()
    assert [path.read_bytes() for path in again.written] == [
        (folder / "earlier-1" / path.name).read_bytes() for path in result.written
    ]


@pytest.mark.parametrize("changed", ["size", "caption", "file"])
def test_with_other_settings_or_files_it_begins_anew(workspace: Workspace, photos: Path, changed: str) -> None:
    assert run(workspace, stop_at=5)[0] is None
    if changed == "caption":
        (photos / "03.txt").write_text("changed since")
    if changed == "file":
        next((workspace.root / "set").glob("00000-0-*.png")).unlink()
    result, recorder = run(workspace, width=32 if changed == "size" else 64)
    assert result is not None and len(result.written) == 2 * PHOTOS
    if changed == "file":  # that photo alone
        assert all(path.is_file() for path in result.written)
    else:
        assert len(recorder.of(Progress)) == PHOTOS + 1
        assert list((workspace.root / "set").glob("earlier-1"))


@pytest.mark.parametrize("changed", ["by hand", "mask", "captions of many"])
def test_what_lies_elsewhere_counts_too_as_for_photos_that_may_only_be_read(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    inside, access = photos / "masks", os.access
    inside.mkdir()
    Image.new("L", (300, 300), 128).save(inside / "03.png")
    states = {path: path.stat().st_mtime_ns for path in photos.iterdir()}
    photos.chmod(0o555)  # tells a person's account; whoever tests as root may write all the same
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != photos and access(path, mode))
    try:
        assert run(workspace, stop_at=5)[0] is None
        if changed == "by hand":
            change_by_hand(photos, workspace, "03.jpg", HandEdit(turn=90))
        elif changed == "mask":
            Image.new("L", (300, 300), 255).save(inside / "03.png")
        else:
            (photos.parent / "metadata.jsonl").write_text('{"file_name": "photos/03.jpg", "text": "changed since"}\n')
        result, recorder = run(workspace)
        assert result is not None and len(recorder.of(Progress)) == PHOTOS + 1  # begun anew
        result, recorder = run(workspace, stop_at=5)
        assert result is None
        result, recorder = run(workspace)
        assert result is not None and len(recorder.of(Progress)) < PHOTOS  # gone on with
    finally:
        photos.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in photos.iterdir()} == states


def test_a_damaged_file_of_what_is_done_is_no_crash(workspace: Workspace, photos: Path) -> None:
    assert run(workspace, stop_at=5)[0] is None
    file = workspace.root / "set" / UNFINISHED_FILE
    file.write_text(file.read_text()[:-20] + '\n{"number": "x"}\n')
    result, _ = run(workspace)
    assert result is not None and len(result.written) == 2 * PHOTOS


def test_the_time_left_is_said_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert time_left(99.0, 3, 5000) == time_left(50.0, 0, 5000) == ""
    assert time_left(90.0, 100, 5000) == ", about 8 minutes left"
    assert time_left(90.0, 10, 20) == ", about 10 seconds left"
    assert time_left(90.0, 1, 5000) == ", about 13.9 hours left"
