"""What works on a node of the cluster: one object for each device in use, which has the device's own process do the
jobs (`jobs/child_process.py`) and keeps what it tells until the server has heard it. Nothing here needs Ray.
"""

from __future__ import annotations

import contextlib
import json
import platform
import queue
import threading
import time
from importlib.metadata import version
from os import environ
from pathlib import Path
from typing import Any

from ti_core import __version__
from ti_core.errors import UserError, unexpected
from ti_core.events import Event, Finished
from ti_core.jobs.cluster.carry import LOST, Carried, cache_folder
from ti_core.program.child import end_child, kill_child, start_child
from ti_core.program.control import Control
from ti_core.program.conversation import DIED, SILENT, Child


def facts_of_node(probe: str, secret: str) -> dict[str, Any]:
    """What the server wants to know of a node before it sends jobs there; whether it sees the workspace, by a file in
    it that holds the secret.
    """
    sees = False
    with contextlib.suppress(OSError):
        sees = Path(probe).read_text(encoding="utf-8") == secret
    return {
        "host": platform.node(),
        "program": __version__,
        "torch": version("torch"),
        "sees": sees,
        "asks_for_token": environ.get("RAY_AUTH_MODE", "").lower() == "token",
    }


class NodeWorker:
    """One device's work. All methods may be called by any thread, `hear` again and again: a worker that is not heard
    for the patience of its job takes the server for gone, and has the job save and stop.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._said_before = 0
        """How many lines were said before the first of `_lines`; the server has them."""
        self._run, self._first = -1, 0
        """The job's number, and that of its first line."""
        self._answer: tuple[int, list[dict[str, Any]]] = 0, []
        self._news = threading.Condition()
        self._orders: queue.Queue[dict[str, Any]] = queue.Queue()
        self._control = Control()
        self._heard_at, self._is_lost = time.monotonic(), False
        self._child: Child | None = None
        self._carried: Carried | None = None
        self._patience_s = 0.0
        threading.Thread(target=self._work, name="work", daemon=True).start()

    # ---- what the server asks

    def begin(self, order: dict[str, Any]) -> int:
        """Do a job: "kind", "settings", "workspace", "patience_s". Returns the number of its first line."""
        with self._news:
            if order["run"] == self._run:  # asked twice, because the first answer was lost
                return self._first
            self._run = order["run"]
            self._said_before += len(self._lines)
            self._lines, self._first = [], self._said_before
            self._control, self._is_lost, self._heard_at = Control(), False, time.monotonic()
            self._patience_s = order["patience_s"]
        self._orders.put(order)
        return self._first

    def hear(self, after: int, wait_s: float) -> tuple[list[str], int]:
        """The lines from number `after` on, once there are some or the time is up, and the number to ask for next.
        Those before it are forgotten.
        """
        with self._news:
            self._heard_at = time.monotonic()
            del self._lines[: max(0, after - self._said_before)]
            self._said_before = max(self._said_before, after)
            self._news.wait_for(lambda: self._lines, wait_s)
            self._heard_at = time.monotonic()
            return list(self._lines), self._said_before + len(self._lines)

    def stop(self) -> None:
        """Have the job save and end."""
        self._control.set()

    def ask(self, wish: str) -> None:
        """Have the job do something in between."""
        self._control.ask(wish)

    # ---- a workspace that is carried here

    def missing(self, workspace: str, files: list[tuple[str, str, int]]) -> list[str]:
        """Get ready for the files (path, hash, size) of a job; the hashes of those that are not here yet. Raises
        UserError where nothing can be kept.
        """
        self._carried = Carried(cache_folder(), workspace)
        return self._carried.missing(files)

    def put(self, digest: str, offset: int, data: bytes) -> None:
        """A piece of a file that is missing. Raises UserError where the disk is full."""
        assert self._carried, "`missing` comes first"
        self._carried.put(digest, offset, data)
        self._heard_at = time.monotonic()

    def lay_out(self, files: list[tuple[str, str, int]]) -> str:
        """A folder with these files, which the job takes for its workspace. Raises UserError."""
        assert self._carried, "`missing` comes first"
        return str(self._carried.lay_out(files))

    def results(self, taken: int) -> tuple[int, list[dict[str, Any]]]:
        """The next pieces of what the job has written, none where there is nothing new, and their number, by which the
        server says that it has taken them.
        """
        self._heard_at = time.monotonic()
        if taken == self._answer[0]:
            self._answer = taken + 1, self._carried.results() if self._carried else []
        return self._answer

    def clear(self) -> None:
        """The results are taken: the folder of the job goes."""
        if self._carried:
            self._carried.clear()

    # ---- the work

    def _work(self) -> None:
        """The thread that starts the device's process, which ends with it."""
        while True:
            order = self._orders.get()
            over = threading.Event()
            threading.Thread(target=self._watch, args=(over,), daemon=True).start()
            try:
                ended = self._do(order)
            except UserError as error:
                ended = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the page shows it and the node lives on
                ended = unexpected(error)
            over.set()
            self._say(json.dumps({"ended": LOST if self._is_lost else ended}))

    def _watch(self, over: threading.Event) -> None:
        """Stop the job if the server is not heard: it may have had another node take it up."""
        while not over.wait(0.2):
            silent_s = time.monotonic() - self._heard_at
            if silent_s > self._patience_s / 2 and not self._control.is_set():
                self._is_lost = True
                self._control.set()
            if silent_s > self._patience_s and self._child:
                kill_child(self._child.process)
                return

    def _do(self, order: dict[str, Any]) -> str:
        child = self._started()
        child.say({"devices": [], **{name: order[name] for name in ("run", "kind", "settings", "workspace")}})
        ended = child.follow(
            self._tell,
            self._control,
            lambda: child.say({"stop": order["run"]}),
            lambda wish: child.say({"ask": wish, "run": order["run"]}),
        )
        if ended in (DIED, SILENT):
            self._child = None
            end_child(child.process, within_s=1)
        if ended == DIED:
            code = child.process.returncode
            return f"The work on {platform.node()} ended by itself (code {code}). What was saved is kept."
        return ended

    def _started(self) -> Child:
        if self._child is None or self._child.process.poll() is not None:
            self._child = Child(start_child("ti_core.jobs.child_process"), also=self._take_device)
        return self._child

    def _take_device(self, said: dict[str, Any]) -> None:
        self._say(json.dumps({"device": said["device"]}))

    def _tell(self, event: Event) -> None:
        if self._is_lost and isinstance(event, Finished):  # it goes on elsewhere
            return
        self._say(self._carried.as_there(event.to_json()) if self._carried else event.to_json())

    def _say(self, line: str) -> None:
        with self._news:
            self._lines.append(line)
            self._news.notify_all()
