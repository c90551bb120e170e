"""Runs jobs in a process of their own, so that open pages take nothing from a training, and a crash of the one is
none of the other: the server's side. The other is `child_process.py`.

The process lives as long as the server and keeps its model loaded from job to job. When the server is gone, it ends at
once, and the run's folder says where it can go on.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ti_core.errors import Interrupted, UserError
from ti_core.events import Alive, Emit, Event, Finished
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.models.chosen_device import CHOSEN
from ti_core.models.device import DeviceMonitor, DeviceState
from ti_core.program.child import end_child, kill_child, start_child
from ti_core.program.conversation import DIED, INTERRUPTED, LOOK_EVERY_S, SILENT, Child
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

CLOSES_WITHIN_S = 2.0
NOT_ANSWERED = (
    "Interrupted: the work did not answer, so it was ended. What was saved last is kept; a training goes on from there"
    " with Resume."
)


class JobProcess:
    """The process, and what it is asked for: one job after the other. `device` is what it reports of its device."""

    def __init__(self, chosen: str = "", environment: Mapping[str, str] | None = None) -> None:
        """`chosen` names the device that it works on, empty for accelerate's choice; `environment` is added to ours."""
        self._environment = {**(environment or {}), **({CHOSEN: chosen} if chosen else {})}
        self._devices: list[tuple[str, DeviceState | None]] = []
        self._has_looked = threading.Event()
        self.has_opened = False
        """Whether it has reported its device since it was started: it then holds some of its memory."""
        self._number, self._has_no_events = 0, True
        self._child: Child | None = None
        self._is_idle = threading.Event()
        self._is_idle.set()
        self.device = DeviceMonitor(is_expected=True)

    def kinds(self, kinds: Mapping[str, JobKind] = KINDS) -> dict[str, JobKind]:
        """The kinds, each with its work done over there."""

        def over_there(name: str, kind: JobKind) -> JobKind:
            check = partial(kind.check, device=self.device) if kind.checks_device else kind.check
            return replace(kind, check=check, run=partial(self.run, name))

        return {name: over_there(name, kind) for name, kind in kinds.items()}

    def run(
        self,
        kind: str,
        settings: Settings,
        workspace: Workspace,
        emit: Emit,
        stop: threading.Event,
        devices: Sequence[str] = (),
    ) -> None:
        """Do a job over there, and emit and raise here what it emits and raises there. `devices` are those on which it
        may train together. Raises UserError if the process dies.
        """
        self._number += 1
        order = {"run": self._number, "kind": kind, "settings": settings.to_dict(), "workspace": workspace.to_dict()}
        order["devices"] = list(devices)
        ended = self._follow(order, emit, stop)
        if ended == DIED and self._has_no_events:  # it was dying of the job before
            ended = self._follow(order, emit, stop)
        if ended == INTERRUPTED:
            raise Interrupted
        if ended == SILENT:
            self._child = None  # the next job gets a new one, even where the system could not clear this one away
            emit(Finished(NOT_ANSWERED, interrupted=True))
        elif ended == DIED:
            code = self._child.process.returncode if self._child else None
            raise UserError(
                f"The work ended by itself{_cause(code)}. What was saved is kept.",
                "Press Resume, or start it again with a smaller size.",
            )
        elif ended:
            raise UserError(ended)

    def _follow(self, order: dict[str, Any], emit: Emit, stop: threading.Event) -> str:
        """Send the order and emit what comes of it; how it ended."""

        def pass_on(event: Event) -> None:
            self._has_no_events = self._has_no_events and isinstance(event, Alive)
            emit(event)

        self._is_idle.clear()
        child, self._has_no_events = self._started(), True
        child.say(order)
        try:
            return child.follow(
                pass_on,
                stop,
                lambda: child.say({"stop": order["run"]}),
                lambda wish: child.say({"ask": wish, "run": order["run"]}),
            )
        except BaseException:  # what it still tells of this job must not be taken for the next one's
            kill_child(child.process)
            self._child = None
            raise
        finally:
            self._is_idle.set()

    def start(self) -> subprocess.Popen[str]:
        """The process, begun if it does not run: it takes some seconds to load torch, in which the page should be
        open already.
        """
        return self._started().process

    def _started(self) -> Child:
        if self._child is None or self._child.process.poll() is not None:
            self.has_opened = False
            started = start_child("ti_core.jobs.child_process", environment={**os.environ, **self._environment})
            self._child = Child(started, also=self._take_device)
        return self._child

    @property
    def is_started(self) -> bool:
        """Whether there is a process, which takes memory."""
        return self._child is not None and self._child.process.poll() is None

    def look(self, within_s: float) -> list[tuple[str, DeviceState | None]]:
        """Which devices there are, by name; empty where the process dies of it, or does not answer in time."""
        child = self._started()
        child.say({"look": True})
        end = time.monotonic() + within_s
        while not self._has_looked.wait(LOOK_EVERY_S):
            if time.monotonic() > end or child.process.poll() is not None:
                break
        return self._devices

    def end(self) -> None:
        """End the process, which gives back all that it holds; the next job gets a new one. No job runs in it."""
        child, self._child = self._child, None
        if child:
            end_child(child.process, within_s=1)

    def _take_device(self, said: dict[str, Any]) -> None:
        """What the process says of its device: a DeviceState, or None where it could not be asked; or of all."""
        if "devices" in said:
            self._devices = [(name, _state(values)) for name, values in said["devices"]]
            self._has_looked.set()
            return
        self.has_opened = True
        self.device.report(_state(said["device"]))

    def close(self) -> None:
        """When the server ends: the closed pipe ends the process, and if it does not hear that, it is killed.

        A training that has told its end has still to close its tables.
        """
        self._is_idle.wait(CLOSES_WITHIN_S)
        if self._child:
            end_child(self._child.process, within_s=1)


def _state(values: dict[str, Any] | None) -> DeviceState | None:
    return None if values is None else DeviceState(**values)


def _cause(code: int | None) -> str:
    return (
        ": the system stopped it, probably because memory ran out"
        if code == -9
        else f" (code {code}); the terminal shows why"
    )
