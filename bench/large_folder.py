"""A folder of thousands of large photos, for bench/many_images.py: how soon the first thumbnails are there, what the
whole listing holds in memory, and whether preprocessing keeps its pace and its memory, is stopped, and goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from bench.peak import Peak
from ti_core.data.preprocess import preprocess
from ti_core.errors import Interrupted
from ti_core.events import Event, Notice, Progress
from ti_core.settings import PreprocessSettings
from ti_core.ui.photos_panel import PHOTOS_AT_ONCE, SMALL_PX, find_photo, photo_rows
from ti_core.ui.small_pictures import small_picture, webp
from ti_core.workspace import Workspace

AT_ONCE = 6
"""So many connections a browser opens."""
SEEN = 12
"""Thumbnails on the first screen."""
FLOOR_PHOTOS = 32


def link_photos(photos: list[Path], folder: Path, count: int) -> None:
    """`count` names of these photos and of their captions: hard links, so each is a file of its own to us."""
    folder.mkdir(parents=True)
    for i in range(count):
        for suffix in (".jpg", ".txt"):
            os.link(photos[i % len(photos)].with_suffix(suffix), folder / f"{i:05d}{suffix}")


def measure_folder(
    folder: Path, settings: PreprocessSettings, workspace: Workspace, minutes: float, floor: Callable[..., None]
) -> dict[str, Any]:
    """Everything of one folder. `settings.source_directory` is that folder; it is preprocessed for so many minutes, in
    two halves with a stop between them, each between two floors of FLOOR_PHOTOS photos.
    """
    photos = sorted(folder.glob("*.jpg"))
    found: dict[str, Any] = {"photos": len(photos), **_thumbnails(settings, workspace)}
    found["listing"] = _listing(settings, workspace)
    floors, halves = [], []
    for number in range(2):
        floors.append(_floor(photos, number, floor, workspace, settings.width))
        halves.append(_half(settings, workspace, minutes * 30))
    floors.append(_floor(photos, 2, floor, workspace, settings.width))
    found["floors"], found["preprocess"] = floors, halves
    for what in ("wall_s", "processor_s"):
        of_floor = sum(each[f"{what}_a_photo"] for each in floors) / len(floors)
        done = sum(each[f"{what}_a_photo"] * each["photos"] for each in halves) / sum(h["photos"] for h in halves)
        found[f"of_floor_by_{what[:-2]}"] = round(of_floor / done, 3)
    return found


def _rows(settings: PreprocessSettings, workspace: Workspace, first: int) -> dict[str, Any]:
    return photo_rows(
        workspace,
        {
            "folder": settings.source_directory,
            "settings": {"width": settings.width, "height": settings.height},
            "first": first,
        },
    )


def _thumbnails(settings: PreprocessSettings, workspace: Workspace) -> dict[str, Any]:
    """As the browser asks: the rows of the first photos, then their thumbnails, some at a time."""
    began = time.perf_counter()
    names = [row["name"] for row in _rows(settings, workspace, 0)["rows"]]
    times = {"rows_s": time.perf_counter() - began}

    def thumbnail(name: str) -> float:
        _, photo = find_photo(workspace, {"folder": settings.source_directory, "name": name})
        webp(small_picture(photo, SMALL_PX))
        return time.perf_counter() - began

    with ThreadPoolExecutor(AT_ONCE) as browser:
        ends = sorted(browser.map(thumbnail, names))
    times |= {"first_s": ends[0], f"first_{SEEN}_s": ends[SEEN - 1], f"first_{len(ends)}_s": ends[-1]}
    return {"thumbnails": {name: round(seconds, 2) for name, seconds in times.items()}}


def _listing(settings: PreprocessSettings, workspace: Workspace) -> dict[str, Any]:
    """All rows of the folder, a screen after the other, and no row is kept."""
    began, total, first = time.perf_counter(), 1, 0
    with Peak(0.02) as peak:
        while first < total:
            answer = _rows(settings, workspace, first)
            total, first = answer["total"], answer["next"]
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "answers": -(-total // PHOTOS_AT_ONCE),
        "more_mb": peak.more_mb,
    }


def _floor(
    photos: list[Path], number: int, floor: Callable[..., None], workspace: Workspace, size_px: int
) -> dict[str, float]:
    few = photos[number * FLOOR_PHOTOS : (number + 1) * FLOOR_PHOTOS]
    wall, processor = time.perf_counter(), time.process_time()
    floor(few, size_px, workspace.root / f"floor-{number}")
    return {
        "photos": len(few),
        "wall_s_a_photo": round((time.perf_counter() - wall) / len(few), 4),
        "processor_s_a_photo": round((time.process_time() - processor) / len(few), 4),
    }


def _half(settings: PreprocessSettings, workspace: Workspace, seconds: float) -> dict[str, Any]:
    """Preprocess for so many seconds, then stop. `mb` is the process's memory, by tenths."""
    stop, process, done = threading.Event(), psutil.Process(), list[float]()
    held, said, stopped_at = list[int](), "", 0.0
    wall, processor = time.perf_counter(), time.process_time()

    def emit(event: Event) -> None:
        nonlocal said, stopped_at
        if isinstance(event, Notice) and "interruption" in event.text:
            said = event.text
        if isinstance(event, Progress):
            done.append(time.perf_counter() - wall)
            held.append(process.memory_info().rss)
            texts.append(event.text)
            if done[-1] > seconds and not stop.is_set():
                stopped_at = time.perf_counter()
                stop.set()

    texts = list[str]()
    with contextlib.suppress(Interrupted):
        preprocess(settings, workspace, emit, stop)
    ended, spent = time.perf_counter(), time.process_time() - processor
    tenth = max(1, len(held) // 10)
    return {
        "photos": len(done),
        "wall_s_a_photo": round((ended - wall) / len(done), 4),
        "processor_s_a_photo": round(spent / len(done), 4),
        "until_the_first_s": round(done[0], 2),
        "stopped_within_s": round(ended - stopped_at, 2) if stopped_at else None,
        "mb": [round(max(held[i : i + tenth]) / 2**20) for i in range(0, len(held), tenth)],
        "gone_on": said,
        "progress": texts[-1],
    }
