"""What is looked for in a folder comes bit by bit, and asking for it costs nothing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFilter

from tests.ui.calls import Calls
from ti_core.data import finding_search
from ti_core.data.crops import Face
from ti_core.data.finding_search import FindingSearches, FolderSearch


def add_pictures(folder: Path) -> None:
    """One sharp picture, the same once more, and a blurred one."""
    folder.mkdir()
    for seed, name, blur_px in ((0, "a", 0), (1, "c", 4)):
        rng = np.random.default_rng(seed)
        large = Image.fromarray(rng.integers(0, 215, (12, 12, 3), np.uint8)).resize(
            (256, 256), Image.Resampling.NEAREST
        )
        fine = Image.fromarray(rng.integers(0, 40, (256, 256, 3), np.uint8))
        picture = ImageChops.add(large, fine)
        picture.filter(ImageFilter.GaussianBlur(blur_px)).save(folder / f"{name}.png")
    with Image.open(folder / "a.png") as picture:
        picture.save(folder / "b.jpg", quality=60)


def finished(searches: FindingSearches, folder: Path, until: Callable[[FolderSearch], bool]) -> FolderSearch:
    """What is known once it is so."""
    ends = time.monotonic() + 60
    while not until(search := searches.ask(folder)):
        assert time.monotonic() < ends
        time.sleep(0.01)
    return search


def kinds(search: FolderSearch) -> dict[str, list[str]]:
    return {path.name: [each.kind for each in found] for path, found in search.found.items()}


def test_findings_come_while_faces_are_still_looked_for_and_follow_the_folder(tmp_path: Path) -> None:
    add_pictures(tmp_path / "anna")
    may_look, looked = threading.Event(), []

    def find_faces(image: Image.Image) -> list[Face]:
        assert may_look.wait(60)
        looked.append(image.size)
        return [(0.0, 0.0, 10.0, 10.0)]

    searches = FindingSearches(lambda: find_faces)
    early = finished(searches, tmp_path / "anna", lambda search: bool(search.found))
    assert kinds(early) == {"b.jpg": ["alike"], "c.png": ["blurred"]} and not early.is_done and early.looked == 3
    may_look.set()
    whole = finished(searches, tmp_path / "anna", lambda search: search.is_done)
    assert kinds(whole) == {"b.jpg": ["alike", "tiny face"], "c.png": ["blurred", "tiny face"], "a.png": ["tiny face"]}
    (tmp_path / "anna" / "a.png").unlink()
    later = finished(searches, tmp_path / "anna", lambda search: search.is_done)
    assert kinds(later) == {"b.jpg": ["tiny face"], "c.png": ["blurred", "tiny face"]}
    assert len(looked) == 3  # what was looked at once is known


def test_asking_how_far_a_search_is_lists_no_folder_and_the_search_steps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures(tmp_path / "anna")
    listed, may_look, priorities = Calls(finding_search.find_images), threading.Event(), list[int]()
    monkeypatch.setattr(finding_search, "find_images", listed)

    def find_faces(image: Image.Image) -> list[Face]:
        if sys.platform == "linux":
            priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert may_look.wait(60)
        return []

    searches = FindingSearches(lambda: find_faces)
    first = searches.ask(tmp_path / "anna")
    assert all(searches.ask(tmp_path / "anna", again=True) is first for _ in range(5)) and listed.count == 1
    (tmp_path / "anna" / "a.png").unlink()
    assert searches.ask(tmp_path / "anna", again=True) is first
    monkeypatch.setattr(finding_search, "LISTED_FOR_S", 0.0)  # later
    assert searches.ask(tmp_path / "anna", again=True) is not first and listed.count == 2
    may_look.set()
    finished(searches, tmp_path / "anna", lambda search: search.is_done)
    own = os.getpriority(os.PRIO_PROCESS, 0) if sys.platform == "linux" else 0
    assert all(priority == min(19, own + finding_search.NICENESS) for priority in priorities)


def test_a_search_that_nobody_asks_for_stops_and_goes_on_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures(tmp_path / "anna")
    searches = FindingSearches(lambda: lambda image: [])
    monkeypatch.setattr(finding_search, "UNASKED_S", -1.0)
    search = searches.ask(tmp_path / "anna")
    assert search.thread
    search.thread.join(60)
    assert not search.is_done and search.looked == 0
    monkeypatch.setattr(finding_search, "UNASKED_S", 60.0)
    assert finished(searches, tmp_path / "anna", lambda each: each.is_done) is search


def test_a_flood_of_folders_leaves_few_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / str(number) for number in range(finding_search.KEPT_FOLDERS + 4)]
    for folder in folders:
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "a.png")
    searches = FindingSearches(lambda: lambda image: [])
    looked: list[Path] = []
    monkeypatch.setattr(finding_search, "sight_at", looked.append)
    with finding_search._ONE_AT_A_TIME:  # another search looks at a large picture
        threads = [thread for folder in folders * 3 if (thread := searches.ask(folder).thread)]
    for thread in threads:
        thread.join(60)
    assert len(looked) == finding_search.KEPT_FOLDERS
