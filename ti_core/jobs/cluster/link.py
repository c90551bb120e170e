"""The server's side of a cluster: a program that speaks Ray for it (`driver.py`), begun again when it ends, and the
places that the cluster has.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import queue
import subprocess
import threading
import time
import traceback
from typing import Any

from ti_core.errors import UserError
from ti_core.events import Emit, parse_event
from ti_core.jobs.cluster.place import ClusterPlace
from ti_core.jobs.worker import Worker
from ti_core.models.device import DeviceState
from ti_core.program.child import end_child, shown_command, start_child
from ti_core.program.control import wishes_of
from ti_core.program.conversation import SILENT
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

CONNECTS_WITHIN_S = 120.0
AGAIN_AFTER_S = 10.0
LOOK_EVERY_S = 0.1
PATIENCE_S = 60.0
"""So long a node may be silent before its job is taken up elsewhere; half as long, and it saves and stops by itself."""
BROKE_OFF = (
    "The Ray cluster cannot be reached any more. What was saved is kept.",
    "Press Resume when it is there again; the terminal tells when.",
)


class Link:
    """One cluster. `address` is as Ray takes it: auto, or host:port. With `carries` no node uses the workspace itself,
    even if it sees it.
    """

    def __init__(
        self,
        address: str,
        workspace: Workspace,
        without_token: bool = False,
        carries: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.workspace = workspace
        self._asked = {
            "address": address,
            "workspace": workspace.to_dict(),
            "without_token": without_token,
            "carries": carries,
            "patience_s": patience_s,
        }
        self._patience_s = patience_s
        self._places: dict[str, ClusterPlace] = {}
        self._problems: list[str] = []
        self._runs: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._number = 0
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._worker: Worker | None = None
        self._is_known, self._is_closed, self._broken = threading.Event(), threading.Event(), ""

    # ---- beginning and ending

    def open(self) -> None:
        """Connect. Raises UserError if the cluster cannot be reached, or none of its nodes can be used."""
        if importlib.util.find_spec("ray") is None:
            raise UserError(
                "--ray needs Ray, which is not installed.", f'Install it: {shown_command("pip install")} ".[cluster]"'
            )
        threading.Thread(target=self._keep, name="cluster", daemon=True).start()
        self._is_known.wait(CONNECTS_WITHIN_S)
        if not self._places:
            self.close()
            why = " ".join([self._broken, *self._problems]).strip()
            raise UserError(
                f"The Ray cluster {self._asked['address']} cannot be used. {why}".strip(),
                "Look whether Ray runs there (ray status), and at docs/cluster.md.",
            )

    def serve(self, worker: Worker) -> None:
        """Have the queue's jobs run there from now on."""
        with self._lock:
            self._worker = worker
            for place in self._places.values():
                worker.add(place)

    def close(self) -> None:
        """The server ends: what works on the cluster ends with the driver."""
        self._is_closed.set()
        if self._process:
            end_child(self._process, within_s=2)

    # ---- a job

    def run(
        self, place: ClusterPlace, kind: str, settings: Settings, emit: Emit, stop: threading.Event
    ) -> tuple[str, str]:
        """Do a job there and emit what it emits; how it ended (as in `program/conversation.py`, or LOST), and why."""
        said: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            self._number += 1
            number = self._number
            self._runs[number] = said
        try:
            self.say({"run": number, "place": place.name, "kind": kind, "settings": settings.to_dict()})
            return self._follow(number, said, emit, stop)
        finally:
            with self._lock:
                del self._runs[number]

    def _follow(
        self, number: int, said: queue.Queue[dict[str, Any]], emit: Emit, stop: threading.Event
    ) -> tuple[str, str]:
        asked_at: float | None = None
        news_at = time.monotonic()
        while True:
            now = time.monotonic()
            if stop.is_set() and asked_at is None:
                self.say({"stop": number})
                asked_at = now
            if asked_at is not None and now - max(asked_at, news_at) > 2 * self._patience_s:
                return SILENT, ""
            for wish in wishes_of(stop):
                self.say({"ask": wish, "run": number})
            if self._process is None:
                raise UserError(*BROKE_OFF)
            with contextlib.suppress(queue.Empty):
                what = said.get(timeout=LOOK_EVERY_S)
                if "ended" in what:
                    return what["ended"], what["why"]
                news_at = now
                emit(parse_event(what["line"]))

    def say(self, what: dict[str, Any]) -> None:
        """A line for the driver."""
        with self._lock:
            process = self._process
            if process and process.stdin:
                with contextlib.suppress(OSError, ValueError):  # it has ended; whoever waits for it is told so
                    process.stdin.write(json.dumps(what) + "\n")

    # ---- the driver

    def _keep(self) -> None:
        """The thread that starts the driver, again whenever it has ended: Ray ends it when the head is lost."""
        while not self._is_closed.is_set():
            process = start_child("ti_core.jobs.cluster.driver", json.dumps(self._asked))
            with self._lock:
                self._process = process
            for line in process.stdout or ():
                try:
                    self._take(json.loads(line))
                except (KeyError, TypeError, ValueError):
                    traceback.print_exc()
            end_child(process, within_s=2)
            with self._lock:
                had = bool(self._places)
                self._set_places({})  # first, so that no job begins where one has just failed
                self._process = None
            self._is_known.set()
            if had and not self._is_closed.is_set():
                print("The Ray cluster cannot be reached any more; it is tried again every few seconds.", flush=True)
            self._is_closed.wait(AGAIN_AFTER_S)

    def _take(self, said: dict[str, Any]) -> None:
        if "places" in said:
            with self._lock:
                for problem in said["problems"]:
                    if problem not in self._problems:
                        print(problem, flush=True)
                self._problems = said["problems"]
                self._set_places(said["places"])
            if said["places"] or said["problems"]:
                self._is_known.set()
        elif "run" in said:
            with self._lock:
                waiting = self._runs.get(said["run"])
            if waiting:
                waiting.put(said)
        elif "device" in said:
            place = self._places.get(said["place"])
            if place:
                place.device.report(None if said["device"] is None else DeviceState(**said["device"]))
        elif "broken" in said:
            self._broken = said["broken"]

    def _set_places(self, names: dict[str, str]) -> None:
        """What there is now. A place that is gone takes no further job; the one that it has goes on elsewhere."""
        for name in self._places.keys() - names.keys():
            del self._places[name]
            if self._worker:
                self._worker.remove(name)
        for name in names.keys() - self._places.keys():
            self._places[name] = ClusterPlace(name, self)
            if self._worker:
                self._worker.add(self._places[name])
