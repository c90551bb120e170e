"""All jobs that the server knows, in their order, and what is written down of them."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ti_core.errors import UserError
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.store import JobStore
from ti_core.jobs.turns import in_turn
from ti_core.runs.folder import saved_step
from ti_core.workspace import Workspace

KEPT_JOBS = 50
"""Ended jobs that are remembered, in memory and on disk."""
KEPT_RESUMABLE = 100
"""Trainings that can be resumed are remembered beyond that, because nothing else on the page leads to them."""
KEPT_CURVES = 3


class JobTable:
    """The jobs by their ids. `lock` guards all that is in here; who changes a job says `changed` while holding it, and
    `save` without it.

    `latest` is the job that began last, `latest_big` the one among those that show something, `last_ended` the id of
    the job that ended last, and `last_order` the highest rank that was given.
    """

    def __init__(self, workspace: Workspace, kinds: Mapping[str, JobKind]) -> None:
        self.workspace, self.kinds = workspace, kinds
        self.lock = threading.Condition(threading.RLock())
        self.latest: Job | None = None
        self.latest_big: Job | None = None
        self.last_ended = ""
        self.last_order = 0.0
        self.is_due = True
        """Whether something has changed since the worker looked what can begin."""
        self.watch: Callable[[Job], None] = lambda job: None
        """Called with each job that has changed, while the table is locked."""
        self.store = JobStore(workspace.root / "jobs")
        self._jobs: dict[str, Job] = {}
        self._unsaved: dict[str, dict[str, Any]] = {}
        self._writing = threading.Lock()
        self._changes, self._server = 0, secrets.token_hex(8)  # so that no page knows a version from an earlier server

    # ---- looking

    @property
    def version(self) -> str:
        """Another one after each change, and for each server."""
        return f"{self._server}.{self._changes}"

    def get(self, job_id: str) -> Job | None:
        """What is asked for comes from outside, so it may be anything."""
        return self._jobs.get(job_id) if isinstance(job_id, str) else None

    def find(self, job_id: str) -> Job:
        """As `get`. Raises UserError if there is no such job."""
        job = self.get(job_id)
        if job is None:
            raise UserError(
                f"There is no job '{str(job_id)[:60]}'.", "Reload the page: the line shows the jobs that there are."
            )
        return job

    def ordered(self) -> list[Job]:
        """All jobs by their rank."""
        with self.lock:
            return sorted(self._jobs.values(), key=lambda job: job.order)

    def waiting(self) -> list[Job]:
        """The jobs that wait, the next one first: people take turns."""
        return in_turn(self.ordered(), lambda job: not self.is_small(job))

    def running(self) -> list[Job]:
        """The jobs that are worked on, in the order of the line."""
        return [job for job in self.ordered() if job.state == "running"]

    def shown_job(self) -> Job | None:
        """The running job, else the next one, else the one that ended last."""
        with self.lock:
            first = [*self.running(), *self.waiting()]
            return first[0] if first else self.latest

    def is_small(self, job: Job) -> bool:
        """Whether its own tab answers, so that the page goes on showing what it shows."""
        kind = self.kinds.get(job.kind)
        return kind is None or kind.is_small

    def job_on_page(self, seen: str = "") -> Job | None:
        """As `shown_job`, but small jobs never take the place of a training or its pictures; and while the job `seen`
        before runs, no other one does.
        """
        with self.lock:
            big = [job for job in (*self.running(), *self.waiting()) if not self.is_small(job)]
            same = [job for job in big if job.id == seen and job.state == "running"]
            return (same or big)[0] if big else self.latest_big or self.shown_job()

    def job_of_run(self, run: str) -> Job | None:
        """The latest job that works on the run, or did and still holds its curve."""
        jobs = [job for job in reversed(self.ordered()) if run and job.run_folder == run]
        return next((job for job in jobs if job.state == "running" or (job.has_ended and job.curve)), None)

    def user_of_run(self, run: str) -> Job | None:
        """A job that runs or waits and needs the run's folder."""

        def uses(job: Job) -> bool:
            named = [str(getattr(job.settings, name, "")) for name in ("run", "run_folder")]
            return run in (job.run_folder, *(self._as_shown(typed) for typed in named if typed))

        return next((job for job in self.ordered() if not job.has_ended and uses(job)), None)

    def _as_shown(self, typed: str) -> str:
        try:
            return self.workspace.shown(self.workspace.root / typed)
        except (OSError, ValueError, RuntimeError):
            return ""

    def resume_steps(self) -> dict[str, int]:
        """Ids of the trainings that can go on, the latest first, and from which step. Of several jobs that worked on
        one run it is the last one.
        """
        steps: dict[str, int] = {}
        taken: set[str] = set()
        for job in reversed(self.ordered()):
            if not job.run_folder or job.state in ("cancelled", "foreign") or job.run_folder in taken:
                continue
            taken.add(job.run_folder)
            if job.state in ("interrupted", "failed") and job.resume_step is not None:
                steps[job.id] = job.resume_step
        return steps

    # ---- changing

    def add(self, job: Job) -> None:
        """Take it in; `changed` also has it written down."""
        self._jobs[job.id] = job

    def next_order(self) -> float:
        """A rank behind all others."""
        self.last_order = math.floor(self.last_order) + 1
        return self.last_order

    def changed(self, job: Job) -> None:
        """Tell the pages and the worker, and note the job for `save`."""
        self.touch()
        self.is_due = True
        self.lock.notify_all()
        self.note_run_folder(job)
        self.watch(job)
        if job.has_ended:
            self.last_ended = job.id
            self.note_where_it_can_go_on(job)
            self._forget_old(job)
        job.saved_at = time.monotonic()
        if job.settings is not None and job.id in self._jobs:
            self._unsaved[job.id] = job.record()

    def touch(self) -> None:
        """Tell the pages that something beside the jobs has changed, such as what a device holds."""
        self._changes += 1

    def began(self, job: Job) -> None:
        """It is the one that began last."""
        self.latest = job
        if not self.is_small(job) and job.state != "cancelled":
            self.latest_big = job

    def forget(self, jobs: Iterable[Job]) -> None:
        """Take jobs that have ended out of the list, and off the disk."""
        for job in list(jobs):
            self.touch()
            del self._jobs[job.id]
            self._unsaved.pop(job.id, None)
            self.store.forget(job.id)
            if job is self.latest:
                self.latest = None
            if job is self.latest_big:
                self.latest_big = None

    def note_run_folder(self, job: Job) -> None:
        """Where its run lies, by its kind."""
        kind = self.kinds.get(job.kind)
        job.run_folder = kind.run_folder(job.settings, job.folder, self.workspace) if kind else ""

    def note_where_it_can_go_on(self, job: Job) -> None:
        """The step of the state in its run's folder, where it did not end well."""
        if job.settings is not None and job.state in ("interrupted", "failed"):
            job.resume_step = saved_step(self.workspace.root / job.run_folder) if job.run_folder else None

    # ---- keeping

    def save(self) -> None:
        """Write down what changed. Without the table's lock, because every open page waits for that one, and disks can
        be slow.

        A disk that takes nothing more must not stop the job; the job itself will say so.
        """
        with self._writing:
            with self.lock:
                records, self._unsaved = list(self._unsaved.values()), {}
            for record in records:
                try:
                    self.store.save(record)
                    if record["id"] not in self._jobs:  # it was put away meanwhile
                        self.store.forget(record["id"])
                except UserError as error:
                    job = self._jobs.get(record["id"])
                    if job and str(error) not in job.notices:
                        job.notices.append(str(error))

    def _forget_old(self, ending: Job) -> None:
        """Memory and disk stay small however long the server runs. `ending` is told what can no more be resumed from
        the page.
        """
        jobs = self.ordered()
        ended = [job for job in jobs if job.has_ended and job.state != "foreign"]
        for job in [job for job in ended if job.curve][:-KEPT_CURVES]:
            if job not in (self.latest, self.latest_big):
                job.curve, job.evaluations, job.previews = [], [], job.previews[-1:]
        resumable = list(self.resume_steps())
        needed = {name for job in jobs if job.state == "waiting" for name in job.needs}
        kept = {*resumable[:KEPT_RESUMABLE], *needed}
        for job in ended[:-KEPT_JOBS]:
            if job.id in kept:
                continue
            if job.id in resumable:
                ending.notices.append(
                    f"The list of jobs keeps {KEPT_RESUMABLE} trainings that can be resumed, so '{job.title}' has left"
                    f" it. To go on with that one: python -m ti_core resume {job.run_folder}"
                )
            del self._jobs[job.id]
            self.store.forget(job.id)
