"""Runs that were read from the disk to be looked at, in the shape of jobs that have ended, so that a page needs no
second way to show one.
"""

from __future__ import annotations

import threading

from ti_core.events import Emit
from ti_core.jobs.job import Job
from ti_core.runs.folder import saved_steps
from ti_core.runs.history import read_history
from ti_core.runs.library import ListedRun, RunLibrary

KEPT = 8
"""Opened runs that are kept in memory; a run of 100,000 steps takes about 20 MB."""
START = "run:"


class OpenedRuns:
    """`get` gives what was read, and takes no time; `read` reads what is not there, or has changed."""

    def __init__(self, library: RunLibrary) -> None:
        self.library = library
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._opened: dict[str, tuple[ListedRun, Job]] = {}
        self._count = 0

    def get(self, run: str) -> Job | None:
        """The opened run, by its folder as it would be typed; None if it is not there, or was not read yet."""
        kept = self._opened.get(run)
        return kept[1] if kept and self.library.get(run) else None

    def by_id(self, job_id: str) -> Job | None:
        """By the id of the job that `read` gave, read again where it is not kept any more."""
        if not job_id.startswith(START):
            return None
        run = job_id.removeprefix(START).partition(":")[2]
        return self.get(run) or (self.read(run) if self.library.get(run) else None)

    def is_old(self, run: str) -> bool:
        """Whether there is such a run, and `read` would find something new."""
        listed, kept = self.library.get(run), self._opened.get(run)
        return listed is not None and (kept is None or kept[0] != listed)

    def read(self, run: str) -> Job:
        """Read the run's folder, unless that was done since it changed. Raises UserError if there is no such run."""
        listed = self.library.find(run)
        with self._reading:
            if (kept := self._opened.get(run)) and kept[0] == listed:
                return kept[1]
            job = self._job(listed, kept[1] if kept else None)
            with self._lock:
                self._opened.pop(run, None)
                self._opened[run] = listed, job
                while len(self._opened) > KEPT:
                    del self._opened[next(iter(self._opened))]
            return job

    def _job(self, listed: ListedRun, before: Job | None) -> Job:
        history = read_history(listed.folder)
        goes_on = before is not None and all(
            new[: len(old)] == old for new, old in ((history.curve, before.curve), (history.previews, before.previews))
        )
        if not goes_on:  # another id, so that the page begins anew
            self._count += 1
        job_id = before.id if before and goes_on else f"{START}{self._count}:{listed.run}"
        job = Job(job_id, "train", listed.name, _nothing)
        job.begin_with(history)
        job.notices = history.notices
        job.state = "interrupted" if listed.can_resume else "finished"
        at = f"{listed.step} of {listed.total} steps" if listed.total else f"{listed.step} steps"
        job.text = f"A run on disk, {at}: {listed.run}"
        job.folder, job.run_folder = str(listed.folder), listed.run
        job.done, job.total = listed.step, listed.total or listed.step
        job.prompt = next((prompt for _, _, prompt, _ in reversed(job.previews) if prompt), "")
        job.files = [str(path) for path in list(saved_steps(listed.folder).values())[-1:]]
        job.saved_steps = self._count + len(job.previews) + len(job.curve)
        return job


def _nothing(emit: Emit, stop: object) -> None:
    """It has been done."""
