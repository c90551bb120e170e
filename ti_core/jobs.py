"""The line of jobs: one worker thread for the one device. A job belongs to the server, not to a page, and outlives the server on disk.

Everyone who looks gets the same snapshot, folded from the job's events; a cursor makes it hold only what is new to them.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Alive, Event, Failed, Finished, Started
from ti_core.job import KEPT_FIELDS, Job, Work
from ti_core.job_kinds import KINDS, JobKind, run_folder_of
from ti_core.job_store import JobStore
from ti_core.run_folder import saved_step
from ti_core.workspace import Workspace

KEPT_JOBS = 50
"""Ended jobs that are remembered, in memory and on disk."""
KEPT_CURVES = 3
SHOWN_ENDED = 5
SAVE_EVERY_S = 5.0
"""How often the step of a running job is written down; the run's own state file says exactly where it can go on."""


class JobQueue:
    """Jobs in their order, and the thread that works on them. The line is kept on disk and taken up again."""

    def __init__(self, workspace: Workspace, kinds: Mapping[str, JobKind] = KINDS, is_paused: bool = False) -> None:
        self._jobs: dict[str, Job] = {}
        self._workspace, self._kinds = workspace, kinds
        self._lock, self._writing = threading.Condition(threading.RLock()), threading.Lock()
        self._unsaved: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._version = time.time_ns() // 1_000_000  # never one that an open page knows from an earlier server
        self._latest: Job | None = None
        self._is_paused = is_paused
        self._store = JobStore(workspace.root / "jobs")
        for record in self._store.load():
            self._take_back(record)
        self._save()
        threading.Thread(target=self._work_for_ever, name="worker", daemon=True).start()

    # ---- asking

    def order(self, kind: str, settings: dict[str, Any], owner: str = "") -> Job:
        """Check the settings and put a job of this kind into the line. Raises UserError."""
        what = self._kinds.get(kind)
        if what is None:
            raise UserError(f"There is no job called '{kind}'.", f"Choose one of: {', '.join(self._kinds)}.")
        checked = what.settings.from_dict(settings)
        with self._lock:
            coming = {job.result: job.id for job in self._jobs.values() if not job.has_ended and job.result}
            twin = next((job for job in self._jobs.values() if kind == job.kind == "train" and not job.has_ended and job.settings == checked.to_dict()), None)
        if twin:
            raise UserError("This training is in the line of jobs already.", "Wait until it has ended, or change a setting.")
        title, result = what.check(checked, self._workspace, coming)
        needs = [coming[made] for name in what.uses if (made := getattr(checked, name)) in coming]
        work = partial(what.run, checked, self._workspace)
        return self.submit(kind, title, work, owner, checked.to_dict(), result, needs)

    def submit(
        self, kind: str, title: str, work: Work, owner: str = "", settings: dict[str, Any] | None = None, result: str = "", needs: Sequence[str] = ()
    ) -> Job:
        """Queue `work(emit, stop)`; ids stay unique when the server starts again, so that an open page never mixes two runs."""
        with self._lock:
            number = next(self._numbers)
            job = Job(f"{kind}-{time.strftime('%m%d-%H%M%S')}-{number}", kind, title, work, owner, settings, result, time.time() + number / 1e6, list(needs))
            while job.id in self._jobs:
                job.id += "b"
            self._jobs[job.id] = job
            self._changed(job)
            self._lock.notify_all()
        self._save()
        return job

    def again(self, job_id: str, owner: str = "") -> Job:
        """A new job with the settings of another. Raises UserError."""
        job = self._find(job_id)
        if job.settings is None:
            raise UserError(f"'{job.title}' cannot be repeated.", "Use its tab again.")
        return self.order(job.kind, job.settings, owner)

    def resume(self, job_id: str, owner: str = "") -> Job:
        """Go on with a training that was interrupted, exactly where its folder says. Raises UserError."""
        job = self._find(job_id)
        if self._resumable(job) is None:
            raise UserError(f"'{job.title}' has nothing to resume.", "Use Again to start it anew.")
        return self.order("resume", {"run_folder": self._run_folder(job)}, owner)

    def cancel(self, job_id: str) -> str:
        """Take a waiting job out of the line, or ask a running one to stop. Returns a sentence. Raises UserError."""
        with self._lock:
            job = self._find(job_id)
            if job.state == "waiting":
                job.text, job.state = "Cancelled before it began.", "cancelled"
                self._changed(job)
                told = f"Cancelled: {job.title}."
            elif job.state == "running":
                job.stop.set()
                told = f"Stopping: {job.title}."
            else:
                told = f"'{job.title}' has ended already."
        self._save()
        return told

    def move_up(self, job_id: str) -> str:
        """Let a waiting job change places with the one before it. Returns a sentence. Raises UserError."""
        with self._lock:
            job, line = self._find(job_id), self.line()
            if job not in line:
                raise UserError(f"'{job.title}' is not waiting any more.", "Only waiting jobs can be moved.")
            at = line.index(job)
            if at == 0:
                return f"'{job.title}' is next already."
            before = line[at - 1]
            if before.id in job.needs:
                raise UserError(f"'{job.title}' needs what '{before.title}' makes.", "Move that one up first.")
            job.place, before.place = before.place, job.place
            self._changed(before)
            self._changed(job)
        self._save()
        return f"Moved up: {job.title}."

    def begin(self) -> None:
        """Start what waits, if the line was made paused: a server that cannot open its page must not have begun a job of the line."""
        with self._lock:
            self._is_paused = False
            self._lock.notify_all()

    def leave(self, timeout_s: float) -> None:
        """Before the server ends: let the running job save, and begin no other, so that it goes on waiting on disk."""
        self._is_paused = True
        job = self.shown_job()
        if job and job.state == "running":
            job.stop.set()
            self.wait_for(job, timeout_s)
        self._save()

    def interrupt(self, kinds: Collection[str] = ()) -> str:
        """Ask the running job to stop; it saves and ends by itself. Of certain `kinds` only: else the first of these that waits is cancelled, and what
        runs goes on. Returns a sentence for the page.
        """
        job = self.shown_job()
        if job is None or job.has_ended:
            return "Nothing is running."
        if kinds and job.kind not in kinds:
            waiting = next((other for other in self.line() if other.kind in kinds), None)
            return self.cancel(waiting.id) if waiting else f"'{job.title}' is running, and goes on. It can be stopped in its own tab, or under Jobs."
        job.stop.set()
        return f"Stopping: {job.title}."

    # ---- looking

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def line(self) -> list[Job]:
        """The waiting jobs, the next one first."""
        with self._lock:
            return sorted((job for job in self._jobs.values() if job.state == "waiting"), key=lambda job: job.place)

    def running(self) -> list[Job]:
        with self._lock:
            return [job for job in self._jobs.values() if job.state == "running"]

    def shown_job(self) -> Job | None:
        """The running job, else the next one, else the one that ended last."""
        with self._lock:
            first = [*self.running(), *self.line()]
            return first[0] if first else self._latest

    def wait_for(self, job: Job, timeout_s: float = 3600.0) -> Job:
        """Block until the job has ended or the time is up."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with self._lock:  # so that all is noted that belongs to the end
                if job.has_ended:
                    break
            time.sleep(0.02)
        return job

    def rows(self) -> list[dict[str, Any]]:
        """What the page shows of the line: the running job, those that wait, and the latest ended ones."""
        with self._lock:
            jobs = list(self._jobs.values())
            ended = [job for job in reversed(jobs) if job.has_ended][:SHOWN_ENDED]
            return [
                {
                    "id": job.id, "title": job.title, "kind": job.kind, "owner": job.owner, "state": job.state, "done": job.done, "total": job.total,
                    "again": job.settings is not None and job.kind != "resume", "resume": self._resumable(job),
                    "shows": job.has_ended and bool(job.curve),
                }
                for job in (*self.running(), *self.line(), *ended)
            ]  # fmt: skip

    def snapshot(
        self, job_id: str = "", curve_from: int = 0, previews_from: int = 0, notices_from: int = 0, evaluations_from: int = 0, version: int = 0, show: str = ""
    ) -> dict[str, Any]:
        """What a page shows: scalars of the shown job, and the rows after the viewer's cursor.

        `show` is an ended job that a viewer wants to see again. A cursor of another job counts as none. The line comes only if it changed since the `version` that the viewer knows.
        """
        with self._lock:
            chosen = self._jobs.get(show)
            job = chosen if chosen and chosen.has_ended else self.shown_job()
            line = {"version": self._version, **({"line": self.rows()} if version != self._version else {})}
            if job is None:
                return {"job": "", "state": "idle", **line}
            if job.id != job_id:
                curve_from = previews_from = notices_from = evaluations_from = 0
            return {**job.news(curve_from, previews_from, notices_from, evaluations_from), **line}

    # ---- keeping

    def close(self) -> None:
        """Let another server have the workspace (tests; the system does it when the program ends)."""
        self._store.close()

    def _find(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise UserError(f"There is no job '{job_id[:60]}'.", "Reload the page: the line shows the jobs that there are.")
        return job

    def _resumable(self, job: Job) -> int | None:
        """The step from which the job can go on; None if it cannot, or if another job did so."""
        if job.state not in ("interrupted", "failed") or job.resume_step is None:
            return None
        later, folder = list(self._jobs.values()), self._run_folder(job)
        later = [other for other in later[later.index(job) + 1 :] if other.kind in ("train", "resume") and other.state != "cancelled"]
        return None if any(self._run_folder(other) == folder for other in later) else job.resume_step

    def _run_folder(self, job: Job) -> str:
        """The folder of a training as it would be typed; empty for other jobs."""
        folder = run_folder_of(job.kind, job.settings or {}, job.folder, self._workspace)
        return self._workspace.shown(folder) if folder else ""

    def _changed(self, job: Job) -> None:
        """Tell the pages, and note the job for `_save`."""
        self._version += 1
        if job.has_ended:
            self._note_where_it_can_go_on(job)
            self._forget_old()
        job.saved_at = time.monotonic()
        if job.settings is not None and job.id in self._jobs:
            self._unsaved[job.id] = {name: getattr(job, name) for name in KEPT_FIELDS}

    def _save(self) -> None:
        """Write down what changed. Without the line's lock, because every open page waits for that one, and disks can be slow.

        A disk that takes nothing more must not stop the job; the job itself will say so.
        """
        with self._writing:
            with self._lock:
                records, self._unsaved = list(self._unsaved.values()), {}
            for record in records:
                try:
                    self._store.save(record)
                except UserError as error:
                    job = self._jobs.get(record["id"])
                    if job and str(error) not in job.notices:
                        job.notices.append(str(error))

    def _note_where_it_can_go_on(self, job: Job) -> None:
        if job.settings is not None and job.state in ("interrupted", "failed"):
            folder = self._run_folder(job)
            job.resume_step = saved_step(self._workspace.root / folder) if folder else None

    def _forget_old(self) -> None:
        """Memory and disk stay small however long the server runs."""
        ended = [job for job in self._jobs.values() if job.has_ended]
        for job in [job for job in ended if job.curve][:-KEPT_CURVES]:
            if job is not self._latest:
                job.curve, job.previews = [], job.previews[-1:]
        for job in ended[:-KEPT_JOBS]:
            del self._jobs[job.id]
            self._store.forget(job.id)

    def _take_back(self, record: dict[str, Any]) -> None:
        """A job of an earlier server: one that waited goes on waiting, one that ran is shown as interrupted, with its step."""
        what = self._kinds.get(str(record.get("kind")))
        try:
            if what is None:
                return
            checked = what.settings.from_dict(record["settings"])
            job = Job(work=partial(what.run, checked, self._workspace), **{key: record[key] for key in KEPT_FIELDS})
        except (UserError, KeyError, TypeError, AttributeError):  # written by another version
            return
        self._jobs[job.id] = job
        if job.state == "running":
            job.state = "interrupted"
            self._note_where_it_can_go_on(job)
            at = job.done if job.resume_step is None else job.resume_step
            go_on = "Again starts it anew" if job.resume_step is None else f"Resume goes on from step {at}"
            job.text = f"The server was stopped while this ran, at step {max(job.done, at)} of {job.total}. {go_on}."
            self._changed(job)
        elif job.has_ended:
            self._note_where_it_can_go_on(job)
        if job.has_ended:
            self._latest = job

    # ---- working

    def _emit(self, job: Job, event: Event) -> None:
        with self._lock:
            job.fold(event)
            is_due = time.monotonic() - job.saved_at > SAVE_EVERY_S and not isinstance(event, Alive)
            changed = is_due or isinstance(event, Started | Finished | Failed)
            if changed:
                self._changed(job)
        if changed:
            self._save()

    def _next(self) -> Job:
        with self._lock:
            while self._is_paused or not (line := self.line()):
                self._lock.wait()
            job = line[0]
            self._latest = job
            job.fold(Started(job.title, 0))
            job.state = "running"
            self._changed(job)
        self._save()
        return job

    def _check_needs(self, job: Job) -> None:
        """Raises UserError if a job before it did not make what it uses: an older file of that name is not what was meant."""
        for needed in map(self._jobs.get, job.needs):
            if needed and needed.state != "finished":
                raise UserError(f"It was not begun, because '{needed.title}' was {needed.state}.", "Put that right, then press Again.")

    def _work_for_ever(self) -> None:
        while True:
            job = self._next()
            try:
                self._check_needs(job)
                job.work(partial(self._emit, job), job.stop)
                if job.state == "running":
                    self._emit(job, Finished("Done."))
            except Interrupted:
                self._emit(job, Finished("Interrupted.", interrupted=True))
            except UserError as error:
                self._emit(job, Failed(str(error)))
            except Exception as error:  # noqa: BLE001 - the one broad net: whatever happens, the worker lives on and the page is told
                traceback.print_exc()
                self._emit(job, Failed(unexpected(error)))
