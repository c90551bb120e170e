"""The queue of jobs: reordered, cancelled, cloned, and there again after the server was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ti_core.errors import Interrupted, SettingsError, UserError
from ti_core.events import Emit, StepDone
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.table import KEPT_JOBS
from ti_core.jobs.view import Cursor, queue_rows, snapshot
from ti_core.runs.folder import RunFolder
from ti_core.settings import CompareSettings, CreateSettings, PreprocessSettings, ResumeSettings, TrainSettings
from ti_core.settings.option import Settings, option
from ti_core.workspace import REPOSITORY, Workspace


@dataclass(frozen=True)
class WaitSettings(Settings):
    name: str = option("", "Name", "textbox", "Type one.", required=True)
    quick: bool = option(False, "Quick", "checkbox", "Ends at once.")


def _wait(settings: WaitSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    emit(StepDone(1, 0.5, 0.1, settings.name, 0.0))
    while not settings.quick:
        if stop.wait(0.005):
            raise Interrupted


def _check(settings: WaitSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    settings.check()
    return f"Wait for {settings.name}", settings.name


WAITING = {"wait": JobKind(WaitSettings, _check, _wait)}


def order(jobs: JobQueue, *names: str, **more: object) -> list[str]:
    return [jobs.order("wait", WaitSettings.from_dict({"name": name, **more}), "anna").id for name in names]


def titles(jobs: JobQueue) -> list[str]:
    return [job.title.removeprefix("Wait for ") for job in jobs.waiting()]


@pytest.fixture
def jobs(tmp_path: Path) -> JobQueue:
    return JobQueue(Workspace(tmp_path), WAITING)


def wait_until_runs(jobs: JobQueue, job_id: str) -> None:
    end = time.monotonic() + 120
    while jobs.get(job_id).state != "running":  # type: ignore[union-attr]
        assert time.monotonic() < end, "it never began"
        time.sleep(0.005)


def test_a_paused_line_begins_nothing_until_the_page_is_open(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path), WAITING, is_paused=True)
    (first,) = order(jobs, "first", quick=True)
    time.sleep(0.05)
    assert (
        titles(jobs) == ["first"]
        and json.loads((tmp_path / "jobs" / f"{first}.json").read_text())["state"] == "waiting"
    )
    jobs.begin()
    job = jobs.get(first)
    assert job is not None and jobs.wait_for(job, 120).state == "finished"


def test_waiting_jobs_are_moved_up_cancelled_and_cloned_with_their_settings(jobs: JobQueue) -> None:
    first, b, _, d = order(jobs, "a", "b", "c", "d")
    wait_until_runs(jobs, first)
    assert "Moved up" in jobs.move_up(d) and titles(jobs) == ["b", "d", "c"]
    assert "next already" in jobs.move_up(b)
    assert "Cancelled" in jobs.cancel(d) and titles(jobs) == ["b", "c"]
    again = jobs.again(d, "boris")
    assert (again.settings, again.owner, titles(jobs)) == (WaitSettings("d"), "boris", ["d", "b", "c"])  # his turn
    assert "Stopping" in jobs.cancel(first)
    assert jobs.wait_for(jobs.get(first)).state == "interrupted"  # type: ignore[arg-type]
    assert "ended already" in jobs.cancel(first)
    rows = [(row["title"], row["state"]) for row in queue_rows(jobs)]
    assert ("Wait for d", "cancelled") in rows and ("Wait for a", "interrupted") in rows
    for call in (jobs.move_up, jobs.cancel, jobs.again, jobs.resume):
        with pytest.raises(UserError, match="There is no job 'nothing'"):
            call("nothing")
    with pytest.raises(UserError, match="nothing to resume"):
        jobs.resume(first)


def test_settings_that_cannot_work_never_get_into_the_line(jobs: JobQueue) -> None:
    with pytest.raises(UserError, match="Name is empty"):
        order(jobs, "")
    with pytest.raises(UserError, match="no job called 'rm'"):
        jobs.order("rm", WaitSettings())
    assert not queue_rows(jobs)


def test_the_line_comes_only_when_it_changed(jobs: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ti_core.jobs.worker.SAVE_EVERY_S", 1e9)
    (first,) = order(jobs, "a")
    wait_until_runs(jobs, first)
    seen = snapshot(jobs)
    assert [row["id"] for row in seen["line"]] == [first]
    assert "line" not in snapshot(jobs, Cursor(version=seen["version"]))
    order(jobs, "b")
    assert [row["title"] for row in snapshot(jobs, Cursor(version=seen["version"]))["line"]] == [
        "Wait for a",
        "Wait for b",
    ]


def test_a_second_server_in_the_same_workspace_is_refused_and_the_next_one_after_it_is_not(tmp_path: Path) -> None:
    first = JobQueue(Workspace(tmp_path), WAITING)
    with pytest.raises(UserError, match="Another server works in this workspace"):
        JobQueue(Workspace(tmp_path), WAITING)
    first.close()
    JobQueue(Workspace(tmp_path), WAITING)


SERVER = """
import sys, time
from pathlib import Path
from tests.jobs.test_store import WAITING, order, wait_until_runs
from ti_core.jobs.queue import JobQueue
from ti_core.workspace import Workspace
jobs = JobQueue(Workspace(Path(sys.argv[1])), WAITING)
first, second, third = order(jobs, "a", "b", "c")
wait_until_runs(jobs, first)
jobs.move_up(third)
print("ready", flush=True)
time.sleep(60)
"""


def test_after_kill_9_the_line_is_there_the_running_job_is_interrupted_and_the_others_go_on(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout and server.stdout.readline() == "ready\n"
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    jobs = JobQueue(Workspace(tmp_path), WAITING)
    rows = {row["title"]: row for row in queue_rows(jobs)}
    assert (rows["Wait for a"]["state"], rows["Wait for a"]["owner"], rows["Wait for a"]["again"]) == (
        "interrupted",
        "anna",
        True,
    )
    stopped = jobs.get(rows["Wait for a"]["id"])
    assert stopped is not None and "The server was stopped while this ran" in stopped.text
    wait_until_runs(jobs, rows["Wait for c"]["id"])
    assert jobs.get(rows["Wait for c"]["id"]).state == "running" and titles(jobs) == ["b"]  # type: ignore[union-attr]
    assert jobs.shown_job().title == "Wait for c"  # type: ignore[union-attr]


def test_files_of_jobs_that_cannot_be_used_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    texts = (
        "no json",
        "[]",
        '{"id": "x2"}',
        json.dumps({"id": "x3", "kind": "wait", "settings": {"nonsense": 1}}),
        json.dumps({"id": "x4", "kind": "gone", "settings": {}}),
    )
    for number, text in enumerate(texts):
        (tmp_path / "jobs" / f"x{number}.json").write_text(text)
    jobs = JobQueue(Workspace(tmp_path), WAITING)
    assert {row["id"]: row["state"] for row in queue_rows(jobs)} == {
        "x2": "foreign",
        "x3": "interrupted",
        "x4": "foreign",
    }
    assert [(tmp_path / "jobs" / f"x{number}.json").read_text() for number in range(len(texts))] == list(texts)


def test_old_jobs_are_forgotten_in_memory_and_on_disk(jobs: JobQueue, tmp_path: Path) -> None:
    for number in range(KEPT_JOBS + 5):
        (job,) = order(jobs, str(number), quick=True)
        jobs.wait_for(jobs.get(job))  # type: ignore[arg-type]
    assert jobs.get(job).curve  # type: ignore[union-attr]
    assert len(list((tmp_path / "jobs").glob("*.json"))) <= KEPT_JOBS + 1
    kept = [jobs.get(path.stem) for path in (tmp_path / "jobs").glob("*.json")]
    assert sum(bool(job.curve) for job in kept if job) <= 4


def test_a_disk_that_takes_no_job_file_does_not_stop_the_job(jobs: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ti_core.files.os.replace", full)
    (job,) = order(jobs, "a", quick=True)
    done = jobs.wait_for(jobs.get(job))  # type: ignore[arg-type]
    assert done.state == "finished" and any("disk is full" in notice for notice in done.notices)


def test_a_real_kind_runs_from_its_settings_alone(workspace: Workspace) -> None:
    jobs = JobQueue(workspace)
    job = jobs.wait_for(jobs.order("create", CreateSettings(name="anna", checkpoint="tiny")), 60)
    assert (job.state, job.result, job.title) == ("finished", "anna", "Create embedding anna")
    assert (workspace.embeddings / "anna.pt").is_file()
    assert set(KINDS) >= {"create", "preprocess", "train", "resume", "txt2img"}


def test_create_preprocess_and_train_wait_in_one_line(workspace: Workspace, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(photos / "a.png")
    jobs = JobQueue(workspace, {**KINDS, **WAITING})
    train = TrainSettings(
        embedding="anna",
        dataset_directory="datasets/anna",
        template_file="subject.txt",
        checkpoint="tiny",
        steps=1,
        image_every=0,
    )
    with pytest.raises(SettingsError, match="'anna' does not exist"):
        jobs.order("train", train)
    (first,) = order(jobs, "a")
    wait_until_runs(jobs, first)
    jobs.order("create", CreateSettings(name="anna", checkpoint="tiny"))
    jobs.order(
        "preprocess",
        PreprocessSettings(source_directory="photos", destination_directory="datasets/anna", width=64, height=64),
    )
    trained = jobs.order("train", train)
    assert "Moved up" in jobs.move_up(jobs.waiting()[1].id)
    with pytest.raises(UserError, match="'Train anna' needs what 'Create embedding anna' makes"):
        jobs.move_up(trained.id)
    jobs.cancel(first)
    assert jobs.wait_for(trained, 60).state == "finished", trained.text


def test_what_needs_a_job_that_came_to_nothing_is_not_begun(workspace: Workspace, dataset: Path) -> None:
    jobs = JobQueue(workspace, {**KINDS, **WAITING})
    (first,) = order(jobs, "a")
    made = jobs.order("create", CreateSettings(name="anna", checkpoint="tiny"))
    train = TrainSettings(
        embedding="anna",
        dataset_directory="datasets/anna",
        template_file="subject.txt",
        checkpoint="tiny",
        steps=1,
        image_every=0,
    )
    trained = jobs.order("train", train)
    jobs.cancel(made.id)
    jobs.cancel(first)
    assert (
        jobs.wait_for(trained, 60).state == "failed" and "because 'Create embedding anna' was cancelled" in trained.text
    )


def test_half_a_surrogate_ends_no_line(jobs: JobQueue) -> None:
    (job,) = order(jobs, "\ud83d", quick=True)
    assert jobs.wait_for(jobs.get(job), 120).state == "finished"  # type: ignore[arg-type]
    (job,) = order(jobs, "b", quick=True)
    assert jobs.wait_for(jobs.get(job), 120).state == "finished"  # type: ignore[arg-type]


def test_what_waits_when_the_server_is_stopped_goes_on_waiting(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path), WAITING)
    running, waiting = order(jobs, "a", "b")
    wait_until_runs(jobs, running)
    jobs.leave(120)
    jobs.close()
    records = {
        record["id"]: record["state"]
        for record in (json.loads(p.read_text()) for p in (tmp_path / "jobs").glob("*.json"))
    }
    assert records == {running: "interrupted", waiting: "waiting"}


def test_a_job_is_known_by_the_embedding_that_it_trains(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = RunFolder(tmp_path / "runs" / "anna-2", "anna")
    run.save_settings({})
    save_file({"vectors.clip_l": torch.zeros(1, 4)}, run.state, metadata={"step": "1", "name": "anna", "suffix": ".pt"})

    def trained(kind: str, settings: Settings | None, folder: str = "") -> str:
        return KINDS[kind].trained_embedding(settings, folder, workspace)

    assert trained("train", TrainSettings(embedding=" an/na ")) == "anna"
    assert trained("train", TrainSettings(embedding="berta"), str(run.root)) == "anna"
    assert trained("resume", ResumeSettings("runs/anna-2")) == "anna"
    assert trained("compare", CompareSettings("runs/anna-2"), str(run.root)) == ""
    assert trained("train", TrainSettings()) == trained("resume", None) == ""
