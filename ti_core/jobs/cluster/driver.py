"""The program that speaks Ray for the server (`link.py` starts it), because Ray ends the program that uses it when the
cluster's head is lost, and because nothing of Ray is imported where no cluster is asked for.

The server says {"run": number, "place": name, "kind": ..., "settings": ...}, {"stop": number}, {"ask": wish, "run":
number} and {"release": place}. What it is told is {"places": {name: host}, "problems": [...]} whenever the cluster has
changed, {"run": number, "line": event}, {"run": number, "ended": text, "why": sentence} and {"place": name, "device":
state}.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ti_core import __version__
from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Progress
from ti_core.files import save_text
from ti_core.jobs.cluster.carrier import Carrier, pieces_of
from ti_core.jobs.cluster.carry import LOST
from ti_core.jobs.cluster.node import NodeWorker, facts_of_node
from ti_core.program.conversation import INTERRUPTED, Voice
from ti_core.program.terminal import clean_terminal
from ti_core.workspace import Workspace

LOOK_EVERY_S = 5.0
HEAR_S = 0.5
ANSWER_S = 10.0
STARTS_WITHIN_S = 120.0
"""From the order of a node's worker until it answers, without waiting for a free device."""
MOST_CPUS = 4
"""Of a node without graphics cards, for one job: more make a small training no faster."""


@dataclass
class _Node:
    id: str
    host: str
    places: list[str]
    sees: bool = True


@dataclass
class _Worker:
    """A place's worker on a node; `heard_at` is when it answered last."""

    node: _Node
    actor: Any
    taken: int = 0
    """Number of the results that were taken last."""
    heard_at: float = field(default_factory=time.monotonic)


class Lost(Exception):
    """The worker or its node is gone."""


class Driver:
    """One cluster, as the server sees it."""

    def __init__(self, asked: dict[str, Any], voice: Voice) -> None:
        self._voice, self._workspace = voice, Workspace.from_dict(asked["workspace"])
        self._patience_s, self._needs_token = float(asked["patience_s"]), not asked["without_token"]
        self._carries = bool(asked["carries"])
        self._carrier = Carrier(self._workspace)
        self._nodes: dict[str, _Node] = {}
        self._refused: dict[str, str] = {}
        self._workers: dict[str, _Worker] = {}
        self._runs: dict[int, str] = {}
        self._stopped: set[int] = set()
        self._share = 1.0
        self._lock = threading.RLock()

    # ---- the cluster

    def watch(self) -> None:
        """Tell of the places, now and whenever nodes come or go; does not return."""
        reported: Any = None
        while True:
            self._look()
            with self._lock:
                places = {name: node.host for node in self._nodes.values() for name in node.places}
                now = {"places": places, "problems": list(self._refused.values())}
            if now != reported:
                self._voice.say(now)
                reported = now
            time.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        there = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        devices = {name: node["Resources"] for name, node in there.items()}
        has_cards = any(resources.get("GPU", 0) >= 1 for resources in devices.values())
        cores = [resources.get("CPU", 0) for resources in devices.values() if resources.get("CPU", 0) >= 1]
        with self._lock:
            for gone in self._nodes.keys() - there.keys():
                del self._nodes[gone]
            if not self._workers:  # the same for all, because sums depend on the number of threads
                self._share = min([MOST_CPUS, *cores], default=1)
            self._has_cards = has_cards
            unknown = [name for name in there if name not in self._nodes and name not in self._refused]
        for name in unknown:
            count = int(devices[name].get("GPU", 0)) if has_cards else int(devices[name].get("CPU", 0) // self._share)
            if count:
                self._take_in(name, there[name], count)

    def _take_in(self, node_id: str, node: dict[str, Any], count: int) -> None:
        """Ask a new node what it is, and use it, or note why not."""
        host = str(node.get("NodeManagerHostname") or node.get("NodeManagerAddress"))
        secret, probe = secrets.token_hex(16), self._workspace.root / f".ti-probe-{secrets.token_hex(4)}"
        ask = ray.remote(facts_of_node).options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node_id))
        try:
            save_text(probe, secret)
            facts = ray.get(ask.remote(str(probe), secret), timeout=STARTS_WITHIN_S)
        except (RayError, OSError) as error:
            if any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes()):
                why = str(error).strip().splitlines()[-1]
                self._refused[node_id] = f"The node {host} is not used: {why[:300]}"
            return
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        if why := self._unfit(facts):
            self._refused[node_id] = f"The node {host} is not used, because {why}"
            return
        with self._lock:
            if any(other.host == host for other in self._nodes.values()):
                host = f"{host}-{node_id[:4]}"
            names = [f"{host}:{number}" for number in range(count)]
            self._nodes[node_id] = _Node(node_id, host, names, facts["sees"] and not self._carries)
        if not facts["sees"]:
            print(
                f"The node {host} does not see {self._workspace.root}: photos and results are carried to it and back.",
                file=sys.stderr,
            )

    def _unfit(self, facts: dict[str, Any]) -> str:
        from importlib.metadata import version

        if facts["program"] != __version__:
            return (
                f"it has version {facts['program']} of this program, and this computer {__version__}. Update it there."
            )
        if facts["torch"] != version("torch"):
            return f"it has torch {facts['torch']}, not {version('torch')} as here. Install the same there."
        if self._needs_token and not facts["asks_for_token"]:
            return (
                "it asks for no token, so whoever reaches its ports can run programs there. Start Ray there with"
                " RAY_AUTH_MODE=token, or start this program with --ray-without-token."
            )
        return ""

    # ---- what the server asks

    def take(self, asked: dict[str, Any]) -> None:
        """An order of the server."""
        if "release" in asked:
            self._drop(asked["release"])
        elif "stop" in asked:
            self._stopped.add(asked["stop"])
            self._tell(asked["stop"], "stop")
        elif "ask" in asked:
            self._tell(asked["run"], "ask", asked["ask"])
        else:
            self._runs[asked["run"]] = asked["place"]
            threading.Thread(target=self._run, args=(asked,), daemon=True).start()

    def _tell(self, run: int, method: str, *values: Any) -> None:
        worker = self._workers.get(self._runs.get(run, ""))
        if worker:
            getattr(worker.actor, method).remote(*values)

    def _drop(self, place: str) -> None:
        with self._lock:
            worker = self._workers.pop(place, None)
        if worker:
            ray.kill(worker.actor)

    # ---- a job

    def _run(self, asked: dict[str, Any]) -> None:
        ended, why = "", ""
        try:
            ended = self._work(asked)
        except Lost as lost:
            ended, why = LOST, str(lost)
            worker = self._workers.get(asked["place"])
            with self._lock:
                if worker:  # until it has answered again
                    self._nodes.pop(worker.node.id, None)
            self._drop(asked["place"])
        except Interrupted:
            ended = INTERRUPTED
        except UserError as error:
            ended = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page shows it, and the other jobs go on
            traceback.print_exc()
            ended = unexpected(error)
        with self._lock:
            if not any(asked["place"] in node.places for node in self._nodes.values()):  # its node is gone
                self._drop(asked["place"])
        self._runs.pop(asked["run"], None)
        self._stopped.discard(asked["run"])
        self._voice.say({"run": asked["run"], "ended": ended, "why": why})

    def _work(self, asked: dict[str, Any]) -> str:
        worker = self._worker(asked)
        if worker is None:
            return INTERRUPTED
        workspace = self._workspace.to_dict()
        if not worker.node.sees:
            workspace = self._carry_out(worker, asked)
        order = {**asked, "workspace": workspace, "patience_s": self._patience_s}
        after = self._ask(worker, "begin", order)
        if asked["run"] in self._stopped:  # while it was carried out
            self._ask(worker, "stop")
        while True:
            lines, after = self._ask(worker, "hear", after, HEAR_S)
            ended = next((text for line in lines if (text := json.loads(line).get("ended")) is not None), None)
            if not worker.node.sees:
                self._carry_back(worker)  # before the lines, because they tell of the files
            for line in lines:
                said = json.loads(line)
                if "event" in said:
                    self._voice.say({"run": asked["run"], "line": line})
                elif "device" in said:
                    self._voice.say({"place": asked["place"], "device": said["device"]})
            if ended == LOST:
                raise Lost(f"The node {worker.node.host} could not be reached for a while, so it saved and stopped.")
            if ended is not None:
                if not worker.node.sees:
                    self._ask(worker, "clear")
                return str(ended)

    def _worker(self, asked: dict[str, Any]) -> _Worker | None:
        """The worker of the place, which keeps its model loaded; or a new one, once its device is free. None if the job
        is to stop before that. Raises Lost.
        """
        place = asked["place"]
        worker = self._workers.get(place)
        if worker and worker.node.id in self._nodes:
            return worker
        while (node := self._node_for(place)) is None:
            if self._waits_in_vain(asked, "a node of the cluster"):
                return None
        devices = {"num_gpus": 1} if self._has_cards else {"num_cpus": self._share}
        fixed = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 8, "scheduling_strategy": _on(node.id)}
        worker = _Worker(node, ray.remote(NodeWorker).options(**devices, **fixed).remote())
        with self._lock:
            self._workers[place] = worker
        while True:
            try:
                ray.get(worker.actor.hear.remote(0, 0), timeout=HEAR_S)
                worker.heard_at = time.monotonic()
                return worker
            except GetTimeoutError:
                if node.id not in self._nodes:
                    raise Lost(f"The node {node.host} is gone.") from None
            except RayError as error:
                raise Lost(f"The node {node.host} is gone.") from error
            if self._waits_in_vain(asked, f"a free device on {node.host}"):
                self._drop(place)
                return None

    def _node_for(self, place: str) -> _Node | None:
        """That of the place, or the one with the most devices that are not in use."""
        with self._lock:
            used = Counter(other.node.id for other in self._workers.values())
            nodes = sorted(self._nodes.values(), key=lambda node: used[node.id] / len(node.places))
            return next((node for node in nodes if place in node.places), nodes[0] if nodes else None)

    def _waits_in_vain(self, asked: dict[str, Any], what: str) -> bool:
        """Tell what is waited for, a moment long; whether the job is to stop."""
        self._event(asked, Progress(f"Waiting for {what}", 0, 1))
        time.sleep(HEAR_S)
        return asked["run"] in self._stopped

    def _ask(self, worker: _Worker, method: str, *values: Any) -> Any:
        """What the worker answers. Raises Lost once it is certain that the job is worked on there no more."""
        while True:
            try:
                answer = ray.get(getattr(worker.actor, method).remote(*values), timeout=ANSWER_S)
                worker.heard_at = time.monotonic()
                return answer
            except (ActorUnavailableError, GetTimeoutError):
                if self._silent_s(worker) < self._patience_s:
                    continue
            except RayActorError:
                # it stops by itself within this time, if it is only out of reach
                time.sleep(max(0.0, self._patience_s - self._silent_s(worker)))
            except RayError as error:
                raise _cause_of(error) from error
            raise Lost(f"The node {worker.node.host} is gone.")

    def _silent_s(self, worker: _Worker) -> float:
        return time.monotonic() - worker.heard_at

    def _event(self, asked: dict[str, Any], event: Any) -> None:
        self._voice.say({"run": asked["run"], "line": event.to_json()})

    # ---- a workspace that is carried

    def _carry_out(self, worker: _Worker, asked: dict[str, Any]) -> dict[str, Any]:
        files = self._carrier.files(asked["settings"])
        missing = self._ask(worker, "missing", str(self._workspace.root), list(files))
        paths = {digest: path for (_, digest, _), path in files.items()}
        for number, digest in enumerate(missing):
            if asked["run"] in self._stopped:
                raise Interrupted
            self._event(asked, Progress(f"Carrying {paths[digest].name} to {worker.node.host}", number, len(missing)))
            for offset, data in pieces_of(paths[digest]):
                self._ask(worker, "put", digest, offset, data)
        return self._carrier.for_node(self._ask(worker, "lay_out", list(files)))

    def _carry_back(self, worker: _Worker) -> None:
        while True:
            number, pieces = self._ask(worker, "results", worker.taken)
            for piece in pieces:
                self._carrier.take(piece)
            worker.taken = number
            if not pieces:
                return


def _on(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def _cause_of(error: RayError) -> Exception:
    """What the worker raised there."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, UserError) else error


def _read_orders(driver: Driver) -> None:
    for line in sys.stdin:
        driver.take(json.loads(line))
    os._exit(0)  # the server is gone


def main(asked: dict[str, Any]) -> None:
    """Connect, and work until the server is gone."""
    out = os.dup(1)
    os.dup2(2, 1)  # whatever Ray prints goes to the terminal
    voice = Voice(out)
    try:
        ray.init(
            address=asked["address"],
            log_to_driver=False,
            include_dashboard=False,
            configure_logging=True,
            logging_level=logging.ERROR,
        )
        driver = Driver(asked, voice)
        threading.Thread(target=_read_orders, args=(driver,), daemon=True).start()
        driver.watch()
    except BaseException as error:  # noqa: BLE001 - it ends below, and the server says why
        voice.say({"broken": " ".join(str(error).split())[:300]})
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    clean_terminal()
    main(json.loads(sys.argv[1]))
