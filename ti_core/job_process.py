"""Runs jobs in a process of their own, so that open pages take nothing from a training, and a crash of the one is none of the other.

It lives as long as the server and keeps its model loaded from job to job. Both sides send a line of JSON for each thing they say; when the
server is gone, the process ends at once, and the run's folder says where it can go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from ti_core.child_process import kill_child, start_child
from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Emit, Event, parse_event
from ti_core.job_kinds import KINDS, JobKind
from ti_core.models.device import DeviceState, device_state, expect_device, tell_device
from ti_core.options import Settings
from ti_core.terminal import clean_terminal
from ti_core.workspace import Workspace

LOOK_EVERY_S = 0.1
DIED = "died"


class JobProcess:
    """The server's side. `kinds` are those of the line, but run over there; jobs come one after the other."""

    def __init__(self) -> None:
        self._number, self._told_nothing = 0, True
        self._child: subprocess.Popen[str] | None = None
        expect_device()

    def kinds(self, kinds: Mapping[str, JobKind] = KINDS) -> dict[str, JobKind]:
        return {name: replace(kind, run=partial(self.run, name)) for name, kind in kinds.items()}

    def run(self, kind: str, settings: Settings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
        """Do a job over there, and emit and raise here what it emits and raises there. Raises UserError if the process dies."""
        self._number += 1
        order = {"run": self._number, "kind": kind, "settings": settings.to_dict(), "workspace": workspace.to_dict()}
        ended = self._follow(order, emit, stop)
        if ended == DIED and self._told_nothing:  # it was dying of the job before
            ended = self._follow(order, emit, stop)
        if ended == "interrupted":
            raise Interrupted
        if ended == DIED:
            raise UserError(
                f"The work ended by itself{_cause(self._child.wait() if self._child else 0)}. What was saved is kept.",
                "Press Resume, or start it again with a smaller size.",
            )
        if ended:
            raise UserError(ended)

    def _follow(self, order: dict[str, Any], emit: Emit, stop: threading.Event) -> str:
        """Send the order and emit what comes of it; how it ended."""
        child = self.start()
        self._say(order)
        has_stopped, self._told_nothing = False, True
        try:
            while True:
                if stop.is_set() and not has_stopped:
                    self._say({"stop": order["run"]})
                    has_stopped = True
                with contextlib.suppress(queue.Empty):
                    told = self._told.get(timeout=LOOK_EVERY_S)
                    if isinstance(told, str):
                        return told
                    self._told_nothing = False
                    emit(told)
        except BaseException:  # what it still tells of this job must not be taken for the next one's
            kill_child(child)
            raise

    def start(self) -> subprocess.Popen[str]:
        """The process, begun if it does not run: it takes some seconds to load torch, in which the page should be open already."""
        if self._child is None or self._child.poll() is not None:
            self._told: queue.Queue[Event | str] = queue.Queue()
            self._child = start_child("ti_core.job_process")
            threading.Thread(target=_read, args=(self._child, self._told), name="job-process", daemon=True).start()
        return self._child

    def _say(self, what: dict[str, Any]) -> None:
        assert self._child and self._child.stdin is not None, "it is started with a pipe"
        try:
            self._child.stdin.write(json.dumps(what) + "\n")
        except OSError:  # it has died; the reader says so
            return


def _read(child: subprocess.Popen[str], told: queue.Queue[Event | str]) -> None:
    """Pass on what the process says until it ends. A line of it that we do not understand is shown in the terminal, and the job goes on."""
    assert child.stdout is not None, "it is started with a pipe"
    try:
        for line in child.stdout:
            try:
                _pass_on(line, told)
            except (ValueError, TypeError):
                traceback.print_exc()
    finally:
        told.put(DIED)


def _pass_on(line: str, told: queue.Queue[Event | str]) -> None:
    """What is no JSON object was printed by something else, before the process took its output for itself. Raises ValueError or TypeError."""
    try:
        values = json.loads(line)
    except ValueError:
        return
    if not isinstance(values, dict):
        return
    if "device" in values:
        tell_device(DeviceState(**values["device"]))
    else:
        told.put(values["ended"] if "ended" in values else parse_event(line))


def _cause(code: int) -> str:
    return ": the system stopped it, probably because memory ran out" if code == -9 else f" (code {code}); the terminal shows why"


# ---- the other side


class _Orders:
    """What the server asks for, read by a thread of its own, so that a stop arrives while a job runs."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stops: dict[int, threading.Event] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def stop_of(self, number: int) -> threading.Event:
        return self._stops.setdefault(number, threading.Event())

    def _read(self) -> None:
        for line in sys.stdin:
            asked = json.loads(line)
            if "stop" in asked:
                self.stop_of(asked["stop"]).set()
            else:
                self.jobs.put(asked)
        os._exit(0)  # the server is gone


def main() -> None:
    """Work until the server is gone. Whatever is printed goes to the terminal, because standard output belongs to the events."""
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    orders, lock = _Orders(), threading.Lock()

    def say(line: str) -> None:
        with lock:
            out.write(line + "\n")

    import ti_core.training.loop  # noqa: F401  # torch and the rest, before somebody waits for them

    while True:
        say(json.dumps({"device": asdict(device_state())}))
        asked = orders.jobs.get()
        say(json.dumps({"ended": _do(asked, lambda event: say(event.to_json()), orders.stop_of(asked["run"]))}))


def _do(asked: dict[str, Any], emit: Emit, stop: threading.Event) -> str:
    """Empty when the job has ended well, else how it ended."""
    kind = KINDS[asked["kind"]]
    try:
        kind.run(kind.settings.from_dict(asked["settings"]), Workspace.from_dict(asked["workspace"]), emit, stop)
    except Interrupted:
        return "interrupted"
    except UserError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the one broad net of this process: whatever happens, it lives on and the page is told
        traceback.print_exc()
        return unexpected(error)
    return ""


if __name__ == "__main__":
    clean_terminal()
    main()
