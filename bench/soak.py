"""Many people watch one training, and open and close tabs all the time: is memory flat, are updates quick, does training keep its speed?

    python bench/soak.py [--viewers 50] [--minutes 60] [--json]

The server runs in a process of its own, shared and with a login, and trains on the built-in model. Viewers speak to it as a browser's page
does, over loopback. Every fifth minute they all stay away, so that steps with and without them are measured under the same load of the
machine. It stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

USER, PASSWORD = "eve", "looks"
POLL_S = 0.8
TAB_LIVES_S = 40.0
CYCLE_S, PAUSE_S, SETTLE_S = 300.0, 60.0, 5.0


def serve(workspace_folder: Path, port: int, minutes: float) -> None:
    """The child: a shared page, and a training whose steps write down when they were done and what they cost."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(workspace_folder / "uploads"))
    from dataclasses import replace

    from ti_core.events import Emit, Event, StepDone
    from ti_core.job_kinds import KINDS
    from ti_core.jobs import JobQueue
    from ti_core.settings import CreateSettings
    from ti_core.training.create import create_embedding
    from ti_core.ui.server import Door, start_page
    from ti_core.workspace import Workspace

    workspace = Workspace(workspace_folder, confined=True)
    create_embedding(CreateSettings(name="anna"), workspace)
    log = (workspace_folder / "steps.txt").open("w", buffering=1)
    kind = KINDS["train"]

    def timed(settings: Any, place: Workspace, emit: Emit, stop: threading.Event) -> None:
        def tell(event: Event) -> None:
            emit(event)
            if isinstance(event, StepDone):
                rss_kb = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
                log.write(f"{event.step} {time.time():.4f} {time.thread_time():.4f} {time.process_time():.4f} {rss_kb}\n")

        kind.run(settings, place, tell, stop)

    jobs = JobQueue(workspace, {**KINDS, "train": replace(kind, run=timed)})
    door = Door(port, user="anna", password="trains", look_user=USER, look_password=PASSWORD)
    start_page(workspace, door, jobs)
    values = {"embedding": "anna", "dataset_directory": "assets/sample_photos/anna", "template_file": "subject.txt", "steps": 10_000_000}
    jobs.order("train", {**values, "batch_size": 1, "image_every": 200, "preview_steps": 4, "save_every": 500})
    print("ready", flush=True)
    time.sleep(minutes * 60 + 600)  # the parent ends it earlier


async def watch(url: str, end: float, away: asyncio.Event, seen: dict[int, list[float]], errors: list[str]) -> None:
    """One person, who opens the page again and again."""
    while time.time() < end:
        try:
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                (await client.post("/login", data={"username": USER, "password": PASSWORD})).raise_for_status()
                (await client.get("/")).raise_for_status()
                config = (await client.get("/config")).json()
                strip = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "live")
                await _sit_at_tab(client, strip, end, away, seen)
        except (httpx.HTTPError, KeyError, StopIteration, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(1)
        while away.is_set() and time.time() < end:
            await asyncio.sleep(0.5)


async def _sit_at_tab(client: httpx.AsyncClient, strip: int, end: float, away: asyncio.Event, seen: dict[int, list[float]]) -> None:
    """Poll as live.js does until the tab is closed. What a fresh tab gets at once is old, so only later rows count."""
    closes = min(end, time.time() + random.expovariate(1 / TAB_LIVES_S))
    cursor: dict[str, Any] = {"job": "", "curve": 0, "previews": 0, "notices": 0, "version": 0}
    session, first = f"{random.getrandbits(64):x}", True
    while time.time() < closes and not away.is_set():
        body = {"data": cursor, "session_hash": session, "component_id": strip, "fn_name": "poll"}
        answer = await client.post("/gradio_api/component_server", json=body)
        answer.raise_for_status()
        told = answer.json()
        if told["job"]:
            now = time.time()
            for row in () if first else told["curve"]:
                seen.setdefault(int(row[0]), []).append(now)
            first = False
            cursor = {
                "job": told["job"],
                "curve": told["curve_next"],
                "previews": told["previews_from"] + len(told["previews"]),
                "notices": 0,
                "version": told["version"],
            }
        await asyncio.sleep(POLL_S)


async def _crowd(url: str, viewers: int, end: float) -> tuple[dict[int, list[float]], list[str], list[tuple[float, float]]]:
    """All viewers, and the times at which they were all away."""
    away, seen, errors, pauses = asyncio.Event(), {}, [], []  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(watch(url, end, away, seen, errors)) for _ in range(viewers)]
    while time.time() < end:
        await asyncio.sleep(max(0.0, min(CYCLE_S - PAUSE_S, end - time.time())))
        if end - time.time() < PAUSE_S:
            continue
        away.set()
        began = time.time()
        await asyncio.sleep(PAUSE_S)
        pauses.append((began + SETTLE_S, time.time()))
        away.clear()
    await asyncio.gather(*tasks)
    return seen, errors, pauses


def soak(viewers: int, minutes: float) -> dict[str, Any]:
    """Run it and give the figures; `slower` compares steps with and without viewers, each beside the other in time."""
    from tests.ui.journey import free_port

    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, __file__, "--serve", folder, "--port", str(port), "--minutes", str(minutes)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            for line in server.stdout or ():
                if line.strip() == "ready":
                    break
            steps = Path(folder, "steps.txt")
            while server.poll() is None and not steps.read_text():
                time.sleep(0.5)
            began = time.time()
            seen, errors, pauses = asyncio.run(_crowd(f"http://127.0.0.1:{port}", viewers, began + minutes * 60))
            rows = [[float(x) for x in line.split()] for line in steps.read_text().splitlines() if line.count(" ") == 4]
        finally:
            server.kill()
            server.wait()
    return figures(rows, seen, errors, pauses, began, viewers)


def figures(
    rows: list[list[float]], seen: dict[int, list[float]], errors: list[str], pauses: list[tuple[float, float]], began: float, viewers: int
) -> dict[str, Any]:
    """`rows` are step, time, CPU time of the training's thread and of the whole server, memory in kB."""
    done = {int(row[0]): row[1] for row in rows}
    waits = sorted(when - done[step] for step, times in seen.items() if step in done for when in times)
    alone: list[float] = []
    watched: list[float] = []
    serving = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for before, after in itertools.pairwise(rows):
        if after[1] < began:
            continue
        paused = any(start <= before[1] and after[1] <= stop for start, stop in pauses)
        if not paused and any(start - SETTLE_S <= after[1] <= stop + SETTLE_S for start, stop in pauses):
            continue
        (alone if paused else watched).append(after[1] - before[1])
        serving[paused][0] += (after[3] - before[3]) - (after[2] - before[2])
        serving[paused][1] += after[1] - before[1]
    memory = [row[4] / 1024 for row in rows if row[1] > began + 0.1 * (rows[-1][1] - began)]
    tenth = max(1, len(memory) // 10)
    return {
        "viewers": viewers, "minutes": round((rows[-1][1] - began) / 60, 1), "steps": len(rows), "updates_seen": len(waits), "errors": len(errors),
        "update_s_median": round(statistics.median(waits), 3), "update_s_p95": round(waits[int(0.95 * len(waits))], 3),
        "memory_mb_begin": round(statistics.median(memory[:tenth])), "memory_mb_end": round(statistics.median(memory[-tenth:])),
        "step_s_alone": round(statistics.median(alone), 4) if alone else None, "step_s_watched": round(statistics.median(watched), 4),
        "serving_share_of_a_core": round(serving[False][0] / serving[False][1], 3),
        "serving_share_alone": round(serving[True][0] / serving[True][1], 3) if serving[True][1] else None,
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve), options.port, options.minutes)
        return
    result = soak(options.viewers, options.minutes)
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
