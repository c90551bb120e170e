"""Many people watch one training, and open and close tabs all the time: is memory flat, are updates quick, does
training keep its speed?

    python bench/soak.py [--viewers 50] [--minutes 60] [--json]

The server runs in a process of its own, shared and with a login, and trains on the built-in model. Viewers speak to
it as a browser's page does, over loopback. Of every five minutes they watch for three, watch another server that
trains nothing for one, and stay away for one. As they take as much of this machine in the second case as in the
first, the difference of the steps is what serving costs the training. It stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import psutil

USER, PASSWORD = "eve", "looks"
POLL_S = 0.8
TAB_LIVES_S = 40.0
PHASES_S = {"watched": 180.0, "elsewhere": 60.0, "away": 60.0}
SETTLE_S = 5.0
IDLE_STEP_S = 0.08


def serve(workspace_folder: Path, port: int, minutes: float, trains: bool) -> None:
    """The child: a shared page, and a training whose steps write down when they were done and what they cost; or
    steps that only pass the time.
    """
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(workspace_folder / "uploads"))
    from dataclasses import replace

    from ti_core.events import Emit, Event, StepDone
    from ti_core.jobs.kinds import KINDS
    from ti_core.jobs.process import JobProcess
    from ti_core.jobs.queue import JobQueue
    from ti_core.settings import CreateSettings, TrainSettings
    from ti_core.training.create import create_embedding
    from ti_core.ui.server.server import ServerOptions, start_page
    from ti_core.workspace import Workspace

    workspace = Workspace(workspace_folder, confined=True)
    create_embedding(CreateSettings(name="anna"), workspace)
    log = (workspace_folder / "steps.txt").open("w", buffering=1)
    kinds = JobProcess().kinds() if trains else KINDS
    server = psutil.Process()

    def timed(settings: Any, place: Workspace, emit: Emit, stop: threading.Event) -> None:
        def tell(event: Event) -> None:
            emit(event)
            if isinstance(event, StepDone):
                memory = server.memory_info().rss + sum(child.memory_info().rss for child in server.children())
                log.write(
                    f"{event.step} {time.time():.4f} {event.elapsed_s:.4f} {time.process_time():.4f}"
                    f" {memory / 2**20:.1f}\n"
                )

        kinds["train"].run(settings, place, tell, stop)

    def idle(settings: Any, place: Workspace, emit: Emit, stop: threading.Event) -> None:
        for step in itertools.count(1):
            time.sleep(IDLE_STEP_S)
            emit(StepDone(step, 0.1, 0.005, "a photo of anna", IDLE_STEP_S))

    jobs = JobQueue(workspace, {**kinds, "train": replace(kinds["train"], run=timed if trains else idle)})
    options = ServerOptions(port, user="anna", password="trains", look_user=USER, look_password=PASSWORD)
    start_page(workspace, options, jobs)
    settings = TrainSettings(
        embedding="anna",
        dataset_directory="assets/sample_photos/anna",
        template_file="subject.txt",
        steps=10_000_000,
        image_every=200,
        preview_steps=4,
        save_every=500,
    )
    jobs.order("train", settings)
    print("ready", flush=True)
    time.sleep(minutes * 60 + 600)  # the parent ends it earlier


@dataclass
class Crowd:
    """Where the viewers are to be now, and what they saw. `phases` are what was measured: name, beginning, end."""

    watched: str
    elsewhere: str
    phase: str = "watched"
    seen: dict[int, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    phases: list[tuple[str, float, float]] = field(default_factory=list)

    async def live(self, viewers: int, end: float) -> None:
        """All viewers until `end`, through the phases in turn."""
        tasks = [asyncio.create_task(self._watch(end)) for _ in range(viewers)]
        for self.phase in itertools.cycle(PHASES_S):
            began, stop = time.time() + SETTLE_S, min(end, time.time() + PHASES_S[self.phase])
            await asyncio.sleep(max(0.0, stop - time.time()))
            self.phases.append((self.phase, began, stop))
            if stop == end:
                break
        await asyncio.gather(*tasks)

    async def _watch(self, end: float) -> None:
        """One person, who opens the page again and again."""
        while time.time() < end:
            phase = self.phase
            if phase == "away":
                await asyncio.sleep(0.5)
                continue
            try:
                async with httpx.AsyncClient(
                    base_url=self.watched if phase == "watched" else self.elsewhere, timeout=30
                ) as client:
                    await _open(client)
                    await self._sit_at_tab(client, end, phase)
            except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(1)

    async def _sit_at_tab(self, client: httpx.AsyncClient, end: float, phase: str) -> None:
        """Ask as live/poll.js does until the tab is closed. What a fresh tab gets at once is old, so only later rows
        count.
        """
        closes = min(end, time.time() + random.expovariate(1 / TAB_LIVES_S))
        cursor: dict[str, Any] = {"job": "", "curve": 0, "previews": 0, "notices": 0, "evaluations": 0, "version": 0}
        cursor["runs"] = ""
        first = True
        while time.time() < closes and self.phase == phase:
            answer = (await client.get("/live", params=cursor)).raise_for_status().json()
            if answer["job"]:
                now = time.time()
                for row in () if first or phase != "watched" else answer["curve"]:
                    self.seen.setdefault(int(row[0]), []).append(now)
                first = False
                cursor = {"job": answer["job"], "curve": answer["curve_next"], "version": answer["version"]}
                cursor["runs"] = answer["runs"]["mark"]
                cursor |= {
                    rows: answer[f"{rows}_from"] + len(answer[rows]) for rows in ("previews", "notices", "evaluations")
                }
            await asyncio.sleep(POLL_S)


async def _open(client: httpx.AsyncClient) -> None:
    """Log in, get the page, and call the functions that it calls when it is opened."""
    (await client.post("/login", data={"username": USER, "password": PASSWORD})).raise_for_status()
    page = (await client.get("/")).raise_for_status().text
    config = json.loads(page.split("window.gradio_config = ", 1)[1].split(";</script>", 1)[0])
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    session = f"{random.getrandbits(64):x}"
    for event in config["dependencies"]:
        if event["backend_fn"] and any(trigger == "load" for _, trigger in event["targets"]):
            body = {"data": [values[i] for i in event["inputs"]], "fn_index": event["id"], "session_hash": session}
            (await client.post("/gradio_api/run/predict", json=body)).raise_for_status()


async def _fill(url: str) -> None:
    """Open as many pages as the server remembers, as if it had been up for long: what is measured after that should
    be flat.
    """
    from ti_core.ui.server.server import SESSIONS

    for _ in range(SESSIONS):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            await _open(client)


def soak(viewers: int, minutes: float) -> dict[str, Any]:
    """Run it and give the figures."""
    from tests.ui.journey import free_port

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        ports = {}
        for name in ("watched", "elsewhere"):
            place, ports[name] = Path(folder, name), free_port()
            place.mkdir()
            command = [
                sys.executable,
                __file__,
                "--serve",
                str(place),
                "--port",
                str(ports[name]),
                "--minutes",
                str(minutes),
            ]
            command += ["--idle"] if name == "elsewhere" else []
            server = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            servers.callback(_end, server)
            for line in server.stdout or ():
                if line.strip() == "ready":
                    break
        steps = Path(folder, "watched", "steps.txt")
        while not steps.read_text():
            time.sleep(0.5)
        asyncio.run(_fill(f"http://127.0.0.1:{ports['watched']}"))
        began = time.time()
        crowd = Crowd(*(f"http://127.0.0.1:{port}" for port in ports.values()))
        asyncio.run(crowd.live(viewers, began + minutes * 60))
        rows = [[float(x) for x in line.split()] for line in steps.read_text().splitlines() if line.count(" ") == 4]
    return {"viewers": viewers, **figures(rows, crowd, began)}


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()


def figures(rows: list[list[float]], crowd: Crowd, began: float) -> dict[str, Any]:
    """`rows` are step, time when its news came, seconds that it took, CPU time of the server, memory of all its
    processes in MB.
    """
    done = {int(row[0]): row[1] for row in rows}
    waits = sorted(when - done[step] for step, times in crowd.seen.items() if step in done for when in times)
    step_s: dict[str, list[float]] = {name: [] for name in PHASES_S}
    serving_s, phase_s = dict.fromkeys(PHASES_S, 0.0), dict.fromkeys(PHASES_S, 0.0)
    for before, after in itertools.pairwise(rows):
        phase = next((name for name, start, stop in crowd.phases if start <= before[1] and after[1] <= stop), None)
        if phase:
            step_s[phase].append(after[2])
            serving_s[phase] += after[3] - before[3]
            phase_s[phase] += after[1] - before[1]
    memory = [row[4] for row in rows if row[1] > began + 0.1 * (rows[-1][1] - began)]
    tenth = max(1, len(memory) // 10)
    mean = {name: statistics.fmean(times) for name, times in step_s.items() if times}
    slower = mean["watched"] / mean["elsewhere"] - 1 if "elsewhere" in mean else None
    return {
        "minutes": round((rows[-1][1] - began) / 60, 1),
        "steps": len(rows),
        "updates_seen": len(waits),
        "errors": len(crowd.errors),
        "update_s_median": round(statistics.median(waits), 3),
        "update_s_p95": round(waits[int(0.95 * len(waits))], 3),
        "memory_mb_begin": round(statistics.median(memory[:tenth])),
        "memory_mb_end": round(statistics.median(memory[-tenth:])),
        "step_s": {name: round(value, 4) for name, value in mean.items()},
        "slower_than_elsewhere": None if slower is None else round(slower, 4),
        "serving_share_of_a_core": {name: round(serving_s[name] / phase_s[name], 3) for name in mean},
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve), options.port, options.minutes, trains=not options.idle)
        return
    result = soak(options.viewers, options.minutes)
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
