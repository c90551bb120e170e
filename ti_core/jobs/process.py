"""Runs jobs in a process of their own, so that open pages take nothing from a training, and a crash of the one is
none of the other.

It lives as long as the server and keeps its model loaded from job to job. Both sides send a line of JSON for each
thing they say; when the server is gone, the process ends at once, and the run's folder says where it can go on.

A thread of the process says every two seconds that it lives. One that is stopped, swapped out, or kept by a regular
expression without end says nothing; a long computation does. So nobody who works is taken for dead, and Interrupt
ends what does not answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Alive, Emit, Event, Finished, parse_event
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.models.device import DeviceState, device_state, expect_device, tell_device
from ti_core.program.child import (
    ALIVE_EVERY_S,
    ANSWERS_WITHIN_S,
    GONE_WITHIN_S,
    SAVES_WITHIN_S,
    end_child,
    kill_child,
    start_child,
)
from ti_core.program.signals import NAMES
from ti_core.program.terminal import clean_terminal
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

LOOK_EVERY_S, CLOSES_WITHIN_S = 0.1, 2.0
DIED, SILENT = "died", "silent"
NOT_ANSWERED = (
    "Interrupted: the work did not answer, so it was ended. What was saved last is kept; a training goes on from there"
    " with Resume."
)


class JobProcess:
    """The server's side. `kinds` are those of the line, but run over there; jobs come one after the other."""

    def __init__(self) -> None:
        self._number, self._told_nothing = 0, True
        self._child: _Child | None = None
        self._is_idle = threading.Event()
        self._is_idle.set()
        expect_device()

    def kinds(self, kinds: Mapping[str, JobKind] = KINDS) -> dict[str, JobKind]:
        return {name: replace(kind, run=partial(self.run, name)) for name, kind in kinds.items()}

    def run(self, kind: str, settings: Settings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
        """Do a job over there, and emit and raise here what it emits and raises there. Raises UserError if the
        process dies.
        """
        self._number += 1
        order = {"run": self._number, "kind": kind, "settings": settings.to_dict(), "workspace": workspace.to_dict()}
        ended = self._follow(order, emit, stop)
        if ended == DIED and self._told_nothing:  # it was dying of the job before
            ended = self._follow(order, emit, stop)
        if ended == "interrupted":
            raise Interrupted
        if ended == SILENT:
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
        self._is_idle.clear()
        child = self._started()
        child.say(order)
        asked_at, alive_at, self._told_nothing = None, 0.0, True
        news_at = looked_at = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                if stop.is_set() and asked_at is None:
                    child.say({"stop": order["run"]})
                    asked_at = now
                if asked_at is not None and now - looked_at > LOOK_EVERY_S + 1:  # this program was stopped itself
                    asked_at = now
                looked_at = now
                if asked_at is not None and (
                    now - max(asked_at, child.heard_at) > ANSWERS_WITHIN_S
                    or now - max(asked_at, news_at) > SAVES_WITHIN_S
                ):
                    self._kill(child)
                    return SILENT
                if child.heard_at - alive_at >= ALIVE_EVERY_S:
                    alive_at = child.heard_at
                    emit(Alive())
                with contextlib.suppress(queue.Empty):
                    told = child.told.get(timeout=LOOK_EVERY_S)
                    if isinstance(told, str):
                        return told
                    self._told_nothing, news_at = False, time.monotonic()
                    emit(told)
        except BaseException:  # what it still tells of this job must not be taken for the next one's
            self._kill(child)
            raise
        finally:
            self._is_idle.set()

    def _kill(self, child: _Child) -> None:
        kill_child(child.process)
        self._child = None  # the next job gets a new one, even where the system could not clear this one away

    def start(self) -> subprocess.Popen[str]:
        """The process, begun if it does not run: it takes some seconds to load torch, in which the page should be
        open already.
        """
        return self._started().process

    def _started(self) -> _Child:
        if self._child is None or self._child.process.poll() is not None:
            self._child = _Child()
        return self._child

    def close(self) -> None:
        """When the server ends: the closed pipe ends the process, and if it does not hear that, it is killed.

        A training that has told its end has still to close its tables.
        """
        self._is_idle.wait(CLOSES_WITHIN_S)
        if self._child:
            end_child(self._child.process, within_s=1)


class _Child:
    """The process, what it has told, and when it was heard last."""

    def __init__(self) -> None:
        self.process = start_child("ti_core.jobs.process")
        self.told: queue.Queue[Event | str] = queue.Queue()
        self.heard_at = time.monotonic()
        threading.Thread(target=self._read, name="job-process", daemon=True).start()

    def say(self, what: dict[str, Any]) -> None:
        assert self.process.stdin is not None, "it is started with a pipe"
        with contextlib.suppress(OSError, ValueError):  # it has died; the reader says so
            self.process.stdin.write(json.dumps(what) + "\n")

    def _read(self) -> None:
        """Pass on what the process says until it is gone. A line of it that we do not understand is shown in the
        terminal, and the job goes on.

        Its output closes before it has ended: only then nobody may write to it any more, so its end is waited for.
        """
        assert self.process.stdout is not None, "it is started with a pipe"
        try:
            for line in self.process.stdout:
                self.heard_at = time.monotonic()
                try:
                    _pass_on(line, self.told)
                except (ValueError, TypeError):
                    traceback.print_exc()
        finally:
            end_child(self.process, GONE_WITHIN_S)
            self.told.put(DIED)


def _pass_on(line: str, told: queue.Queue[Event | str]) -> None:
    """What is no JSON object was printed by something else, before the process took its output for itself. Raises
    ValueError or TypeError.
    """
    try:
        values = json.loads(line)
    except ValueError:
        return
    if not isinstance(values, dict):
        return
    if "device" in values:
        tell_device(DeviceState(**values["device"]) if values["device"] is not None else None)
    elif "ended" in values:
        told.put(values["ended"])
    elif not isinstance(event := parse_event(line), Alive):  # that it was heard is all that this one says
        told.put(event)


def _cause(code: int | None) -> str:
    return (
        ": the system stopped it, probably because memory ran out"
        if code == -9
        else f" (code {code}); the terminal shows why"
    )


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
    """Work until the server is gone. Whatever is printed goes to the terminal, because standard output belongs to
    the events.
    """
    for number in (getattr(signal, name, None) for name in NAMES):
        if (
            number is not None
        ):  # a system that shuts down tells all programs at once, and only the server knows what is to be saved
            signal.signal(number, lambda *_: None)
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    orders, lock = _Orders(), threading.Lock()

    def say(line: str) -> None:
        with lock:
            out.write(line + "\n")

    threading.Thread(target=_say_alive, args=(say,), daemon=True).start()
    try:
        _work(orders, say)
    except BaseException:  # noqa: BLE001 - it ends below, and the terminal shows why
        traceback.print_exc()
    finally:
        os._exit(
            1
        )  # at once: what Python and a driver tidy up at an orderly end may hang, while the server still writes to us


def _work(orders: _Orders, say: Callable[[str], None]) -> None:
    """Do one job after the other; gives up where a device has stopped to answer this process, because another one
    may get an answer.
    """
    import ti_core.training.loop  # noqa: F401  # torch and the rest, before somebody waits for them

    answered = _tell_device(say)
    while True:
        asked = orders.jobs.get()
        say(json.dumps({"ended": _do(asked, lambda event: say(event.to_json()), orders.stop_of(asked["run"]))}))
        if not _tell_device(say) and answered:
            print("The process that trains ends; the next job gets a new one.", file=sys.stderr)
            return


def _say_alive(say: Callable[[str], None]) -> None:
    while True:
        time.sleep(ALIVE_EVERY_S)
        say(Alive().to_json())


def _tell_device(say: Callable[[str], None]) -> bool:
    """Whether it could be asked. What needs none, such as creating an embedding, works on where it could not."""
    try:
        state = device_state()
    except Exception as error:  # noqa: BLE001 - whatever a driver does, this process lives on
        print(error if isinstance(error, UserError) else unexpected(error), file=sys.stderr)
        say(json.dumps({"device": None}))
        return False
    say(json.dumps({"device": asdict(state)}))
    return True


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
