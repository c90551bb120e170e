"""The queue of jobs: one worker thread for the one device, first come first served. A job belongs to the server, not to a page.

Everyone who looks gets the same snapshot, folded from the job's events; a cursor makes it hold only what is new to them.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from ti_core.errors import Interrupted, UserError
from ti_core.events import EmbeddingSaved, Emit, Evaluated, Event, Failed, Finished, Notice, PreviewSaved, Progress, Started, StepDone

State = Literal["waiting", "running", "finished", "interrupted", "failed"]
Work = Callable[[Emit, threading.Event], None]
CHART_POINTS = 600


@dataclass
class Job:
    """One job and all that its events have told so far."""

    id: str
    kind: str
    title: str
    work: Work = field(repr=False)
    state: State = "waiting"
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    text: str = ""
    plan: str = ""
    folder: str = ""
    done: int = 0
    total: int = 0
    first_step: int = 0
    prompt: str = ""
    curve: list[tuple[int, float, float]] = field(default_factory=list, repr=False)
    evaluations: list[tuple[int, float, float]] = field(default_factory=list, repr=False)
    best: int = 0
    usual_norms: tuple[float, float] = (0.0, 0.0)
    previews: list[tuple[int, str, str]] = field(default_factory=list, repr=False)
    notices: list[str] = field(default_factory=list, repr=False)
    files: list[str] = field(default_factory=list, repr=False)
    steps_began: float = 0.0

    def fold(self, event: Event) -> None:
        """Take up what an event says."""
        match event:
            case Started():
                self.title, self.total, self.first_step = event.title, event.total, event.first_step
                self.done, self.plan, self.folder = event.first_step, event.plan, event.folder
            case Progress():
                self.text = event.text
                if not self.curve:
                    if event.done == 0 or event.done < self.done or not self.steps_began:  # another piece of work begins
                        self.steps_began = time.monotonic()
                    self.done, self.total = event.done, event.total
            case StepDone():
                if not self.curve:
                    self.steps_began = time.monotonic() - event.elapsed_s
                self.done, self.prompt, self.text = event.step, event.prompt, ""
                self.curve.append((event.step, event.loss, event.rate))
            case Evaluated():
                self.evaluations.append((event.step, event.loss, event.norm))
                self.best, self.usual_norms = event.best, event.usual_norms
            case PreviewSaved():
                self.previews.append((event.step, event.path, event.prompt))
                self.files = [path for path in (event.path, event.card, *self.files) if path][:40]
            case EmbeddingSaved():
                self.files = [event.path, *self.files][:40]
            case Notice():
                self.notices.append(event.text)
            case Finished():
                self.text = event.text
                self.state = "interrupted" if event.interrupted else "finished"
                self.files = [*event.files, *(f for f in self.files if f not in event.files)]
            case Failed():
                self.text, self.state = event.text, "failed"

    def pace(self) -> float:
        """Steps (or pieces of work) per second since the first, 0 while unknown."""
        count = self.done - (self.first_step if self.curve else 0)
        elapsed = time.monotonic() - self.steps_began
        return count / elapsed if self.steps_began and count > 0 and elapsed > 0.05 else 0.0


class JobQueue:
    """Jobs in the order they came, and the thread that works on them."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._waiting: queue.Queue[Job] = queue.Queue()
        threading.Thread(target=self._work_for_ever, name="worker", daemon=True).start()

    def submit(self, kind: str, title: str, work: Work) -> Job:
        """Queue `work(emit, stop)`; ids stay unique when the server starts again, so that an open page never mixes two runs."""
        with self._lock:
            job = Job(f"{kind}-{time.strftime('%m%d-%H%M%S')}-{next(self._numbers)}", kind, title, work)
            self._jobs[job.id] = job
        self._waiting.put(job)
        return job

    def shown_job(self) -> Job | None:
        """The running job, else the newest."""
        with self._lock:
            jobs = list(self._jobs.values())
            return next((job for job in jobs if job.state == "running"), jobs[-1] if jobs else None)

    def find(self, job_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job_id)

    def interrupt(self) -> str:
        """Ask the running job to stop; it saves and ends by itself. Returns a sentence for the page."""
        job = self.shown_job()
        if job is None or job.state not in ("waiting", "running"):
            return "Nothing is running."
        job.stop.set()
        return f"Stopping: {job.title}."

    def wait_for(self, job: Job, timeout_s: float = 3600.0) -> Job:
        """Block until the job has ended (for the command line and tests)."""
        end = time.monotonic() + timeout_s
        while job.state in ("waiting", "running") and time.monotonic() < end:
            time.sleep(0.02)
        return job

    def snapshot(self, job_id: str = "", curve_from: int = 0, previews_from: int = 0, notices_from: int = 0, evaluations_from: int = 0) -> dict[str, Any]:
        """What a page shows: scalars of the shown job, and the rows after the viewer's cursor.

        A cursor of another job counts as none. A first look at a long curve is thinned to about CHART_POINTS rows, and
        `curve_next` is the cursor to send next time.
        """
        job = self.shown_job()
        if job is None:
            return {"job": "", "state": "idle", "waiting": []}
        if job.id != job_id:
            curve_from = previews_from = notices_from = evaluations_from = 0
        with self._lock:
            rows = job.curve[curve_from:]
            pace = job.pace() if job.state == "running" else 0.0
            thin = max(1, len(rows) // CHART_POINTS)
            return {
                "job": job.id, "kind": job.kind, "title": job.title, "state": job.state, "text": job.text, "plan": job.plan, "folder": job.folder,
                "done": job.done, "total": job.total, "pace": round(pace, 3), "eta_s": round((job.total - job.done) / pace) if pace else None,
                "prompt": job.prompt, "curve_from": curve_from, "curve": [*rows[:-1:thin], *rows[-1:]], "curve_next": len(job.curve),
                "evaluations_from": evaluations_from, "evaluations": job.evaluations[evaluations_from:], "best": job.best, "usual_norms": job.usual_norms,
                "previews_from": previews_from, "previews": job.previews[previews_from:],
                "notices_from": notices_from, "notices": job.notices[notices_from:],
                "files": job.files[:12], "waiting": [j.title for j in self._jobs.values() if j.state == "waiting"],
            }  # fmt: skip

    def _emit(self, job: Job, event: Event) -> None:
        with self._lock:
            job.fold(event)

    def _work_for_ever(self) -> None:
        while True:
            job = self._waiting.get()
            self._emit(job, Started(job.title, 0))
            job.state = "running"
            try:
                job.work(partial(self._emit, job), job.stop)
                if job.state == "running":
                    self._emit(job, Finished("Done."))
            except Interrupted:
                self._emit(job, Finished("Interrupted.", interrupted=True))
            except UserError as error:
                self._emit(job, Failed(str(error)))
            except Exception as error:  # noqa: BLE001 - the one broad net: whatever happens, the worker lives on and the page is told
                traceback.print_exc()
                self._emit(job, Failed(f"An unexpected error: {type(error).__name__}: {error}. The terminal shows where it happened."))
