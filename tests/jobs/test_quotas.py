"""Quotas: what each login may have on a page that is open to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ti_core.errors import UserError
from ti_core.events import Emit
from ti_core.jobs.kind import JobKind
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.quotas import Quotas
from ti_core.settings.option import Settings, option
from ti_core.workspace import Workspace


@dataclass(frozen=True)
class MakeSettings(Settings):
    """A job that makes a folder of a megabyte and waits until it is stopped."""

    destination_directory: str = option("", "Name", "text", "")


def check(settings: MakeSettings, workspace: Workspace, coming: object) -> tuple[str, str]:
    return settings.destination_directory, ""


def run(settings: MakeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    folder = workspace.root / settings.destination_directory
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(10**6))
    stop.wait(30)


KINDS = {"make": JobKind(MakeSettings, check, run)}


@pytest.fixture
def queue_with(tmp_path: Path) -> Iterator[Callable[[Quotas], JobQueue]]:
    made: list[JobQueue] = []

    def build(quotas: Quotas) -> JobQueue:
        for earlier in made:
            earlier.close()
        made.append(JobQueue(Workspace(tmp_path), KINDS, quotas=quotas))
        return made[-1]

    yield build
    for jobs in made:
        jobs.close()


def order(jobs: JobQueue, name: str, owner: str = "anna") -> str:
    return jobs.order("make", MakeSettings(name), owner).id


def do(jobs: JobQueue, name: str, owner: str = "anna") -> None:
    job = jobs.order("make", MakeSettings(name), owner)
    while not (jobs.table.workspace.root / name / "a.bin").is_file():
        time.sleep(0.01)
    job.stop.set()
    jobs.wait_for(job)


def test_without_quotas_nothing_is_counted(queue_with: Callable[[Quotas], JobQueue], tmp_path: Path) -> None:
    do(queue_with(Quotas()), "a")
    assert not (tmp_path / "jobs" / "used.jsonl").exists()


def test_quick_work_has_a_place_in_the_line_too(queue_with: Callable[[Quotas], JobQueue]) -> None:
    jobs = queue_with(Quotas(waiting=2))
    jobs.worker.pause()
    for _ in range(2):
        jobs.submit("masks", "Masks", lambda emit, stop: None, "anna")
    with pytest.raises(UserError, match="You have 2 jobs waiting"):
        jobs.submit("masks", "Masks", lambda emit, stop: None, "anna")
    for owner in ("ben", "local", ""):
        jobs.submit("masks", "Masks", lambda emit, stop: None, owner)


def test_so_many_jobs_of_each_login_wait(queue_with: Callable[[Quotas], JobQueue]) -> None:
    jobs = queue_with(Quotas(waiting=2))
    jobs.worker.pause()
    order(jobs, "a"), order(jobs, "b")
    with pytest.raises(UserError, match="You have 2 jobs waiting, and each login may have 2 here"):
        order(jobs, "c")
    order(jobs, "d", "ben")
    for number in range(3):
        order(jobs, f"l{number}", "local")  # nobody signed in


def test_the_disk_is_counted_with_the_bin_and_after_a_restart(
    queue_with: Callable[[Quotas], JobQueue], tmp_path: Path
) -> None:
    do(queue_with(Quotas(disk_gb=0.0015)), "a")
    jobs = queue_with(Quotas(disk_gb=0.0015))
    do(jobs, "b")
    (tmp_path / "bin").mkdir()
    (tmp_path / "a").rename(tmp_path / "bin" / "a")
    with pytest.raises(UserError, match=r"Your runs and datasets take 0\.002 GB, and each login may have 0\.0015 GB"):
        order(jobs, "c")
    do(jobs, "d", "ben")
    (tmp_path / "bin" / "a" / "a.bin").unlink()
    do(jobs, "e")


def test_minutes_of_the_device_interrupt_and_go_on_another_day(
    queue_with: Callable[[Quotas], JobQueue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ti_core.jobs.worker.SAVE_EVERY_S", 0.0)
    jobs = queue_with(Quotas(device_minutes=0.001))
    job = jobs.order("make", MakeSettings("a"), "anna")
    while jobs.usage.minutes("anna") < 0.001:
        time.sleep(0.01)
    with jobs.table.lock:
        jobs.table.changed(job)  # as its next event has it
    jobs.wait_for(job)
    assert any("have used the 0.001 minutes of the device" in notice for notice in job.notices)
    with pytest.raises(UserError, match=r"minutes of the device today.*Go on tomorrow"):
        order(jobs, "b")
    monkeypatch.setattr("ti_core.jobs.quotas._today", lambda: "2099-01-01")
    order(jobs, "b")


def test_a_damaged_line_is_left_out(queue_with: Callable[[Quotas], JobQueue], tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "used.jsonl").write_text('{"owner": "anna", "da\n[]\n', encoding="utf-8")
    do(queue_with(Quotas(waiting=1)), "a")
    assert len((tmp_path / "jobs" / "used.jsonl").read_text().splitlines()) == 3
