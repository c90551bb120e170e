"""Jobs in a process of their own: the line cannot tell the difference, unless the process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from accelerate import PartialState
from PIL import Image

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of, settings_for
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import Interrupted
from ti_core.events import Alive, Event, Finished, Progress, StepDone
from ti_core.jobs import process as job_process
from ti_core.jobs.job import Job
from ti_core.jobs.process import NOT_ANSWERED, JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import snapshot
from ti_core.program import conversation
from ti_core.program.child import start_child
from ti_core.program.control import PICTURE, SAVE
from ti_core.settings import CreateSettings, PreprocessSettings
from ti_core.workspace import REPOSITORY, Workspace

LONG = {"steps": 100_000, "image_every": 0, "save_every": 5}


@pytest.fixture(scope="module")
def process() -> Iterator[JobProcess]:
    process = JobProcess()
    process.start()  # on this thread, because it ends with the one that started it
    yield process
    child = process.start()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(120) == 0, "it ends when the server is gone"


@pytest.fixture
def jobs(process: JobProcess, workspace: Workspace) -> Iterator[JobQueue]:
    jobs = JobQueue(workspace, process.kinds())
    yield jobs
    for job in [*jobs.running(), *jobs.waiting()]:
        jobs.cancel(job.id)
    last = jobs.submit(
        "x", "last", lambda emit, stop: None
    )  # once it has run, the worker asks nothing more of the process
    assert jobs.wait_for(last, 300).state == "finished"
    jobs.close()


def wait_until(happened: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.1)
    pytest.fail(f"never: {what}")


def trained(jobs: JobQueue, **changes: object) -> Job:
    return jobs.order("train", settings_for(**changes))


def test_a_job_over_there_tells_and_leaves_what_it_does_here(
    jobs: JobQueue, process: JobProcess, workspace: Workspace, dataset: Path
) -> None:
    create = jobs.order("create", CreateSettings(name="anna", checkpoint=TINY, vectors=2))
    jobs.wait_for(create, 300)
    job = jobs.wait_for(trained(jobs, steps=4), 300)
    assert create.state == job.state == "finished", job.text
    assert job.text.startswith("Training finished at 4 steps") and len(job.curve) == 4
    shown = [(step, number) for step, _, _, number in job.previews]
    assert shown == [(0, 1), (0, 2), (2, 1), (2, 2), (4, 1), (4, 2)] and all(Path(file).is_file() for file in job.files)
    assert load_embedding(workspace.embeddings / "anna.pt").step == 4
    device = process.device.latest()
    assert device is not None and device.kind == PartialState().device.type and device.free_bytes > 0


def test_stop_saves_and_what_was_stopped_stops_nothing_else(jobs: JobQueue, workspace: Workspace, anna: Path) -> None:
    first = trained(jobs, **LONG)
    wait_until(lambda: len(first.curve) > 3, "the training began")
    jobs.interrupt()
    second = trained(jobs, steps=load_embedding(anna).step + 10_000, image_every=0)
    assert jobs.wait_for(first, 300).state == "interrupted" and "interrupted at" in first.text
    assert load_embedding(anna).step == first.done
    wait_until(lambda: len(second.curve) > 3 or second.state == "failed", "the next one trains")
    jobs.interrupt()
    assert jobs.wait_for(second, 300).state == "interrupted"


def test_what_is_asked_of_a_training_reaches_it_and_it_goes_on(jobs: JobQueue, anna: Path) -> None:
    job = trained(jobs, steps=100_000, image_every=0, save_every=0)
    wait_until(lambda: len(job.curve) > 3, "the training began")
    asked_at = job.done
    jobs.ask(job.id, PICTURE)
    jobs.ask(job.id, SAVE)
    wait_until(lambda: job.previews and job.files, "picture and copy came")
    copy = next(Path(file) for file in job.files if file.endswith(".pt"))
    assert job.previews[0][0] > asked_at and load_embedding(copy).step > asked_at
    come = job.done
    wait_until(lambda: job.done > come + 3, "the training goes on")
    jobs.interrupt()
    assert jobs.wait_for(job, 300).state == "interrupted"


def test_a_mistake_is_told_in_its_own_words(jobs: JobQueue, dataset: Path, anna: Path) -> None:
    for picture in dataset.glob("*.png"):
        picture.write_bytes(b"no picture")
    job = jobs.wait_for(trained(jobs), 300)
    assert job.state == "failed" and "None of its pictures can be used" in job.text and "unexpected" not in job.text


def test_a_process_that_is_killed_fails_its_job_alone_and_the_run_can_go_on(
    jobs: JobQueue, process: JobProcess, workspace: Workspace, anna: Path
) -> None:
    job = trained(jobs, **LONG)
    wait_until(lambda: len(job.curve) > 12, "a state was saved")
    os.kill(process.start().pid, signal.SIGKILL)
    assert jobs.wait_for(job, 300).state == "failed"
    assert "probably because memory ran out" in job.text and job.resume_step is not None and job.resume_step > 0
    again = jobs.resume(job.id)
    wait_until(lambda: len(again.curve) > job.resume_step, "a new process goes on")
    assert again.first_step == job.resume_step
    first = [step for step, *_ in again.curve[: job.resume_step + 1]]
    assert first == list(range(1, job.resume_step + 2)), "the steps before are there too"
    jobs.interrupt()
    assert jobs.wait_for(again, 300).state == "interrupted"


def test_a_photo_whose_name_is_no_utf8_is_a_photo(jobs: JobQueue, workspace: Workspace) -> None:
    photos = workspace.root / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(photos / os.fsdecode(b"M\xfcller.png"))
    job = jobs.order(
        "preprocess",
        PreprocessSettings(source_directory="photos", destination_directory="datasets/anna", width=64, height=64),
    )
    assert jobs.wait_for(job, 300).state == "finished", job.text


def test_a_watcher_that_fails_leaves_nothing_for_the_next_job(
    process: JobProcess, workspace: Workspace, anna: Path
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, StepDone):
            raise OSError("no more room")

    with pytest.raises(OSError, match="no more room"):
        process.run("train", settings_for(steps=50, image_every=0), workspace, fail, threading.Event())
    events: list[Event] = []
    process.run("train", settings_for(steps=2, image_every=0), workspace, events.append, threading.Event())
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2]


# ---- a process that does not do what it should, without torch (difficult_child.py)


@pytest.fixture
def difficult(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], JobProcess]]:
    """A server's side whose process has the given fault. It is heard every 0.2 s, and given up after 3 s without
    that.
    """
    monkeypatch.setattr(conversation, "ALIVE_EVERY_S", 0.2)
    monkeypatch.setattr(conversation, "ANSWERS_WITHIN_S", 3.0)
    made: list[JobProcess] = []

    def make(fault: str) -> JobProcess:
        monkeypatch.setattr(job_process, "start_child", lambda module, **_: start_child("tests.difficult_child", fault))
        made.append(JobProcess())
        return made[0]

    yield make
    for process in made:
        process.close()


class Watcher:
    """The events of a job that runs on a thread of its own, and how it ended."""

    def __init__(self, process: JobProcess, name: str, workspace: Workspace) -> None:
        self.events: list[Event] = []
        self.stop = threading.Event()
        self.error: BaseException | None = None
        process.start()  # on the test's thread: the process ends with the thread that started it
        self._thread = threading.Thread(
            target=self._run, args=(process, CreateSettings(name=name), workspace), daemon=True
        )
        self._thread.start()

    def _run(self, process: JobProcess, settings: CreateSettings, workspace: Workspace) -> None:
        try:
            process.run("create", settings, workspace, self.events.append, self.stop)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def pid(self) -> int:
        wait_until(lambda: any(isinstance(event, Progress) for event in self.events), "the job began")
        return int(next(event.text for event in self.events if isinstance(event, Progress)).split()[1])

    def told(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, Alive)]

    def ended(self) -> Watcher:
        self._thread.join(60)
        assert not self._thread.is_alive(), "the job hangs"
        return self


def test_the_job_after_one_whose_process_died_gets_another_process(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    """It closes its output before it has ended: whoever writes to it then waits for ever."""
    process = difficult("dies")
    pids = [Watcher(process, "well", workspace).ended().pid() for _ in range(3)]
    assert len(set(pids)) == 3


def test_without_a_device_that_answers_the_work_that_needs_none_is_done(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    process = difficult("no device")
    jobs = [Watcher(process, "well", workspace).ended() for _ in range(2)]
    assert [job.error for job in jobs] == [None, None]
    assert jobs[0].pid() == jobs[1].pid() and process.device.latest() is None


def test_a_card_that_no_job_has_opened_is_not_asked_for_anything(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    """Asking would take some hundred MB of it, from whatever other program uses it."""
    process = difficult("closed card")
    assert Watcher(process, "well", workspace).ended().error is None
    assert process.device.latest() is None and not process.has_opened and process.is_started
    process.end()
    assert not process.is_started and Watcher(process, "well", workspace).ended().error is None


def test_a_device_that_stops_to_answer_gets_another_process(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    """What a fault leaves behind in a process is often gone in the next one."""
    process = difficult("device goes")
    jobs = [Watcher(process, "well", workspace).ended() for _ in range(2)]
    assert [job.error for job in jobs] == [None, None] and jobs[0].pid() != jobs[1].pid()


@pytest.mark.parametrize("name", ["stopped", "regex"])
def test_interrupt_ends_what_does_not_answer_and_the_next_job_is_done(
    difficult: Callable[[str], JobProcess], workspace: Workspace, name: str
) -> None:
    process = difficult("none")
    job = Watcher(process, name, workspace)
    pid = job.pid()
    heard = len(job.events)
    job.stop.set()
    assert job.ended().error is None and job.told()[-1] == Finished(NOT_ANSWERED, interrupted=True)
    assert len(job.events) - heard <= 3, "it was not heard meanwhile"
    assert not psutil.pid_exists(pid)
    assert Watcher(process, "well", workspace).ended().error is None


def test_the_line_goes_on_after_a_job_that_did_not_answer(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    process, jobs = difficult("none"), JobQueue(workspace)
    first, second = (
        jobs.submit("create", name, partial(process.run, "create", CreateSettings(name=name), workspace))
        for name in ("stopped", "well")
    )
    wait_until(lambda: first.text.startswith("pid") and first.alive_at, "the job began")
    first.news_at = first.alive_at = time.monotonic() - 45  # the stopped process changes neither
    assert (snapshot(jobs)["quiet_s"], snapshot(jobs)["answers"]) == (40, False)
    jobs.interrupt()
    assert jobs.wait_for(first, 60).state == "interrupted" and first.text == NOT_ANSWERED
    assert jobs.wait_for(second, 60).state == "finished"
    jobs.close()


def test_a_long_computation_is_heard_and_may_save_for_longer_than_a_dead_one(
    difficult: Callable[[str], JobProcess], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = difficult("none")
    job = Watcher(process, "long", workspace)
    wait_until(lambda: sum(isinstance(event, Alive) for event in job.events) > 3, "it is heard while it computes")
    monkeypatch.setattr(conversation, "ANSWERS_WITHIN_S", 0.7)  # it saves for 1 s, but is heard every 0.2 s
    job.stop.set()
    assert job.ended().told()[-1] == Finished("saved", interrupted=True)


def test_what_is_heard_but_never_stops_is_ended_after_the_longest_time(
    difficult: Callable[[str], JobProcess], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = difficult("none")
    job = Watcher(process, "deaf", workspace)
    job.pid()
    monkeypatch.setattr(conversation, "SAVES_WITHIN_S", 1.0)
    job.stop.set()
    assert job.ended().told()[-1] == Finished(NOT_ANSWERED, interrupted=True)


def test_the_signals_of_a_shutdown_leave_the_saving_to_the_server(
    difficult: Callable[[str], JobProcess], workspace: Workspace
) -> None:
    process = difficult("none")
    job = Watcher(process, "waits", workspace)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(job.pid(), number)
    heard = len(job.events)
    wait_until(lambda: len(job.events) > heard + 2 or job.error, "it is heard")
    job.stop.set()
    assert isinstance(job.ended().error, Interrupted)


SERVER = """
import sys, threading
from pathlib import Path
from ti_core.jobs import process as job_process
from ti_core.program import conversation
from ti_core.program.child import start_child
from ti_core.settings import CreateSettings, PreprocessSettings
from ti_core.workspace import Workspace
job_process.start_child = lambda module, **_: start_child("tests.difficult_child", "none")
tell = lambda event: print(getattr(event, "text", ""), flush=True)
settings, workspace = CreateSettings(name=sys.argv[1]), Workspace(Path(sys.argv[2]))
job_process.JobProcess().run("create", settings, workspace, tell, threading.Event())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the closed pipe tells it")
@pytest.mark.parametrize("name", ["stopped", "regex", "deaf"])
def test_no_process_outlives_its_server(name: str, workspace: Workspace) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, name, str(workspace.root)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert server.stdout is not None
    child = psutil.Process(next(int(line.split()[1]) for line in server.stdout if line.startswith("pid")))
    try:
        if name == "stopped":
            wait_until(lambda: child.status() == psutil.STATUS_STOPPED, "it is stopped")
        server.kill()
        server.wait()
        child.wait(30)
    finally:
        if child.is_running():
            child.kill()


def test_the_process_ends_with_its_server(tmp_path: Path) -> None:
    code = (
        "import time; from ti_core.jobs.process import JobProcess; print(JobProcess().start().pid, flush=True);"
        " time.sleep(1000)"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    assert child.wait(60) in (0, None)
