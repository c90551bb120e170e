"""A process that does jobs, as `ti_core.jobs.child_process` is one, without torch and with the faults that a real one
can have.

`python -m tests.difficult_child FAULT`; what a job does is said by the name in its settings.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import types

from ti_core.errors import Interrupted
from ti_core.events import Emit, Finished, Progress
from ti_core.jobs import child_process
from ti_core.jobs.kind import JobKind
from ti_core.models.device import DeviceState
from ti_core.program import conversation
from ti_core.settings import CreateSettings
from ti_core.workspace import Workspace

WORKING = DeviceState("cpu", "CPU", 2**30)


def do(settings: CreateSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    emit(Progress(f"pid {os.getpid()}", 0, 1))
    match settings.name:
        case "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "regex":
            re.search(r"(a|aa)+$", "a" * 100 + "b")  # holds the interpreter's lock for ever
        case "long":
            stop.wait()
            time.sleep(1)  # saves, and says nothing of it, but lets other threads run
            emit(Finished("saved", interrupted=True))
        case "deaf":
            time.sleep(10_000)
        case "waits":
            stop.wait()
            raise Interrupted


def main(fault: str) -> None:
    sys.modules["ti_core.training.loop"] = types.ModuleType("torch takes seconds")
    child_process.KINDS = {"create": JobKind(CreateSettings, lambda *_: ("", ""), do)}
    conversation.ALIVE_EVERY_S = 0.2
    asked = 0

    def device_state() -> DeviceState:
        nonlocal asked
        asked += 1
        if fault == "no device" or (fault == "device goes" and asked > 1):
            raise RuntimeError("CUDA error: unspecified launch failure")
        if fault == "dies" and asked > 1:  # its output is closed before it has ended
            os.closerange(3, 100)
            time.sleep(3)
            raise SystemExit(3)
        return WORKING

    child_process.device_state = device_state
    child_process.device_is_open = lambda: fault != "closed card"
    child_process.main()


if __name__ == "__main__":
    main(sys.argv[1])
