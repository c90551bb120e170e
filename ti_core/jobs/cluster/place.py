"""One device of the cluster as a place where jobs run. A job whose node dies is taken up on another one, from the state
that it saved last.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from ti_core.errors import Interrupted, UserError
from ti_core.events import Emit, Event, Finished, Notice, Started
from ti_core.jobs.cluster.carry import LOST
from ti_core.jobs.job import Job
from ti_core.jobs.place import BIG
from ti_core.models.device import DeviceMonitor
from ti_core.program.conversation import INTERRUPTED, SILENT
from ti_core.runs.folder import saved_step
from ti_core.settings import ResumeSettings
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

MOST_LOSSES = 3
"""So often in a row a job may lose its node without coming any further."""
NOT_ANSWERED = (
    "Interrupted: the node did not answer, so its work was given up. What was saved last is kept; a training goes on"
    " from there with Resume."
)


class Runs(Protocol):
    """What a place asks of the link to the cluster."""

    workspace: Workspace

    def run(
        self, place: ClusterPlace, kind: str, settings: Settings, emit: Emit, stop: threading.Event
    ) -> tuple[str, str]:
        """As `Link.run`."""

    def say(self, what: dict[str, Any]) -> None:
        """As `Link.say`."""


class ClusterPlace:
    """As `jobs/place.py` says; `name` is the node's and a number."""

    works = frozenset({BIG})

    def __init__(self, name: str, link: Runs) -> None:
        self.name, self.holds, self.device = name, "", DeviceMonitor()
        self._link = link

    @property
    def is_ready(self) -> bool:
        """As `Place.is_ready`."""
        return bool(self.holds)

    def start(self) -> None:
        """Its process begins with the first job: the device belongs to others until then."""

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        """Do the job on its node; if that is lost, on another one."""
        if job.count > 1:
            raise UserError(
                f"GPUs is {job.count}, but on a cluster each job gets one.",
                "Set GPUs to 1, or train on several machines as docs/cluster.md says.",
            )
        assert job.settings is not None, "quick work runs in the server"
        kind, settings, at, losses = job.kind, job.settings, -1, 0
        folder = ""

        def watch(event: Event) -> None:
            nonlocal folder
            if isinstance(event, Started) and event.folder:
                folder = event.folder
            emit(event)

        while True:
            ended, why = self._link.run(self, kind, settings, watch, job.stop)
            self.holds = job.checkpoint
            if ended != LOST:
                return self._end(ended, emit)
            root = self._link.workspace.root
            run = self._link.workspace.shown(root / folder) if folder else getattr(settings, "run_folder", "")
            step = saved_step(root / run) if run else None
            losses = 0 if (step or 0) > at else losses + 1
            at = step or 0
            if job.stop.is_set():
                emit(Finished(NOT_ANSWERED, interrupted=True))
                return None
            if losses >= MOST_LOSSES:
                raise UserError(f"{why} This has happened {losses + 1} times.", "Look at the nodes, then press Resume.")
            kind, settings = self._taken_up(kind, settings, run, step)
            at_step = f"from step {step}" if step is not None else "from its beginning"
            emit(Notice(f"{why} The job goes on elsewhere, {at_step}."))

    def _taken_up(self, kind: str, settings: Settings, run: str, step: int | None) -> tuple[str, Settings]:
        """The job that goes on where it was; the same one anew while it has saved nothing."""
        return (kind, settings) if step is None else ("resume", ResumeSettings(run))

    def _end(self, ended: str, emit: Emit) -> None:
        if ended == INTERRUPTED:
            raise Interrupted
        if ended == SILENT:
            emit(Finished(NOT_ANSWERED, interrupted=True))
        elif ended:
            raise UserError(ended)

    def release(self) -> None:
        """Give the device back to the cluster."""
        self._link.say({"release": self.name})
        self.holds = ""

    def close(self) -> None:
        """What works there ends with the driver."""
