"""Trains on several devices from the page or the command line: a child of accelerate's launcher, whose events are passed on as if they were ours.

The child learns everything from one file, tells its events in another, and ends, saving, when its standard input is closed: by Interrupt, or
because this program is no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ti_core.child_process import SAVES_WITHIN_S, end_child, start_child
from ti_core.errors import UserError
from ti_core.events import Emit, Event, Failed, Finished, parse_event
from ti_core.models.device import count_devices
from ti_core.models.warm import forget
from ti_core.settings import TrainSettings
from ti_core.training.checks import check_count
from ti_core.workspace import Workspace

LOOK_EVERY_S = 0.1
JOB, EVENTS = "job.json", "events.jsonl"


def is_launched() -> bool:
    """Whether this process is one of several already; every launcher sets the variable."""
    return "LOCAL_RANK" in os.environ


def train_on_several(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, run_folder: str = "") -> None:
    """Train on `settings.gpus` devices, or go on with the run in `run_folder`. Emits and raises as `train` does."""
    check_count(settings.gpus, count_devices())
    forget()  # the child loads the checkpoint anew
    with tempfile.TemporaryDirectory(prefix="ti-launch-") as name:
        folder = Path(name)
        (folder / EVENTS).touch()
        (folder / JOB).write_text(json.dumps({"settings": settings.to_dict(), "run_folder": run_folder, "workspace": workspace.to_dict()}), encoding="utf-8")
        child = start_child(*_launcher(settings.gpus), "-m", "ti_core.training.launched", str(folder), listens=False)
        try:
            ended = _pass_on(folder / EVENTS, child, emit, stop)
        finally:
            end_child(child)
    if isinstance(ended, Failed):
        raise UserError(ended.text)
    if ended is None:
        raise UserError(
            f"The training on {settings.gpus} devices ended by itself (code {child.returncode}); the terminal shows why.",
            "Press Resume to go on from the last saved step, or set GPUs to 1.",
        )


def _launcher(count: int) -> list[str]:
    several = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count), "--num_machines", "1"]
    return [*several, "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def _pass_on(events: Path, child: subprocess.Popen[str], emit: Emit, stop: threading.Event) -> Event | None:
    """Emit the child's events until it ends. Its Failed or its Finished, or None if it ended without saying how."""
    ended: Event | None = None
    for event in _read(events, child, stop):
        if isinstance(event, Failed):
            return event
        emit(event)
        ended = event if isinstance(event, Finished) else ended
    return ended


def _read(events: Path, child: subprocess.Popen[str], stop: threading.Event) -> Iterator[Event]:
    with events.open(encoding="utf-8") as file:
        line, asked_at = "", 0.0
        while not asked_at or time.monotonic() - asked_at < SAVES_WITHIN_S:
            has_ended = child.poll() is not None
            while piece := file.readline():
                line += piece
                if line.endswith("\n"):
                    yield parse_event(line)
                    line = ""
            if has_ended:
                return
            if stop.is_set() and child.stdin and not asked_at:
                child.stdin.close()
                asked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)


def asked_of(folder: Path) -> tuple[TrainSettings, Workspace, str]:
    """What `train_on_several` wrote down for its child."""
    asked: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    return TrainSettings.from_dict(asked["settings"]), Workspace.from_dict(asked["workspace"]), asked["run_folder"]
