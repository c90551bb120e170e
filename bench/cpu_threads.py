"""How torch's threads should wait for each other on a processor: seconds a step of the built-in model, alone and beside
other work.

    python -m bench.cpu_threads [--turns 3] [--seconds 8] [--beside 1]

Each variant is a process of its own, because OpenMP reads its settings when it is loaded, and they take turns, so that
whatever else the machine does meets all of them. `--beside N` measures a second time beside N threads that compute
without a pause, which is more than a browser does that shows the page. What ti_core/__init__.py sets by
itself is the row "ours".
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

VARIANTS: dict[str, dict[str, str]] = {
    "torch's own": {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "300000"},
    "spin 100000": {"GOMP_SPINCOUNT": "100000"},
    "spin 30000": {"GOMP_SPINCOUNT": "30000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "one core free": {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) - 1))},
    "ours": {},
}
BUSY = "while True: pass"


def seconds_a_step(seconds: float) -> float:
    """Median of a training of the recipe's kind; runs in a process of its own."""
    from ti_core.events import Event, StepDone
    from ti_core.settings import CreateSettings, TrainSettings
    from ti_core.training.create import create_embedding
    from ti_core.training.loop import train
    from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace

    at: list[float] = []
    stop = threading.Event()

    def heard(event: Event) -> None:
        if isinstance(event, StepDone):
            at.append(time.perf_counter())
            if at[-1] - at[0] > seconds and len(at) > 3:
                stop.set()

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        create_embedding(CreateSettings(name="x", initialization_text="person"), workspace)
        photos = f"{SHOWN_SAMPLE_PHOTOS}/anna"
        settings = TrainSettings(
            embedding="x",
            dataset_directory=photos,
            template_file="subject.txt",
            steps=10**6,
            batch_size=2,
            gradient_accumulation_steps=2,
            image_every=0,
            save_every=0,
        )
        train(settings, workspace, heard, stop)
    return statistics.median(later - sooner for sooner, later in itertools.pairwise(at))


def measured(variant: dict[str, str], seconds: float, beside: int) -> float:
    """Seconds a step of one variant, beside so many busy threads."""
    known = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in known} | variant
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(beside)]
    try:
        command = [sys.executable, "-m", "bench.cpu_threads", "--one", str(seconds)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1])
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Print a row for each variant: seconds a step, median (least and most), alone and beside others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--beside", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), help="rows to measure")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(seconds_a_step(options.one))
        return
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.turns):
        for beside in (0, options.beside):
            for name in options.only:
                found.setdefault((name, beside), []).append(measured(VARIANTS[name], options.seconds, beside))
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} threads")
    for name in options.only:
        cells = [
            f"{statistics.median(times):.3f} ({min(times):.3f}-{max(times):.3f})"
            for times in (found[name, 0], found[name, options.beside])
        ]
        print(f"{name:16} alone {cells[0]:24} beside {options.beside}: {cells[1]}")


if __name__ == "__main__":
    main()
