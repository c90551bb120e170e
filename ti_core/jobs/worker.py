"""The threads that work on the jobs: one for each place, so that as many jobs run side by side."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from functools import partial

from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Alive, Event, Failed, Finished, Started
from ti_core.jobs.choice import Lane, Order, blocked, in_line, lanes_for, work_of
from ti_core.jobs.job import Job
from ti_core.jobs.place import BIG, Place
from ti_core.jobs.table import JobTable
from ti_core.runs.history import RunHistory, read_history

SAVE_EVERY_S = 5.0
"""How often the step of a running job is written down; the run's own state file says exactly where it can go on."""
FREE_AFTER_MIN = 10.0
"""So long a place keeps its model for a next job; 0 keeps it for ever."""


class Worker:
    """Works on what waits in the table until it is closed. Paused, it begins nothing, and what runs goes on.

    `order` says which of the waiting jobs come first, whenever a place is free.
    """

    def __init__(self, table: JobTable, is_paused: bool, places: Sequence[Place], order: Order = in_line) -> None:
        self._table, self._is_paused, self._is_closed = table, is_paused, False
        self.order, self.free_after_min = order, FREE_AFTER_MIN
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        for place in places:
            self.add(place)

    # ---- places

    @property
    def lanes(self) -> list[Lane]:
        """What becomes of each place, in their order. To be looked at while the table is locked."""
        return self._lanes

    def add(self, place: Place) -> None:
        """One more place; what waits may begin there at once."""
        lane = Lane(place, idle_since=time.monotonic())
        with self._table.lock:
            self._lanes.append(lane)
            self._look()
        thread = threading.Thread(target=self._work_on, args=(lane,), name=f"lane {place.name}", daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def remove(self, name: str) -> None:
        """A place that takes no further job. One that runs there goes on, or fails as its place says."""
        with self._table.lock:
            for lane in self._lanes:
                lane.is_gone = lane.is_gone or lane.place.name == name
            self._lanes = [lane for lane in self._lanes if not lane.is_gone or lane.job]
            self._look()

    def release(self, name: str = "") -> list[str]:
        """Have the places give back what they hold, one of them or all that have no job. Returns the names of those
        that do.
        """
        with self._table.lock:
            lanes = [
                lane for lane in self._lanes if lane.is_free and lane.place.holds and name in ("", lane.place.name)
            ]
            for lane in lanes:
                lane.release_asked = True
            self._look()
        return [lane.place.name for lane in lanes]

    # ---- beginning and ending

    def begin(self) -> None:
        """Start what waits."""
        with self._table.lock:
            self._is_paused = False
            self._look()

    def pause(self) -> None:
        """Begin no other job."""
        self._is_paused = True

    def close(self) -> None:
        """Begin nothing any more; the threads end with what they do now."""
        with self._table.lock:
            self._is_closed = True
            self._look()

    def is_alive(self) -> bool:
        """Whether one of the threads works, or waits for work."""
        return any(thread.is_alive() for thread in self._threads)

    def _look(self) -> None:
        self._table.is_due = True
        self._table.lock.notify_all()

    # ---- the thread of a place

    def _work_on(self, lane: Lane) -> None:
        """Whatever a job does, the next one is begun."""
        try:
            lane.place.start()
        except Exception:  # noqa: BLE001 - the first job tries once more, and tells what is wrong
            traceback.print_exc()
        while (job := self._next(lane)) is not None:
            self._table.save()
            self._do(job, lane)
            with self._table.lock:
                for one in (lane, *lane.beside):
                    one.job = one.kept_for = None
                    one.idle_since = time.monotonic()
                lane.beside = []
                if lane.is_gone:
                    self._lanes = [other for other in self._lanes if other is not lane]
                self._look()

    def _next(self, lane: Lane) -> Job | None:
        """The job to do next in this lane, once there is one; None when there will be none."""
        table = self._table
        while True:
            with table.lock:
                if lane.job:
                    return lane.job
                if self._is_closed or lane.is_gone:
                    return None
                if table.is_due:
                    self._begin_what_can()
                    continue
                if not self._is_to_release(lane):
                    table.lock.wait(self._patience(lane))
                    continue
                lane.is_released, lane.release_asked = True, False
            try:
                lane.place.release()
                lane.place.start()
            finally:
                with table.lock:
                    lane.is_released = False
                    table.touch()
                    self._look()

    def _begin_what_can(self) -> None:
        """Give each free place its next job."""
        table = self._table
        table.is_due = False
        if self._is_closed or self._is_paused:
            return
        waiting, running = table.waiting(), table.running()
        held = blocked(waiting, running)
        lanes = list(self._lanes)
        for job in self.order(waiting, running):
            if not any(lane.is_free for lane in lanes):
                return
            if job.id in held:
                continue
            chosen = lanes_for(job, work_of(job, table), lanes)
            if chosen is None:  # it waits for several devices, so that none of them may begin anything
                lanes = [lane for lane in lanes if BIG not in lane.place.works]
            elif chosen:
                self._begin(job, chosen)

    def _begin(self, job: Job, chosen: list[Lane]) -> None:
        first, *others = chosen
        first.job, first.beside = job, others
        for lane in others:
            lane.kept_for = job
        self._table.began(job)
        job.fold(Started(job.title, 0))
        job.state, job.place = "running", first.place.name
        if job.device and job.device != job.place:  # it was ordered before the server was started anew
            job.notices.append(f"There is no device {job.device} any more, so this runs on {job.place}.")
        self._table.changed(job)
        self._table.lock.notify_all()

    def _patience(self, lane: Lane) -> float | None:
        """Seconds until it gives back what it holds; None for as long as nothing happens."""
        if not lane.place.holds or not self.free_after_min or not lane.is_free:
            return None
        return max(0.0, lane.idle_since + 60 * self.free_after_min - time.monotonic())

    def _is_to_release(self, lane: Lane) -> bool:
        return lane.is_free and bool(lane.place.holds) and (lane.release_asked or self._patience(lane) == 0)

    # ---- a job

    def _do(self, job: Job, lane: Lane) -> None:
        try:
            self._check_needs(job)
            for other in lane.beside:
                other.place.release()
            beside = [other.place.name for other in lane.beside]
            lane.place.run(job, partial(self.emit, job), beside)
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
