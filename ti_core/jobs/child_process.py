"""The process that does the server's jobs, one after the other (`process.py` starts it).

The server says {"run": number, "kind": ..., "settings": ..., "workspace": ..., "devices": [...]} for a job, {"stop":
number} to stop it, {"ask": wish, "run": number} for what a page wishes of it in between, and {"look": true} to be told
which devices there are. What it is told is events, {"device": ...}, {"devices": ...} and {"ended": ...}.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from functools import partial
from typing import Any

from ti_core.errors import UserError, unexpected
from ti_core.events import Emit
from ti_core.jobs.kinds import KINDS
from ti_core.models.chosen_device import TOGETHER, device_is_open
from ti_core.models.device import device_state
from ti_core.models.devices import look_at_devices
from ti_core.program.control import Control
from ti_core.program.conversation import Voice, ended_by
from ti_core.program.signals import NAMES
from ti_core.program.terminal import clean_terminal
from ti_core.workspace import Workspace


class _Orders:
    """What the server asks for, read by a thread of its own, so that a stop arrives while a job runs."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self._controls: dict[int, Control] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def control_of(self, number: int) -> Control:
        """What is set when the job of this number is to stop, and holds what is wished of it."""
        return self._controls.setdefault(number, Control())

    def _read(self) -> None:
        for line in sys.stdin:
            asked = json.loads(line)
            if "stop" in asked:
                self.control_of(asked["stop"]).set()
            elif "ask" in asked:
                self.control_of(asked["run"]).ask(asked["ask"])
            else:
                self.jobs.put(asked)
        os._exit(0)  # the server is gone


def main() -> None:
    """Work until the server is gone. Whatever is printed goes to the terminal, because standard output belongs to
    what is said to the server.
    """
    for number in (getattr(signal, name, None) for name in NAMES):
        # a system that shuts down tells all programs at once, and only the server knows what is to be saved
        if number is not None:
            signal.signal(number, lambda *_: None)
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        _work(_Orders(), Voice(out))
    except BaseException:  # noqa: BLE001 - it ends below, and the terminal shows why
        traceback.print_exc()
    finally:
        # at once: what Python and a driver tidy up at an orderly end may hang, while the server still writes to us
        os._exit(1)


def _work(orders: _Orders, voice: Voice) -> None:
    """Do one job after the other; gives up where a device has stopped to answer this process, because another one
    may get an answer.
    """
    import ti_core.training.loop  # noqa: F401  # torch and the rest, before somebody waits for them

    # a card is asked only where a job has opened it, because that alone would take some of its memory
    answers = _tell_device(voice) if device_is_open() else None
    while True:
        asked = orders.jobs.get()
        if "look" in asked:
            found = [(name, asdict(state) if state else None) for name, state in look_at_devices()]
            voice.say({"devices": found})
            continue
        voice.say({"ended": _do(asked, voice.emit, orders.control_of(asked["run"]))})
        if not device_is_open():
            continue
        answered, answers = answers, _tell_device(voice)
        if not answers and answered is not False:
            print("The process that trains ends; the next job gets a new one.", file=sys.stderr)
            return


def _tell_device(voice: Voice) -> bool:
    """Whether it could be asked. What needs none, such as creating an embedding, works on where it could not."""
    try:
        state = device_state()
    except Exception as error:  # noqa: BLE001 - whatever a driver does, this process lives on
        print(error if isinstance(error, UserError) else unexpected(error), file=sys.stderr)
        voice.say({"device": None})
        return False
    voice.say({"device": asdict(state)})
    return True


def _do(asked: dict[str, Any], emit: Emit, stop: threading.Event) -> str:
    """Do the job; how it ended."""
    kind = KINDS[asked["kind"]]
    os.environ[TOGETHER] = ",".join(asked.get("devices", ()))
    try:
        settings, workspace = kind.settings.from_dict(asked["settings"]), Workspace.from_dict(asked["workspace"])
        return ended_by(partial(kind.run, settings, workspace, emit, stop))
    except Exception as error:  # noqa: BLE001 - the one broad net of this process: it lives on and the page is told
        traceback.print_exc()
        return unexpected(error)


if __name__ == "__main__":
    clean_terminal()
    main()
