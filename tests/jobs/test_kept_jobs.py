"""What lies in jobs/ is read field by field: damage, other versions and a clock that was set back lose no job and
stop no server.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.jobs.test_store import WAITING, WaitSettings, _check, order, titles, wait_until_runs
from tests.test_fuzz import ANYTHING
from ti_core.errors import Interrupted, UserError
from ti_core.events import Emit, Started, StepDone
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import RESUME, TRAIN
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.table import KEPT_JOBS, KEPT_RESUMABLE
from ti_core.jobs.view import SHOWN_ENDED, Cursor, queue_rows, snapshot
from ti_core.runs.folder import RunFolder
from ti_core.settings import ResumeSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.live import view
from ti_core.ui.server.roles import AT_THIS_COMPUTER
from ti_core.workspace import Workspace


def save_state(run: RunFolder) -> None:
    """As a training leaves it at its third step."""
    run.root.mkdir(parents=True, exist_ok=True)
    run.save_settings({})
    facts = {"step": "3", "name": run.name, "suffix": ".pt"}
    save_file({"vectors.clip_l": torch.zeros(1, 4)}, run.state, metadata=facts)


def _train(settings: WaitSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """A training that is interrupted at its third step, with a state in its folder."""
    run = RunFolder(workspace.root / "runs" / settings.name, settings.name)
    save_state(run)
    emit(Started(f"Training {settings.name}", 9, folder=str(run.root)))
    emit(StepDone(3, 0.5, 0.1, settings.name, 0.0))
    raise Interrupted


def _check_resume(settings: ResumeSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    return f"Resume {settings.run_folder}", ""


def _resume(settings: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    emit(Started("Training on", 9, folder=str(workspace.root / settings.run_folder)))


TRAINING = {
    **WAITING,
    "train": JobKind(WaitSettings, _check, _train, run_of=TRAIN.run_of),
    "resume": JobKind(ResumeSettings, _check_resume, _resume, repeated_after=(), run_of=RESUME.run_of),
}
Opened = Callable[..., JobQueue]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens the line of the workspace, and closes the one before, as a server that starts again does."""
    queues: list[JobQueue] = []

    def start(**more: Any) -> JobQueue:
        for queue in queues:
            queue.close()
        queues.append(JobQueue(Workspace(tmp_path), TRAINING, **more))
        return queues[-1]

    yield start
    for queue in queues:
        queue.close()


def write(root: Path, name: str, **fields: Any) -> Path:
    record = {
        "id": name,
        "kind": "wait",
        "title": f"Wait for {name}",
        "owner": "anna",
        "settings": {"name": name, "quick": True},
        "result": name,
        "order": 1,
        "state": "waiting",
        "text": "",
        "folder": "",
        "done": 0,
        "total": 0,
        "needs": [],
    }
    path = root / "jobs" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({key: value for key, value in {**record, **fields}.items() if value is not ...}))
    return path


def job_of(jobs: JobQueue, name: str) -> Job:
    job = jobs.get(name)
    assert job is not None, f"{name} vanished"
    return job


def all_text(jobs: JobQueue, name: str) -> str:
    job = job_of(jobs, name)
    return " ".join([job.text, *job.notices])


# ---- ids


def test_nobody_can_guess_a_jobs_id(opened: Opened) -> None:
    """Made of the clock, one of 450 guesses was right, and a foreign page interrupted a training."""
    ids = order(opened(is_paused=True), *"abcdefgh")
    assert all(re.fullmatch(r"wait-[0-9a-f]{32}", job) for job in ids)
    assert (
        len({job[5 + i : 9 + i] for job in ids for i in range(0, 28, 4)}) > 40
    )  # no part of it is the same, as a date would be


# ---- damage


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folder", 5),
        ("folder", "a\0b"),
        ("folder", "x" * 9000),
        ("folder", {}),
        ("title", 5),
        ("title", None),
        ("owner", ["anna"]),
        ("result", {}),
        ("text", 1.5),
        ("done", "3"),
        ("done", -1),
        ("done", True),
        ("total", 10**300),
        ("total", float("nan")),
        ("needs", "x"),
        ("needs", [5, {}]),
        ("needs", 5),
        ("order", "1"),
        ("order", float("nan")),
        ("order", float("inf")),
        ("order", 10**400),
        ("order", True),
        ("id", 5),
        ("id", None),
        ("title", ...),
        ("needs", ...),
        ("order", ...),
        ("id", ...),
        ("colour", "red"),
    ],
)
def test_a_field_of_the_wrong_kind_is_told_and_the_rest_is_used(
    opened: Opened, tmp_path: Path, field: str, value: Any
) -> None:
    """`folder: 5` once stopped the server from starting."""
    write(tmp_path, "bad", **{field: value})
    write(tmp_path, "good", order=2)
    jobs = opened()
    assert jobs.wait_for(job_of(jobs, "good"), 60).state == "finished"
    bad = jobs.wait_for(job_of(jobs, "bad"), 60)
    assert bad.state == "finished" and bad.settings == WaitSettings("bad", True)
    assert (isinstance(value, str) and field == "folder") or f"'{field}'" in all_text(jobs, "bad")
    json.dumps(snapshot(jobs), allow_nan=False)


def test_a_state_that_is_not_known_begins_nothing(opened: Opened, tmp_path: Path) -> None:
    for number, state in enumerate(("paused", 5, None, ...)):
        write(tmp_path, f"x{number}", state=state)
    jobs = opened()
    assert not jobs.waiting() and all(row["state"] == "interrupted" for row in queue_rows(jobs))
    assert "'state'" in all_text(jobs, "x0")


def test_settings_of_another_version_are_told_and_the_job_goes_on(opened: Opened, tmp_path: Path) -> None:
    write(tmp_path, "newer", settings={"name": "newer", "quick": True, "colour": "red"})
    write(tmp_path, "older", settings={"name": "older"}, state="finished")
    jobs = opened()
    assert jobs.wait_for(job_of(jobs, "newer"), 60).state == "finished"
    assert "left out: colour" in all_text(jobs, "newer") and "quick (False)" in all_text(jobs, "older")


@pytest.mark.parametrize("damaged", [5, None, ..., [], {"name": "bad", "quick": "yes"}])
def test_damaged_settings_wait_for_somebody_to_look_at_them(opened: Opened, tmp_path: Path, damaged: Any) -> None:
    """Begun by itself, it would do what nobody asked for."""
    write(tmp_path, "bad", settings=damaged)
    jobs = opened()
    job = jobs.get("bad")
    assert job and job.state == "failed" and "Run again" in job.text and not jobs.waiting()
    if isinstance(damaged, dict):
        assert "Quick: 'yes' is not true or false" in all_text(jobs, "bad")
        assert jobs.again("bad").settings == WaitSettings("bad")


def test_a_kind_of_another_version_is_shown_and_kept_as_it_is(opened: Opened, tmp_path: Path) -> None:
    path = write(tmp_path, "far", kind="hypernetwork", title="Train a hypernetwork", order=1)
    odd = write(tmp_path, "odd", kind=5, order=2)
    before = path.read_bytes(), odd.read_bytes()
    jobs = opened()
    for number in range(KEPT_JOBS + 2):
        (made,) = order(jobs, str(number), quick=True)
        assert jobs.wait_for(job_of(jobs, made), 60).state == "finished"
    rows = {row["id"]: row for row in queue_rows(jobs)}
    assert rows["far"]["state"] == rows["odd"]["state"] == "foreign"
    assert (rows["far"]["title"], rows["far"]["again"], rows["far"]["resume"]) == ("Train a hypernetwork", False, None)
    assert "'hypernetwork'" in all_text(jobs, "far")
    assert "ended" in jobs.cancel("far")
    with pytest.raises(UserError):
        jobs.again("far")
    opened()
    assert (path.read_bytes(), odd.read_bytes()) == before


def test_a_file_that_cannot_be_read_is_told_in_the_terminal_and_left_alone(
    opened: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write(tmp_path, "good").read_bytes()
    files = {
        "half": whole[: len(whole) // 2],
        "deep": b"[" * 200_000,
        "deeper": b'{"id":' * 200_000,
        "list": b"[]",
        "empty": b"",
        "bytes": b"\xff\xfe\0",
        "long": b'{"id": ' + b"1" * 10_000 + b"}",
        "copy": whole,
        "esc\x1b[31m": b"x",
    }
    for name, content in files.items():
        (tmp_path / "jobs" / f"{name}.json").write_bytes(content)
    (tmp_path / "jobs" / "folder.json").mkdir()
    jobs = opened()
    assert [row["id"] for row in queue_rows(jobs)] == ["good"]
    printed = capsys.readouterr().out
    assert (
        all(name in printed for name in ("half", "deep", "deeper", "list", "empty", "bytes", "long", "copy", "folder"))
        and "\x1b" not in printed
    )
    assert all((tmp_path / "jobs" / f"{name}.json").read_bytes() == content for name, content in files.items())


def check_damage(folder: Path, cases: int) -> None:
    """Whatever lies in jobs/: the server starts, the other jobs are there, and what a page asks for can be answered."""
    good = write(folder, "good", order=2)
    bad = folder / "jobs" / "bad.json"
    workspace = Workspace(folder)
    fields = st.sampled_from([*json.loads(good.read_text()), "place", "nonsense"])
    values = ANYTHING | st.sampled_from(
        ["running", "finished", "failed", "train", "resume", "runs/x", ["good"], ["bad"], 2**53]
    )

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.dictionaries(fields, values, max_size=6), st.none() | st.floats(0, 1))
    def one(changes: dict[str, Any], cut: float | None) -> None:
        text = write(folder, "bad", **changes).read_bytes()
        bad.write_bytes(text if cut is None else text[: int(len(text) * cut)])
        jobs = JobQueue(workspace, TRAINING, is_paused=True)
        try:
            assert [job.id for job in jobs.waiting() if job.id != "bad"] == ["good"]
            json.dumps(view(AppContext(workspace, jobs), {}, AT_THIS_COMPUTER))
            assert bad.exists()
        finally:
            jobs.close()

    one()


def test_any_damage_to_a_jobs_file_stops_no_server(tmp_path: Path) -> None:
    check_damage(tmp_path, 60)


@pytest.mark.slow
def test_a_thousand_kinds_of_damage(tmp_path: Path) -> None:
    check_damage(tmp_path, 1000)


# ---- the order


def test_a_clock_that_is_set_back_lets_no_job_overtake(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(2_000_000_000, 0, -1_000_000))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    monkeypatch.setattr("time.strftime", lambda *given: "0101-000000")
    jobs = opened(is_paused=True)
    order(jobs, "a", "b", "c")
    assert titles(jobs) == ["a", "b", "c"]
    jobs = opened(is_paused=True)
    order(jobs, "d")
    assert titles(jobs) == ["a", "b", "c", "d"]


def test_files_of_an_older_version_keep_their_order(opened: Opened, tmp_path: Path) -> None:
    """There `place` was the time."""
    for name, place in (("third", 1.8e9 + 3e-6), ("first", 1.8e9 + 1e-6), ("second", 1.8e9 + 2e-6)):
        write(tmp_path, name, order=..., place=place)
    write(tmp_path, "ended", order=..., place=1.7e9, state="finished")
    jobs = opened(is_paused=True)
    order(jobs, "new")
    assert titles(jobs) == ["first", "second", "third", "new"] and not any(job.notices for job in jobs.waiting())
    assert queue_rows(jobs)[-1]["id"] == "ended"


def test_what_a_job_needs_comes_before_it_whatever_its_file_says(opened: Opened, tmp_path: Path) -> None:
    write(tmp_path, "uses", order=1, needs=["makes"])
    write(tmp_path, "other", order=2)
    write(tmp_path, "makes", order=3)
    jobs = opened(is_paused=True)
    assert titles(jobs) == ["other", "makes", "uses"]
    jobs.begin()
    assert jobs.wait_for(job_of(jobs, "uses"), 60).state == "finished"


def test_jobs_that_need_each_other_or_what_is_gone_are_not_begun(opened: Opened, tmp_path: Path) -> None:
    write(tmp_path, "a", order=1, needs=["b"])
    write(tmp_path, "b", order=2, needs=["a"])
    write(tmp_path, "c", order=3, needs=["nowhere"])
    jobs = opened()
    for name in "abc":
        assert jobs.wait_for(job_of(jobs, name), 60).state == "failed" and "not begun" in all_text(jobs, name)


def test_what_waits_is_begun_although_many_jobs_ended_since_the_one_it_needs(opened: Opened, tmp_path: Path) -> None:
    write(tmp_path, "makes", order=1)
    write(tmp_path, "uses", order=1000, needs=["makes"])
    for number in range(KEPT_JOBS + 5):
        write(tmp_path, f"n{number}", order=2 + number)
    jobs = opened()
    assert jobs.wait_for(job_of(jobs, "uses"), 120).state == "finished", all_text(jobs, "uses")


def test_the_oldest_jobs_are_forgotten_and_the_newest_is_shown_in_the_order_of_the_line(
    opened: Opened, tmp_path: Path
) -> None:
    for number in range(KEPT_JOBS):
        write(tmp_path, f"n{number:02d}", order=100 - number, state="finished")
    jobs = opened(is_paused=True)
    assert jobs.shown_job().id == "n00"  # type: ignore[union-attr]
    assert [row["id"] for row in queue_rows(jobs)] == [f"n{number:02d}" for number in range(SHOWN_ENDED)]
    jobs.begin()
    (made,) = order(jobs, "new", quick=True)
    assert jobs.wait_for(job_of(jobs, made), 60).state == "finished"
    assert jobs.get("n49") is None and jobs.get("n48") is not None


def test_what_ended_last_is_shown_first_whenever_it_was_ordered(opened: Opened) -> None:
    jobs = opened()
    (long_one,) = order(jobs, "long")
    wait_until_runs(jobs, long_one)
    others = order(jobs, *"abcdef")
    for name in others:
        jobs.cancel(name)
    jobs.cancel(long_one)
    jobs.wait_for(job_of(jobs, long_one), 60)
    newest_first = [long_one, *reversed(others)][:SHOWN_ENDED]
    assert [row["id"] for row in queue_rows(jobs)] == newest_first
    jobs = opened()
    shown = jobs.shown_job()
    assert [row["id"] for row in queue_rows(jobs)] == newest_first and shown is not None and shown.id == long_one


# ---- what can be resumed


def interrupt_a_training(jobs: JobQueue, name: str) -> str:
    job = jobs.wait_for(jobs.order("train", WaitSettings(name)), 60)
    assert job.state == "interrupted", job.text
    return job.id


def resumable(jobs: JobQueue) -> list[str]:
    return [row["id"] for row in queue_rows(jobs) if row["resume"] is not None]


def test_what_can_be_resumed_stays_in_the_list(opened: Opened) -> None:
    """Five later jobs once pushed it out, and nothing on the page led to it any more."""
    jobs = opened()
    training = interrupt_a_training(jobs, "anna")
    for number in range(KEPT_JOBS + SHOWN_ENDED):
        (made,) = order(jobs, str(number), quick=True)
        jobs.wait_for(job_of(jobs, made), 60)
        assert resumable(jobs) == [training]
    assert len(queue_rows(jobs)) == SHOWN_ENDED + 1
    assert resumable(opened()) == [training]


def test_of_the_jobs_of_one_run_only_the_last_can_be_resumed(opened: Opened) -> None:
    jobs = opened()
    first = interrupt_a_training(jobs, "anna")
    second = interrupt_a_training(jobs, "anna")
    other = interrupt_a_training(jobs, "berta")
    assert resumable(jobs) == [other, second]
    went_on = jobs.wait_for(jobs.resume(second), 60)
    assert went_on.state == "finished" and resumable(jobs) == [other]
    with pytest.raises(UserError, match="nothing to resume"):
        jobs.resume(first)
    assert resumable(opened()) == [other]


def test_a_run_whose_folder_is_gone_offers_no_resume(opened: Opened, tmp_path: Path) -> None:
    jobs = opened()
    training = interrupt_a_training(jobs, "anna")
    (tmp_path / "runs" / "anna" / "state.safetensors").unlink()
    with pytest.raises(UserError, match="nothing to resume"):
        jobs.resume(training)
    assert resumable(jobs) == []


def test_even_what_can_be_resumed_has_a_limit_and_what_falls_out_is_told(opened: Opened, tmp_path: Path) -> None:
    for number in range(KEPT_RESUMABLE):
        run = RunFolder(tmp_path / "runs" / str(number), "x")
        save_state(run)
        write(tmp_path, f"t{number:03d}", kind="train", order=number, state="interrupted", folder=str(run.root))
    jobs = opened()
    assert len(resumable(jobs)) == KEPT_RESUMABLE
    newest = interrupt_a_training(jobs, "anna")
    assert jobs.get("t000") is None and jobs.get("t001") is not None and len(resumable(jobs)) == KEPT_RESUMABLE
    assert "resume" in all_text(jobs, newest) and "runs/0" in all_text(jobs, newest)


def test_a_viewer_knows_a_version_again_whole_and_no_other_servers(opened: Opened, tmp_path: Path) -> None:
    jobs = opened(is_paused=True)
    order(jobs, "a")
    seen = snapshot(jobs)["version"]
    shown = view(AppContext(Workspace(tmp_path), jobs), {"version": str(seen)}, AT_THIS_COMPUTER)
    assert "line" not in shown and shown["version"] == seen
    jobs = opened(is_paused=True)
    assert "line" in snapshot(jobs, Cursor(version=seen)) and snapshot(jobs)["version"] != seen


def test_what_is_asked_for_by_no_text_is_not_there(opened: Opened) -> None:
    jobs = opened(is_paused=True)
    for wrong in (None, 5, [], {}):
        assert jobs.get(wrong) is None  # type: ignore[arg-type]
        with pytest.raises(UserError, match="There is no job"):
            jobs.cancel(wrong)  # type: ignore[arg-type]


def test_a_line_that_is_closed_leaves_no_thread(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path), TRAINING)
    (made,) = order(jobs, "a")
    wait_until_runs(jobs, made)
    jobs.cancel(made)
    jobs.close()
    end = time.monotonic() + 60
    while jobs.worker.is_alive():
        assert time.monotonic() < end
        time.sleep(0.005)
