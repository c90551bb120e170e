"""The devices of this computer as places for jobs: a process for each, begun when it is first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from ti_core.events import Emit
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.place import BIG, SMALL
from ti_core.jobs.process import JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.models.chosen_device import CPU
from ti_core.models.device import DeviceMonitor, DeviceState
from ti_core.workspace import Workspace

LOOK_WITHIN_S = 120.0
"""torch takes seconds to load, on a slow disk more than a minute."""
BESIDE = "beside"
"""Name of the place for small jobs while the devices train. It leaves the cards alone."""
A_MODEL = "a model"


class DevicePlace:
    """One device and its process. The process of the first one is begun early, because torch takes seconds to load;
    it takes nothing of a card before its first job.
    """

    def __init__(
        self, name: str, workspace: Workspace, process: JobProcess, works: frozenset[str], is_early: bool = False
    ) -> None:
        self.name, self.works, self.device = name, works, process.device
        self._workspace, self._process, self._is_early = workspace, process, is_early
        self._checkpoint = ""

    @property
    def holds(self) -> str:
        """As `Place.holds`."""
        state = self.device.latest()
        opens = self._process.has_opened and (state is None or state.kind != CPU)
        holds_process = self._process.is_started and not self._is_early and BIG not in self.works
        kept = self._checkpoint or (A_MODEL if opens or holds_process else "")
        return kept if self._process.is_started else ""

    @property
    def is_ready(self) -> bool:
        """As `Place.is_ready`."""
        return self._process.is_started

    def start(self) -> None:
        """As `Place.start`."""
        if self._is_early:
            self._process.start()

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        """As `Place.run`."""
        assert job.settings is not None, "other work runs in the server"
        if BIG in self.works and job.checkpoint:
            self._checkpoint = job.checkpoint
        devices = [self.name, *beside] if beside else []
        self._process.run(job.kind, job.settings, self._workspace, emit, job.stop, devices)

    def release(self) -> None:
        """As `Place.release`: with its process goes all that it has on the card."""
        self._process.end()
        self._checkpoint = ""

    def close(self) -> None:
        """As `Place.close`."""
        self._process.close()


class Devices:
    """All devices of this computer, or the `names` that were chosen, as places of a queue. A name that stands there
    twice makes two places; only processors gain by that.

    `monitor` has the state of the one with the most memory, for what the page says before a training.
    """

    def __init__(self, workspace: Workspace, names: Sequence[str] = ()) -> None:
        self._workspace, self._names = workspace, tuple(names)
        self._places: list[DevicePlace] = []
        self._is_closed = threading.Event()
        self.monitor = DeviceMonitor(is_expected=True)

    def kinds(self, kinds: Mapping[str, JobKind] = KINDS) -> dict[str, JobKind]:
        """The kinds, which know the device when they check settings."""
        return {
            name: replace(kind, check=partial(kind.check, device=self.monitor)) if kind.checks_device else kind
            for name, kind in kinds.items()
        }

    def open(self, jobs: JobQueue) -> None:
        """Look which devices there are and add them to the queue, in a thread of its own: the page does not wait."""
        threading.Thread(target=self._open, args=(jobs,), name="devices", daemon=True).start()

    def _open(self, jobs: JobQueue) -> None:
        for place in self._found():
            self._places.append(place)
            if self._is_closed.is_set():
                place.close()
            else:
                jobs.worker.add(place)
        self._is_closed.wait()  # a process ends with the thread that started it

    def _found(self) -> list[DevicePlace]:
        """The places, those of devices first."""
        names, scout, states = list(self._names), JobProcess(), dict[str, DeviceState | None]()
        if set(names) != {CPU}:
            states = dict(scout.look(LOOK_WITHIN_S))
            names = names or list(states) or [CPU]
        for name in set(names) - {CPU} - set(states):
            print(f"There is no device {name} here. There is: {', '.join(states) or 'none'}.", flush=True)
        others = [name for name in states if name not in (CPU, "mps")]
        if others or len(names) > 1:  # a card that was looked at is held until the process ends
            scout.end()
        best = max(names, key=lambda name: state.free_bytes if (state := states.get(name)) else 0)
        places = []
        for number, name in enumerate(names):
            is_scout = len(names) == 1 and not others
            process = scout if is_scout else JobProcess(name if others else "", _threads(len(names), name))
            if name == best and number == names.index(best):
                process.device = self.monitor
            if state := states.get(name):
                process.device.report(state)
            called = f"{name} {number + 1}" if names.count(name) > 1 else name
            works = frozenset({BIG, SMALL})
            places.append(DevicePlace(called, self._workspace, process, works, is_early=number == 0))
        if not states.get(best) and best != CPU:
            self.monitor.report(None)  # nobody waits for it any more
        beside = JobProcess(CPU if others else "")
        return [*places, DevicePlace(BESIDE, self._workspace, beside, frozenset({SMALL}))]

    def close(self) -> None:
        """End all processes; the server ends."""
        self._is_closed.set()
        for place in self._places:
            place.close()


def _threads(places: int, name: str) -> dict[str, str]:
    """Processors that share the cores do not take them from each other, unless somebody has said how many they take."""
    if name != CPU or places < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // places))}
