"""Trains on several devices from the page or the command line: a child of accelerate's launcher, whose events are
passed on as if they were ours.

The child learns everything from one file, tells its events in another, and ends, saving, when its standard input is
closed by Interrupt. Each of its processes tells there that it lives; one that does not, or that comes no further,
is not waited for. When this program is no more, they end at once.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.events import Alive, Emit, Event, Failed, Finished, parse_event
from ti_core.models.device import count_devices
from ti_core.models.warm import release_model
from ti_core.program.child import ANSWERS_WITHIN_S, SAVES_WITHIN_S, end_child, start_child
from ti_core.program.temporary_folders import temporary_folder
from ti_core.settings import TrainSettings
from ti_core.training.checks import check_count
from ti_core.workspace import Workspace

LOOK_EVERY_S = 0.1
JOB, EVENTS = "job.json", "events.jsonl"
NOT_ANSWERED = (
    "Interrupted: the processes of this training did not answer, so they were ended. Resume goes on from the last saved"
    " step."
)


def is_launched() -> bool:
    """Whether this process is one of several already; every launcher sets the variable."""
    return "LOCAL_RANK" in os.environ


def train_on_several(
    settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, run_folder: str = ""
) -> None:
    """Train on `settings.gpus` devices, or go on with the run in `run_folder`. Emits and raises as `train` does."""
    check_count(settings.gpus, count_devices())
    release_model()  # the child loads the checkpoint anew
    with temporary_folder("launch") as folder:
        (folder / EVENTS).touch()
        (folder / JOB).write_text(
            json.dumps({"settings": settings.to_dict(), "run_folder": run_folder, "workspace": workspace.to_dict()}),
            encoding="utf-8",
        )
        child = start_child(
            *_launcher(settings.gpus), "-m", "ti_core.training.distributed.worker", str(folder), listens=False
        )
        try:
            ended = _pass_on(folder / EVENTS, child, emit, stop)
            has_given_up = stop.is_set() and ended is None and child.poll() is None
        except BaseException:
            end_child(child)
            raise
        end_child(child, 0 if has_given_up else SAVES_WITHIN_S)
    if has_given_up:
        emit(Finished(NOT_ANSWERED, interrupted=True))
        return
    if isinstance(ended, Failed):
        raise UserError(ended.text)
    if ended is None:
        raise UserError(
            f"The training on {settings.gpus} devices ended by itself (code {child.returncode}); the terminal shows"
            " why.",
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
        line, asked_at, news_at = "", 0.0, 0.0
        heard_at: dict[int, float] = {}
        while not asked_at or not _is_lost(asked_at, news_at, heard_at):
            has_ended = child.poll() is not None
            while piece := file.readline():
                line += piece
                if line.endswith("\n"):
                    event, line = parse_event(line), ""
                    if isinstance(event, Alive):
                        heard_at[event.rank] = math.inf if event.ends else time.monotonic()
                    else:
                        news_at = time.monotonic()
                        yield event
            if has_ended:
                return
            if stop.is_set() and child.stdin and not asked_at:
                child.stdin.close()
                asked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)


def _is_lost(asked_at: float, news_at: float, heard_at: dict[int, float]) -> bool:
    """Whether processes that were asked to stop will not do so: one is heard no more, or nothing comes of it. What
    still begins is not heard yet.
    """
    now = time.monotonic()
    is_silent = any(now - max(asked_at, heard) > ANSWERS_WITHIN_S for heard in heard_at.values())
    return is_silent or now - max(asked_at, news_at) > SAVES_WITHIN_S


def asked_of(folder: Path) -> tuple[TrainSettings, Workspace, str]:
    """What `train_on_several` wrote down for its child."""
    asked: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    return TrainSettings.from_dict(asked["settings"]), Workspace.from_dict(asked["workspace"]), asked["run_folder"]
