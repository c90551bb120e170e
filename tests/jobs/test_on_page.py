"""What the page shows: a training and its pictures, whatever small jobs do; its whole history; any run on disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs.disk import make_run
from ti_core.errors import Interrupted, UserError
from ti_core.events import EmbeddingSaved, Emit, Event, Finished, PreviewSaved, Progress, Started, StepDone
from ti_core.jobs.job import Job
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.opened import KEPT, OpenedRuns
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import Cursor, queue_rows, snapshot
from ti_core.runs.library import RunLibrary
from ti_core.settings import CompareSettings, CreateSettings, ResumeSettings, TrainSettings
from ti_core.workspace import Workspace

RUN = "textual_inversion/2026-01-31/anna"
Work = Callable[[Emit, threading.Event], None]


@pytest.fixture
def jobs(tmp_path: Path) -> JobQueue:
    return JobQueue(Workspace(tmp_path))


def says(*events: Event) -> Work:
    def work(emit: Emit, stop: threading.Event) -> None:
        for event in events:
            emit(event)

    return work


def trains(folder: Path, first_step: int, last_step: int) -> Work:
    """A training that does these steps, as its process tells of them."""
    news: list[Event] = [
        StepDone(step, 1 / step, 0.005, "a photo", 0.1) for step in range(first_step + 1, last_step + 1)
    ]
    picture = PreviewSaved(last_step, str(folder / "images" / f"anna-{last_step}.png"), "a photo")
    return says(Started("Training anna", last_step, first_step, folder=str(folder)), *news, picture, Finished("Done."))


def ended(jobs: JobQueue, kind: str, work: Work) -> Job:
    return jobs.wait_for(jobs.submit(kind, f"{kind} anna", work), 60)


def waits(emit: Emit, stop: threading.Event) -> None:
    stop.wait(600)
    raise Interrupted


# ---- small jobs


@pytest.mark.parametrize("kind", ["create", "preprocess", "embeddings", "download"])
def test_small_jobs_never_take_a_trainings_pictures_away(jobs: JobQueue, tmp_path: Path, kind: str) -> None:
    training = ended(jobs, "train", trains(tmp_path / "run", 0, 3))
    for is_over in (False, True):
        small = jobs.submit(kind, f"{kind} berta", waits)
        if is_over:
            jobs.cancel(small.id)
            jobs.wait_for(small, 60)
        shown = snapshot(jobs)
        assert (shown["job"], len(shown["previews"]), len(shown["curve"])) == (training.id, 1, 3)
        jobs.cancel(small.id)
        jobs.wait_for(small, 60)
    (answer, *_) = reversed(shown["tab_answers"])
    assert answer["title"] == f"{kind} berta" and answer["state"] in ("interrupted", "cancelled")
    assert shown["ended"] == small.id  # so that every page reads its lists again
    jobs.close()


def test_other_jobs_with_pictures_are_shown_and_the_training_can_be_opened(jobs: JobQueue, tmp_path: Path) -> None:
    training = ended(jobs, "train", trains(tmp_path / "run", 0, 3))
    painted = ended(jobs, "txt2img", says(Started("a house", 1), PreviewSaved(1, "1.png", "a house")))
    assert snapshot(jobs)["job"] == painted.id
    rows = {row["id"]: row["shows"] for row in queue_rows(jobs)}
    assert rows == {training.id: True, painted.id: True}
    for show in (training.id, training.run_folder):
        assert [row[0] for row in snapshot(jobs, Cursor(show=show))["previews"]] == [3]
    jobs.close()


def test_a_small_job_is_shown_where_there_is_nothing_else(jobs: JobQueue) -> None:
    made = ended(jobs, "create", says(Progress("Reading", 1, 2), Finished("Created.")))
    assert (snapshot(jobs)["job"], snapshot(jobs)["text"]) == (made.id, "Created.")
    jobs.close()


def test_the_tab_of_a_small_job_is_told_how_far_it_is(jobs: JobQueue) -> None:
    is_told, go_on = threading.Event(), threading.Event()

    def crops(emit: Emit, stop: threading.Event) -> None:
        emit(Progress("Cropping", 3, 8))
        is_told.set()
        go_on.wait(60)
        emit(Finished("8 pictures are in datasets/anna.", files=("datasets/anna/1.png",)))

    job = jobs.submit("preprocess", "Preprocess anna", crops)
    assert is_told.wait(60)
    (answer,) = snapshot(jobs)["tab_answers"]
    assert (answer["tab"], answer["done"], answer["total"], answer["text"]) == ("preprocess", 3, 8, "Cropping")
    go_on.set()
    jobs.wait_for(job, 60)
    (answer,) = snapshot(jobs)["tab_answers"]
    assert (answer["state"], answer["files"]) == ("finished", [])  # its tab shows the pictures themselves
    job.news_at -= 61
    assert snapshot(jobs)["tab_answers"] == []
    jobs.close()


# ---- one history


def test_a_resumed_run_has_one_curve_and_all_its_pictures(jobs: JobQueue, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20), total=30)
    ended(jobs, "train", trains(run.root, 20, 25))
    shown = snapshot(jobs)
    assert [row[0] for row in shown["curve"]] == list(range(1, 26))
    assert [row[0] for row in shown["previews"]] == [10, 20, 25]
    assert [row[0] for row in shown["evaluations"]] == [10, 20] and shown["best"] == 10
    assert (shown["run"], shown["curve_next"]) == (RUN, 25)
    assert snapshot(jobs, Cursor(shown["job"], 25, 3, 0, 2))["curve"] == []
    jobs.close()


def test_a_fresh_run_begins_with_nothing(jobs: JobQueue, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20))
    ended(jobs, "train", trains(run.root, 0, 5))
    assert [row[0] for row in snapshot(jobs)["curve"]] == [1, 2, 3, 4, 5]
    jobs.close()


def test_the_pace_counts_the_steps_of_the_job_alone(jobs: JobQueue, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20), total=30)
    job = ended(jobs, "train", trains(run.root, 20, 25))
    job.steps_began -= 10
    assert 0.3 < job.pace() < 0.55  # 5 steps in a little more than 10 s
    jobs.close()


def test_after_a_start_of_the_server_the_last_run_is_shown_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20), total=30)
    kept = {
        "id": "train-1",
        "kind": "train",
        "title": "Training anna",
        "owner": "local",
        "settings": TrainSettings(embedding="anna", dataset_directory="x").to_dict(),
        "result": "",
        "order": 1,
        "state": "interrupted",
        "text": "Interrupted.",
        "folder": str(run.root),
        "done": 20,
        "total": 30,
        "needs": [],
    }
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train-1.json").write_text(json.dumps(kept))
    jobs = JobQueue(Workspace(tmp_path))
    shown = snapshot(jobs)
    assert (shown["job"], len(shown["curve"]), [row[0] for row in shown["previews"]]) == ("train-1", 20, [10, 20])
    assert (shown["best"], shown["ended"]) == (10, "train-1")
    jobs.close()


# ---- any run on disk


def test_a_run_on_disk_is_shown_as_a_job_that_has_ended(jobs: JobQueue, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20), total=30)
    library = RunLibrary(Workspace(tmp_path))
    library.refresh()
    opened = OpenedRuns(library)
    assert opened.is_old(RUN) and opened.get(RUN) is None and not opened.is_old("nothing")
    assert snapshot(jobs, Cursor(show=RUN), opened.get)["job"] == ""
    job = opened.read(RUN)
    shown = snapshot(jobs, Cursor(show=RUN), opened.get)
    assert (shown["job"], shown["state"], shown["run"], shown["done"], shown["total"]) == (
        job.id,
        "interrupted",
        RUN,
        20,
        30,
    )
    assert len(shown["curve"]) == 20 and shown["files"] == [str(run.copy(20))] and shown["trains"]
    assert opened.by_id(job.id) is job and opened.by_id("run:1:../x") is None and not opened.is_old(RUN)

    run.add_event(StepDone(21, 0.1, 0.005, "", 0.1))  # another program goes on with it
    run.copy(21).write_bytes(b"x")
    library.refresh()
    assert opened.is_old(RUN)
    goes_on = opened.read(RUN)
    assert goes_on.id == job.id and goes_on.curve[-1][0] == 21
    run.cut_back_to(5)
    run.copy(22).write_bytes(b"x")
    library.refresh()
    assert opened.read(RUN).id != job.id, "what was seen is not true any more, so pages begin anew"
    jobs.close()


def test_few_opened_runs_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        make_run(tmp_path, name=f"anna{number}", steps=(1,), total=1)
    library = RunLibrary(Workspace(tmp_path))
    library.refresh()
    opened = OpenedRuns(library)
    first, *_, last = [opened.read(run.run).id for run in library.newest()]
    assert len(opened._opened) == KEPT
    again = opened.by_id(first)
    assert again is not None and again.run_folder in first  # read again where it is not kept any more
    assert opened.by_id(last) is not None


def test_a_run_that_a_job_works_on_is_shown_as_that_job(jobs: JobQueue, tmp_path: Path) -> None:
    make_run(tmp_path, steps=(10, 20), total=30)
    job = ended(jobs, "train", trains(tmp_path / RUN, 20, 25))
    assert snapshot(jobs, Cursor(show=RUN), lambda run: None)["job"] == job.id
    jobs.close()


# ---- in use


def test_a_run_in_use_is_not_moved_and_the_user_is_told(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path), is_paused=True)
    run = make_run(tmp_path)
    moved: list[str] = []

    def move() -> Path:
        moved.append("moved")
        return run.root

    waiting = (("resume", ResumeSettings(RUN)), ("compare", CompareSettings(run=f"./{RUN}")))
    for kind, settings in waiting:
        job = jobs.submit(kind, f"{kind} anna", waits, settings=settings)
        with pytest.raises(UserError, match=rf"'{kind} anna' waits and needs this run"):
            jobs.move_run(RUN, move, is_gone=True)
        jobs.cancel(job.id)
    assert not moved
    jobs.begin()
    running = jobs.submit("train", "Train anna", says())
    jobs.wait_for(running, 60)

    is_begun = threading.Event()

    def at_work(emit: Emit, stop: threading.Event) -> None:
        emit(Started("Training anna", 5, folder=str(run.root)))
        is_begun.set()
        stop.wait(600)

    running = jobs.submit("train", "Train anna", at_work)
    assert is_begun.wait(60)
    with pytest.raises(UserError, match="'Training anna' is running and needs this run"):
        jobs.move_run(RUN, move, is_gone=False)
    jobs.cancel(running.id)
    jobs.wait_for(running, 60)
    jobs.move_run(RUN, move, is_gone=True)
    assert moved == ["moved"] and RUN not in {row["run"] for row in queue_rows(jobs)}
    jobs.close()


def test_the_jobs_of_a_renamed_run_know_its_new_place(jobs: JobQueue, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(10, 20), total=30)
    train = ended(jobs, "train", trains(run.root, 20, 25))
    resume = jobs.submit("resume", "Resume anna", trains(run.root, 25, 26), settings=ResumeSettings(RUN))
    jobs.wait_for(resume, 60)
    new = run.root.with_name("best")
    jobs.move_run(RUN, lambda: run.root.rename(new), is_gone=False)
    assert {train.run_folder, resume.run_folder} == {"textual_inversion/2026-01-31/best"}
    assert resume.settings == ResumeSettings("textual_inversion/2026-01-31/best")
    assert all(Path(row[1]).is_relative_to(new) for job in (train, resume) for row in job.previews)
    assert (tmp_path / "jobs" / f"{resume.id}.json").read_text().count("best") == 2
    jobs.close()


# ---- the list of jobs


def test_a_job_that_has_ended_can_be_put_away(jobs: JobQueue, tmp_path: Path) -> None:
    job = ended(jobs, "create", says(Finished("Created.")))
    kept = jobs.submit("create", "Create b", says(), settings=CreateSettings(name="b"))
    jobs.wait_for(kept, 60)
    assert (tmp_path / "jobs" / f"{kept.id}.json").exists()
    for each in (job, kept):
        assert "Put away" in jobs.put_away(each.id)
    assert not queue_rows(jobs) and not (tmp_path / "jobs" / f"{kept.id}.json").exists()
    assert snapshot(jobs)["job"] == ""
    running = jobs.submit("train", "Train anna", waits)
    with pytest.raises(UserError, match="has not ended"):
        jobs.put_away(running.id)
    jobs.cancel(running.id)
    jobs.wait_for(running, 60)
    jobs.close()


@pytest.mark.parametrize(
    ("kind", "state", "can_be"),
    [
        ("create", "finished", False),  # there is an embedding of that name now
        ("create", "failed", True),
        ("train", "finished", False),  # the embedding has its steps already
        ("train", "failed", True),
        ("preprocess", "finished", True),
        ("txt2img", "finished", True),
        ("compare", "finished", True),
        ("resume", "failed", False),
    ],
)
def test_run_again_is_offered_only_where_it_can_work(jobs: JobQueue, kind: str, state: str, can_be: bool) -> None:
    def work(emit: Emit, stop: threading.Event) -> None:
        emit(EmbeddingSaved(1, "anna.pt"))
        if state == "failed":
            raise UserError("The disk is full.")

    job = jobs.submit(kind, kind, work, settings=KINDS[kind].settings())
    jobs.wait_for(job, 60)
    assert [(row["state"], row["again"]) for row in queue_rows(jobs)] == [(state, can_be)]
    jobs.close()
