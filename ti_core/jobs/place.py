"""Where jobs run: what the queue asks of a place, and the simplest one, a thread of this program.

A place works on one job at a time. `device_place.py` has a process for each device of this computer; a cluster gives
one for each of its devices. Places come and go while the queue works (`Worker.add`, `Worker.remove`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ti_core.events import Emit
from ti_core.jobs.job import Job
from ti_core.models.device import DeviceMonitor

QUICK, SMALL, BIG = "quick", "small", "big"
"""Work of this program itself, such as a download; a job whose own tab answers, such as Create; a training and what
paints.
"""


class Place(Protocol):
    """One place. All but `run` may be called by any thread; `run`, `start` and `release` by the place's own alone."""

    name: str
    """Its device as people choose it, such as cuda:1; unique among the places of a queue."""
    works: frozenset[str]
    """Which of QUICK, SMALL and BIG it takes. Who takes BIG is shown as a lane and can be asked for by name."""
    device: DeviceMonitor
    """What is known of its device: name and memory."""

    @property
    def holds(self) -> str:
        """The checkpoint that it keeps loaded for the next job, as it was chosen; empty where it holds no memory."""

    @property
    def is_ready(self) -> bool:
        """Whether a job can begin at once; else something is started for it first."""

    def start(self) -> None:
        """Get ready for the next job, where that takes time; called after it was added, and after `release`."""

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        """Do the job (`job.kind`, `job.settings`), and emit and raise here what it emits and raises there, until it
        ends; `job.stop` is set where it is to stop, and holds what is wished of it. `beside` names the places that
        are kept free for it, for a job that asks for several devices.

        Raises Interrupted, and UserError with what is wrong.
        """

    def release(self) -> None:
        """Give back all memory that is kept for a next job. No job runs meanwhile."""

    def close(self) -> None:
        """End what belongs to it; the server ends."""


class ServerPlace:
    """A thread of this program: for quick work, and in tests for all."""

    def __init__(self, name: str = "here", works: frozenset[str] = frozenset({QUICK, SMALL, BIG})) -> None:
        self.name, self.works, self.device, self.holds, self.is_ready = name, works, DeviceMonitor(), "", True

    def start(self) -> None:
        """There is nothing to get ready."""

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        """As `Place.run`."""
        job.work(emit, job.stop)

    def release(self) -> None:
        """It keeps nothing."""

    def close(self) -> None:
        """The thread ends with the program."""
