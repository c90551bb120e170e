"""The thread that works on the jobs, one after the other, because there is one device."""

from __future__ import annotations

import threading
import time
import traceback
from functools import partial

from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Alive, Event, Failed, Finished, Started
from ti_core.jobs.job import Job
from ti_core.jobs.table import JobTable
from ti_core.runs.history import RunHistory, read_history

SAVE_EVERY_S = 5.0
"""How often the step of a running job is written down; the run's own state file says exactly where it can go on."""


class Worker(threading.Thread):
    """Works on what waits in the table until it is closed. Paused, it begins nothing, and what runs goes on."""

    def __init__(self, table: JobTable, is_paused: bool) -> None:
        super().__init__(name="worker", daemon=True)
        self._table, self._is_paused, self._is_closed = table, is_paused, False

    def begin(self) -> None:
        """Start what waits."""
        with self._table.lock:
            self._is_paused = False
            self._table.lock.notify_all()

    def pause(self) -> None:
        """Begin no other job."""
        self._is_paused = True

    def close(self) -> None:
        """Begin nothing any more; the thread ends with what it does now."""
        with self._table.lock:
            self._is_closed = True
            self._table.lock.notify_all()

    def run(self) -> None:
        """The thread's work. Whatever a job does, the next one is begun."""
        while (job := self._next()) is not None:
            try:
                self._check_needs(job)
                job.work(partial(self.emit, job), job.stop)
                if job.state == "running":
                    self.emit(job, Finished("Done."))
            except Interrupted:
                self.emit(job, Finished("Interrupted.", interrupted=True))
            except UserError as error:
                self.emit(job, Failed(str(error)))
            except Exception as error:  # noqa: BLE001 - the one broad net: the worker lives on and the page is told
                traceback.print_exc()
                self.emit(job, Failed(unexpected(error)))

    def emit(self, job: Job, event: Event) -> None:
        """Fold the event into the job, and write down what is worth it."""
        table, past = self._table, self._past(event)
        with table.lock:
            job.fold(event)
            if past:
                job.begin_with(past)
            if job.has_ended:
                job.order = table.next_order()  # so that ended jobs are in the order in which they ended
            is_due = time.monotonic() - job.saved_at > SAVE_EVERY_S and not isinstance(event, Alive)
            changed = is_due or isinstance(event, Started | Finished | Failed)
            if changed:
                table.changed(job)
        if changed:
            table.save()

    def _past(self, event: Event) -> RunHistory | None:
        """What there is of a run that goes on; read before the table is locked, because every open page waits for
        that.
        """
        if not isinstance(event, Started) or not event.folder or not event.first_step:
            return None
        try:
            return read_history(self._table.workspace.root / event.folder, event.first_step)
        except (OSError, UserError) as error:
            print(f"The steps before this job cannot be shown: {error}", flush=True)
            return None

    def _next(self) -> Job | None:
        """The job to do next, once there is one; None when the queue was closed."""
        table = self._table
        with table.lock:
            while self._is_closed or self._is_paused or not (waiting := table.waiting()):
                if self._is_closed:
                    return None
                table.lock.wait()
            job = waiting[0]
            table.began(job)
            job.fold(Started(job.title, 0))
            job.state = "running"
            table.changed(job)
        table.save()
        return job

    def _check_needs(self, job: Job) -> None:
        """Raises UserError if a job before it did not make what it uses: an older file of that name is not what was
        meant.
        """
        for needed in map(self._table.get, job.needs):
            if needed is None:
                raise UserError(
                    "It was not begun, because the job that makes what it needs is not known any more.",
                    "Look at what there is, then press Run again.",
                )
            if needed.state != "finished":
                raise UserError(
                    f"It was not begun, because '{needed.title}' was {needed.state}.",
                    "Put that right, then press Run again.",
                )
