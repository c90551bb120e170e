import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import TINY
from ti_core.errors import Interrupted, UserError
from ti_core.events import Alive, EmbeddingSaved, Emit, Finished, PreviewSaved, Started, StepDone
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import CHART_POINTS, Cursor, queue_rows, snapshot
from ti_core.program.control import PICTURE, SAVE, wishes_of
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


def steps(count: int) -> object:
    def work(emit: Emit, stop: threading.Event) -> None:
        emit(Started("Training anna", count, plan="a plan"))
        for step in range(1, count + 1):
            emit(StepDone(step, 1 / step, 0.1, "a photo of anna", 0.0))
            if step % 10 == 0:
                emit(PreviewSaved(step, f"anna-{step}.png", "a photo of anna"))
        emit(EmbeddingSaved(count, "anna.pt"))
        emit(Finished("Training finished.", files=("anna.pt",)))

    return work


def test_a_viewer_who_comes_late_sees_everything_and_then_only_what_is_new(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path))
    job = jobs.wait_for(jobs.submit("train", "anna", steps(30)))
    first = snapshot(jobs)
    assert (first["state"], first["done"], first["total"], first["plan"]) == ("finished", 30, 30, "a plan")
    assert [row[0] for row in first["curve"]] == list(range(1, 31))
    assert [row[0] for row in first["previews"]] == [10, 20, 30]
    again = snapshot(jobs, Cursor(job.id, first["curve_next"], len(first["previews"])))
    assert (again["curve"], again["previews"]) == ([], [])
    assert snapshot(jobs, Cursor("another job", 30, 3))["previews"] == first["previews"]


def test_a_long_curve_is_thinned_for_the_first_look_and_keeps_its_last_point(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path))
    jobs.wait_for(jobs.submit("train", "anna", steps(20_000)))
    view = snapshot(jobs)
    assert len(view["curve"]) <= 2 * CHART_POINTS
    assert view["curve"][-1][0] == view["curve_next"] == 20_000


def test_a_running_training_is_asked_for_a_picture_and_a_copy_and_nothing_else_is(tmp_path: Path) -> None:
    jobs, begun, heard = JobQueue(Workspace(tmp_path)), threading.Event(), list[str]()

    def hears(emit: Emit, stop: threading.Event) -> None:
        begun.set()
        while len(heard) < 2:
            heard.extend(wishes_of(stop))
            time.sleep(0.005)

    job, later = jobs.submit("train", "Train anna", hears), jobs.submit("train", "Train berta", steps(1))
    assert begun.wait(120)
    with pytest.raises(UserError, match="'Train berta' is not training"):
        jobs.ask(later.id, PICTURE)
    with pytest.raises(UserError, match="no wish 'more'"):
        jobs.ask(job.id, "more")
    assert jobs.ask(job.id, PICTURE) == "A picture comes as soon as this step is done."
    assert jobs.ask(job.id, SAVE) == "A copy is saved as soon as this step is done."
    assert jobs.wait_for(job).state == "finished" and heard == [PICTURE, SAVE]
    with pytest.raises(UserError, match="'Train anna' is not training"):
        jobs.ask(job.id, SAVE)
    begun.clear()
    small = jobs.submit("create", "Create carla", lambda emit, stop: (begun.set(), stop.wait(120)))
    assert begun.wait(120)
    with pytest.raises(UserError, match="'Create carla' is not training"):
        jobs.ask(small.id, PICTURE)
    jobs.cancel(small.id)


def test_a_failure_never_reads_as_finished_and_the_worker_lives_on(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path))

    def wrong(emit: Emit, stop: threading.Event) -> None:
        raise UserError("Dataset directory 'x' does not exist.", "Choose another.")

    def broken(emit: Emit, stop: threading.Event) -> None:
        raise ZeroDivisionError("boom")

    assert jobs.wait_for(jobs.submit("train", "a", wrong)).state == "failed"
    assert "does not exist. Choose another." in snapshot(jobs)["text"]
    assert jobs.wait_for(jobs.submit("train", "b", broken)).state == "failed"
    assert "ZeroDivisionError: boom" in snapshot(jobs)["text"]
    assert jobs.wait_for(jobs.submit("train", "c", steps(1))).state == "finished"


def test_interrupt_stops_the_running_job_and_the_next_one_starts(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path))
    running = threading.Event()

    def endless(emit: Emit, stop: threading.Event) -> None:
        running.set()
        while not stop.is_set():
            time.sleep(0.005)
        raise Interrupted

    first, second = jobs.submit("train", "first", endless), jobs.submit("train", "second", steps(1))
    assert running.wait(120)
    assert [job.title for job in jobs.waiting()] == ["second"]
    assert "first" in jobs.interrupt()
    assert (jobs.wait_for(first).state, jobs.wait_for(second).state) == ("interrupted", "finished")
    assert jobs.interrupt() == "Nothing is running."


@pytest.mark.parametrize("kind", ["create", "train", "txt2img"])
def test_what_is_no_checkpoint_is_refused_before_a_job_is_made(workspace: Workspace, dataset: Path, kind: str) -> None:
    """The list shows what is in the folder, such as a web page that was saved instead of a model."""
    (workspace.root / "models" / "Stable-diffusion" / "half.safetensors").write_bytes(b"<!DOCTYPE html><html>" * 20)
    values = {
        "create": {"name": "anna"},
        "train": {"embedding": "anna", "dataset_directory": "datasets/anna"},
        "txt2img": {"prompt": "a house"},
    }
    jobs = JobQueue(workspace, is_paused=True)
    with pytest.raises(UserError, match=r"half\.safetensors.*web page"):
        jobs.order(kind, KINDS[kind].settings.from_dict({**values[kind], "checkpoint": "half"}))
    assert not queue_rows(jobs)
    jobs.close()


def test_interrupt_of_one_kind_leaves_another_kinds_work_alone(tmp_path: Path) -> None:
    """Its button on the txt2img tab must not end a training."""
    jobs = JobQueue(Workspace(tmp_path))
    assert jobs.interrupt(("txt2img",)) == "Nothing is running."
    training = jobs.submit("train", "Train anna", lambda emit, stop: stop.wait(600))
    while training.state != "running":
        time.sleep(0.01)
    assert "is running, and goes on" in jobs.interrupt(("txt2img",))
    painting = jobs.submit("txt2img", "a house", lambda emit, stop: None)
    assert jobs.interrupt(("txt2img",)) == "Cancelled: a house." and painting.state == "cancelled"
    assert not training.stop.is_set()
    assert jobs.interrupt(("train", "resume")) == "Stopping: Train anna." and training.stop.is_set()
    jobs.wait_for(training, 60)
    jobs.close()


def test_the_same_training_is_not_put_into_the_line_twice(workspace: Workspace, dataset: Path) -> None:
    create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    jobs = JobQueue(workspace, is_paused=True)
    settings = TrainSettings(embedding="anna", dataset_directory="datasets/anna", checkpoint=TINY, steps=5)
    jobs.order("train", settings)
    with pytest.raises(UserError, match="in the line of jobs already"):
        jobs.order("train", settings)
    jobs.order("train", replace(settings, steps=6))
    assert len(jobs.waiting()) == 2
    jobs.close()


def test_work_without_news_is_told_and_whether_it_is_heard(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path))
    job = jobs.submit("train", "Train anna", lambda emit, stop: stop.wait(600))
    while job.state != "running":
        time.sleep(0.01)
    now = time.monotonic()

    def shown(news_s: float, alive_s: float | None) -> tuple[object, object]:
        job.news_at, job.alive_at = now - news_s, 0.0 if alive_s is None else now - alive_s
        seen = snapshot(jobs)
        return seen["quiet_s"], seen["answers"]

    assert shown(10, 1) == (0, True)
    assert shown(45, 1) == (40, True)  # a long computation
    assert shown(45, 45) == (40, False)  # stopped, or in a regular expression without end
    assert shown(45, None) == (40, True)  # work inside the server says no such thing
    version = snapshot(jobs)["version"]
    job.saved_at = -1e9
    jobs.worker.emit(job, Alive())
    assert snapshot(jobs)["version"] == version, "nobody has to draw the line again for that"
    assert shown(45, 1) == (40, True)
    job.stop.set()
    assert (jobs.wait_for(job, 60).state, snapshot(jobs)["quiet_s"]) == ("finished", 0)
    jobs.close()


def test_every_kind_says_what_it_does_and_names_nothing_twice() -> None:
    assert all(kind.help and not kind.help.endswith(".") for kind in KINDS.values())
    for names in ([kind.verb for kind in KINDS.values()], [kind.api_name for kind in KINDS.values()]):
        assert len(set(names)) == len(names) and all(names)
    for kind in KINDS.values():
        assert set(kind.uses) <= set(kind.settings.options())
    assert [name for name, kind in KINDS.items() if kind.trains] == ["train", "resume"]
