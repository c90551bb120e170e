"""Jobs in a process of their own: the line cannot tell the difference, unless the process dies."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of, settings_for  # noqa: F401
from ti_core.child_process import start_child
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Event, Notice, StepDone
from ti_core.job import Job
from ti_core.job_process import DIED, JobProcess, _read
from ti_core.jobs import JobQueue
from ti_core.models.device import told_device
from ti_core.settings import CreateSettings
from ti_core.workspace import Workspace

LONG = {"steps": 100_000, "image_every": 0, "save_every": 5}


@pytest.fixture(scope="module")
def process() -> Iterator[JobProcess]:
    process = JobProcess()
    yield process
    child = process.start()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(120) == 0, "it ends when the server is gone"


@pytest.fixture
def jobs(process: JobProcess, workspace: Workspace) -> Iterator[JobQueue]:
    jobs = JobQueue(workspace, process.kinds())
    yield jobs
    for job in [*jobs.running(), *jobs.line()]:
        jobs.cancel(job.id)
    last = jobs.submit("x", "last", lambda emit, stop: None)  # once it has run, the worker asks nothing more of the process
    assert jobs.wait_for(last, 300).state == "finished"
    jobs.close()


def wait_until(happened: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.1)
    pytest.fail(f"never: {what}")


def trained(jobs: JobQueue, **changes: object) -> Job:
    return jobs.order("train", settings_for(**changes).to_dict())


def test_a_job_over_there_tells_and_leaves_what_it_does_here(jobs: JobQueue, process: JobProcess, workspace: Workspace, dataset: Path) -> None:
    create = jobs.order("create", CreateSettings(name="anna", checkpoint=TINY, vectors=2).to_dict())
    jobs.wait_for(create, 300)
    job = jobs.wait_for(trained(jobs, steps=4), 300)
    assert create.state == job.state == "finished", job.text
    assert job.text.startswith("Training finished at 4 steps") and len(job.curve) == 4
    assert [step for step, *_ in job.previews] == [2, 4] and all(Path(file).is_file() for file in job.files)
    assert load_embedding(workspace.embeddings / "anna.pt").step == 4
    device = told_device()
    assert device is not None and device.kind == "cpu" and device.free_bytes > 0


def test_stop_saves_and_what_was_stopped_stops_nothing_else(jobs: JobQueue, workspace: Workspace, anna: Path) -> None:  # noqa: F811
    first = trained(jobs, **LONG)
    wait_until(lambda: len(first.curve) > 3, "the training began")
    jobs.interrupt()
    second = trained(jobs, steps=load_embedding(anna).step + 10_000, image_every=0)
    assert jobs.wait_for(first, 300).state == "interrupted" and "interrupted at" in first.text
    assert load_embedding(anna).step == first.done
    wait_until(lambda: len(second.curve) > 3 or second.state == "failed", "the next one trains")
    jobs.interrupt()
    assert jobs.wait_for(second, 300).state == "interrupted"


def test_a_mistake_is_told_in_its_own_words(jobs: JobQueue, dataset: Path, anna: Path) -> None:  # noqa: F811
    for picture in dataset.glob("*.png"):
        picture.write_bytes(b"no picture")
    job = jobs.wait_for(trained(jobs), 300)
    assert job.state == "failed" and "None of its pictures can be used" in job.text and "unexpected" not in job.text


def test_a_process_that_is_killed_fails_its_job_alone_and_the_run_can_go_on(jobs: JobQueue, process: JobProcess, workspace: Workspace, anna: Path) -> None:  # noqa: F811
    job = trained(jobs, **LONG)
    wait_until(lambda: len(job.curve) > 12, "a state was saved")
    os.kill(process.start().pid, signal.SIGKILL)
    assert jobs.wait_for(job, 300).state == "failed"
    assert "probably because memory ran out" in job.text and job.resume_step is not None and job.resume_step > 0
    again = jobs.resume(job.id)
    wait_until(lambda: len(again.curve) > 1, "a new process goes on")
    assert again.curve[0][0] == job.resume_step + 1
    jobs.interrupt()
    assert jobs.wait_for(again, 300).state == "interrupted"


def test_a_photo_whose_name_is_no_utf8_is_a_photo(jobs: JobQueue, workspace: Workspace) -> None:
    photos = workspace.root / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(photos / os.fsdecode(b"M\xfcller.png"))
    job = jobs.order("preprocess", {"source_directory": "photos", "destination_directory": "datasets/anna", "width": 64, "height": 64})
    assert jobs.wait_for(job, 300).state == "finished", job.text


def test_a_watcher_that_fails_leaves_nothing_for_the_next_job(process: JobProcess, workspace: Workspace, anna: Path) -> None:  # noqa: F811
    def fail(event: Event) -> None:
        if isinstance(event, StepDone):
            raise OSError("no more room")

    with pytest.raises(OSError, match="no more room"):
        process.run("train", settings_for(steps=50, image_every=0), workspace, fail, threading.Event())
    events: list[Event] = []
    process.run("train", settings_for(steps=2, image_every=0), workspace, events.append, threading.Event())
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2]


def test_a_foreign_line_is_ignored_an_event_that_cannot_be_read_is_shown_and_both_hide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["5", "[]", "{no json", '{"event": "Unheard"}', '{"device": {"color": "red"}}', Notice("on").to_json(), '{"ended": ""}']
    printed = b"M\xfcller\n" + "".join(f"{line}\n" for line in lines).encode()
    told: queue.Queue[Event | str] = queue.Queue()
    _read(start_child("timeit", "-n1", "-r1", f"import os; os.write(1, {printed!r})"), told)  # a module that runs a line of code
    assert [told.get_nowait() for _ in range(told.qsize())] == [Notice("on"), "", DIED]
    shown = capsys.readouterr().err
    assert 'Not an event: {"event": "Unheard"}' in shown and "'color'" in shown and "no json" not in shown


def test_the_process_ends_with_its_server(tmp_path: Path) -> None:
    import subprocess
    import sys

    from ti_core.workspace import REPOSITORY

    code = "import time; from ti_core.job_process import JobProcess; print(JobProcess().start().pid, flush=True); time.sleep(1000)"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    assert child.wait(60) in (0, None)
