"""Many small trainings of many people: how many in a minute with so many workers, what does the queue cost, does
everybody get their turn, and is anything lost when the server is killed in between?

    python -m bench.scale [--jobs 1000] [--users 20] [--workers 1 2 4] [--json]

Each worker is a process with one thread on a tiny random checkpoint of 16 px pictures. Each person orders all their
jobs at once, one person after the other. When half of the jobs have ended, the server is killed and started again, and
what was interrupted is resumed. Meanwhile the page is asked for as a browser asks for it.

The last line holds `jobs_per_min` by workers; `queue_ms_per_job`: the processor time of ordering, checking, keeping,
beginning and ending one job, where the job itself does nothing; and `lost`: how many trainings have not made their
embedding. `order_ms` and `next_ms` (from the end of a job to the beginning of the next one in its place) are times by
the clock, beside all that the machine does meanwhile. `server_mb` and `page_ms_p95` are of each tenth of the jobs and
of the questions, in the order of time; `page_ms` are those within which 50, 95 and 100 of 100 were answered.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

T = TypeVar("T")
STEPS = 2
LOG, READY = "scale.txt", "ready"
ASK_EVERY_S = 0.5
NEWS = "/live?job=&curve=0&previews=0&notices=0&evaluations=0&version=0&runs="


def serve(folder: Path, port: int, users: int, each: int, workers: int) -> None:
    """The server: a page, the places, and the jobs, if it is the first one. It writes down what begins and ends."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(folder / "uploads"))
    from ti_core.errors import UserError
    from ti_core.events import Emit
    from ti_core.jobs.device_place import DevicePlace
    from ti_core.jobs.job import Job
    from ti_core.jobs.place import BIG
    from ti_core.jobs.process import JobProcess
    from ti_core.jobs.queue import JobQueue
    from ti_core.program.child import end_with_parent
    from ti_core.ui.server.server import ServerOptions, start_page
    from ti_core.workspace import Workspace

    end_with_parent()
    workspace, server = Workspace(folder), psutil.Process()
    log = (folder / LOG).open("a", buffering=1)

    class Timed(DevicePlace):
        def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
            log.write(f"begin {time.time()} {self.name} {job.owner}\n")
            try:
                super().run(job, emit, beside)
            finally:
                log.write(f"end {time.time()} {self.name} {server.memory_info().rss // 2**20}\n")

    places = [
        Timed(f"worker-{number}", workspace, JobProcess("cpu"), frozenset({BIG}), is_early=True)
        for number in range(workers)
    ]
    jobs = JobQueue(workspace, is_paused=True, places=places)
    is_first = not any((folder / "jobs").glob("*.json"))
    interrupted = [job for job in jobs.table.ordered() if job.state == "interrupted"]
    for job in interrupted:
        try:
            jobs.resume(job.id, job.owner) if job.resume_step is not None else jobs.again(job.id, job.owner)
        except UserError as error:  # it was killed after its last step, before that was written down
            print(f"Not resumed: {error}", file=sys.stderr)
    for user in range(users) if is_first else ():
        for number in range(each):
            began = time.perf_counter()
            jobs.order("train", settings_of(user, number), f"user-{user}")
            log.write(f"order {time.perf_counter() - began} - -\n")
    start_page(workspace, ServerOptions(port), jobs)
    jobs.begin()
    print(READY, flush=True)
    while jobs.waiting() or jobs.running():
        time.sleep(0.2)
    log.write(f"done {time.time()} - -\n")
    sys.stdin.read()


def measure(jobs: int, users: int, workers: int) -> dict[str, Any]:
    """All jobs with so many workers."""
    from tests.ui.journey import free_port

    each = max(1, jobs // users)
    with tempfile.TemporaryDirectory(prefix="ti-scale-") as place:
        folder, port = Path(place), free_port()
        make_workspace(folder, [f"u{user}-{number}" for user in range(users) for number in range(each)])
        pages, is_over = [list[float](), list[float]()], threading.Event()
        threading.Thread(target=ask, args=(port, pages, is_over), daemon=True).start()
        server = start(folder, port, users, each, workers)
        wait_for(folder, server, "end", users * each // 2)
        server.kill()
        server.wait()
        server = start(folder, port, users, each, workers)
        wait_for(folder, server, "done", 1)
        is_over.set()
        server.kill()
        server.wait()
        rows = [line.split() for line in (folder / LOG).read_text().splitlines()]
        return {**figures(rows), "lost": lost(folder), **answers("page", pages[0]), **answers("news", pages[1])}


def answers(what: str, times_ms: list[float]) -> dict[str, Any]:
    """How long they took."""
    shares = [percentile(times_ms, share) for share in (0.5, 0.95, 1.0)]
    return {f"{what}_ms": shares, f"{what}_ms_p95": [percentile(part, 0.95) for part in tenths(times_ms)]}


def queue_cost(jobs: int, users: int) -> dict[str, float]:
    """The queue alone: jobs with real settings go through it, and do nothing."""
    from ti_core.jobs.place import ServerPlace
    from ti_core.jobs.queue import JobQueue
    from ti_core.workspace import Workspace

    class Idle(ServerPlace):
        def run(self, job: Any, emit: Any, beside: Sequence[str] = ()) -> None:
            pass

    each = max(1, jobs // users)
    with tempfile.TemporaryDirectory(prefix="ti-scale-") as place:
        folder = Path(place)
        make_workspace(folder, [f"u{user}-{number}" for user in range(users) for number in range(each)])
        queue = JobQueue(Workspace(folder), is_paused=True, places=[Idle("idle")])
        cpu_s, began = time.process_time(), time.perf_counter()
        for user in range(users):
            for number in range(each):
                queue.order("train", settings_of(user, number), f"user-{user}")
        queue.begin()
        while queue.waiting() or queue.running():
            time.sleep(0.2)
        cpu_s, clock_s = time.process_time() - cpu_s, time.perf_counter() - began
        queue.close()
    return {"cpu_ms": round(1000 * cpu_s / (each * users), 1), "clock_ms": round(1000 * clock_s / (each * users), 1)}


def settings_of(user: int, number: int) -> Any:
    """A tiny training."""
    from ti_core.settings import TrainSettings

    return TrainSettings(
        embedding=f"u{user}-{number}",
        dataset_directory="datasets/anna",
        template_file="subject.txt",
        checkpoint="tiny",
        steps=STEPS,
        image_every=0,
        save_every=0,
    )


def make_workspace(folder: Path, names: list[str]) -> None:
    """A tiny checkpoint, a dataset, and an embedding for each job."""
    import numpy as np
    from PIL import Image

    from tests.conftest import save_tiny_checkpoint
    from ti_core.settings import CreateSettings
    from ti_core.training.create import create_embedding
    from ti_core.workspace import Workspace

    workspace, pictures = Workspace(folder), folder / "datasets" / "anna"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("smiling", encoding="utf-8")
    save_tiny_checkpoint(folder / "models" / "Stable-diffusion" / "tiny")
    first = create_embedding(CreateSettings(name=names[0], checkpoint="tiny", vectors=1), workspace)
    for name in names[1:]:
        shutil.copyfile(first, first.with_name(f"{name}.pt"))


def start(folder: Path, port: int, users: int, each: int, workers: int) -> subprocess.Popen[str]:
    """The server, once its page is open."""
    numbers = [str(value) for value in (port, users, each, workers)]
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder), *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    assert server.stdout
    if not any(line.strip() == READY for line in server.stdout):
        raise SystemExit("The server did not open its page.")
    threading.Thread(target=server.stdout.read, daemon=True).start()  # a full pipe would stop it
    return server


def wait_for(folder: Path, server: subprocess.Popen[str], what: str, count: int) -> None:
    """Until the server has written so many lines of this kind."""
    while sum(line.startswith(f"{what} ") for line in (folder / LOG).read_text().splitlines()) < count:
        if server.poll() is not None:
            raise SystemExit(f"The server ended by itself (code {server.returncode}).")
        time.sleep(0.2)


def ask(port: int, pages: list[list[float]], is_over: threading.Event) -> None:
    """Ask for the page and for the run panel's news, as a browser does; a server that is not there is not counted."""
    while not is_over.wait(ASK_EVERY_S):
        for address, times_ms in zip(("/", NEWS), pages, strict=True):
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{address}", timeout=60) as answer:
                    answer.read()
            except OSError:
                continue
            times_ms.append(1000 * (time.perf_counter() - began))


def figures(rows: list[list[str]]) -> dict[str, Any]:
    """`rows` are what, when (or how long, in s), the place, and the owner or the server's memory in MB."""
    gaps, busy_s, last_end = list[float](), 0.0, dict[str, float]()
    previous: float | None = None
    started: Counter[str] = Counter()
    memory, ahead, first_turn = list[int](), 0, dict[str, int]()
    orders = [1000 * float(row[1]) for row in rows if row[0] == "order"]
    total = Counter(row[3] for row in rows if row[0] == "begin")
    for what, when, place, more in rows:
        if what == "begin":
            first_turn.setdefault(more, sum(started.values()))
            started[more] += 1
            waiting = [started[name] for name in total if started[name] < total[name]]
            ahead = max([ahead, *(started[more] - least for least in waiting)])
            if place in last_end:
                gaps.append(1000 * (float(when) - last_end[place]))
        elif what == "end":
            last_end[place] = float(when)
            memory.append(int(more))
        if what in ("begin", "end"):
            since = float(when) - previous if previous is not None else 0.0
            previous = float(when)
            busy_s += since if since < 5 else 0.0  # the restart is no work
    ended = len(memory)
    return {
        "jobs_per_min": round(60 * ended / busy_s, 1) if busy_s else 0.0,
        "order_ms": percentile(orders, 0.5),
        "next_ms": percentile(gaps, 0.5),
        "next_ms_p95": percentile(gaps, 0.95),
        "first_turn_last": max(first_turn.values(), default=0),
        "most_jobs_ahead": ahead,
        "server_mb": [statistics.median(part) for part in tenths(memory)],
    }


def tenths(values: list[T]) -> list[list[T]]:
    """Cut into ten parts of about equal length, fewer where there are fewer values."""
    cuts = [len(values) * number // 10 for number in range(11)]
    return [values[begin:end] for begin, end in itertools.pairwise(cuts) if end > begin]


def percentile(values: list[float], share: float) -> float:
    """0 where there is none."""
    return round(sorted(values)[int(share * (len(values) - 1))], 1) if values else 0.0


def lost(folder: Path) -> int:
    """How many embeddings were not trained to the end."""
    from ti_core.embeddings.formats import load_embedding

    return sum(load_embedding(path).step != STEPS for path in (folder / "embeddings").glob("u*.pt"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        folder, *numbers = options.serve
        serve(Path(folder), *map(int, numbers))
        return
    cost = queue_cost(options.jobs, options.users)
    found = {str(workers): measure(options.jobs, options.users, workers) for workers in options.workers}
    result = {
        "jobs": options.jobs,
        "users": options.users,
        "cores": os.cpu_count(),
        "jobs_per_min": {workers: row["jobs_per_min"] for workers, row in found.items()},
        "queue_ms_per_job": cost["cpu_ms"],
        "queue_clock_ms_per_job": cost["clock_ms"],
        "lost": sum(row["lost"] for row in found.values()),
        "by_workers": found,
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
