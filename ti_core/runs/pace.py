"""How fast trainings were on this computer, from the runs on disk: what the page says of the time before a start."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median

from ti_core.errors import UserError
from ti_core.files import load_json
from ti_core.runs.folder import EVENTS, saved_settings, saved_steps
from ti_core.runs.plan import plan_run
from ti_core.settings import TrainSettings
from ti_core.workspace import Workspace

MOST_RUNS = 20
"""So many of the newest runs are looked at."""
TAIL_BYTES = 200_000
"""Of a run's events: some hundred steps, also of a run of days."""
SAME = ("checkpoint", "precision", "gpus", "gradient_checkpointing", "encoders_to_ram", "compile_unet", "kind")
"""The settings that another pace goes with, beside the size of the pictures."""


@dataclass(frozen=True)
class Pace:
    """Seconds that an image of an update takes, and that a preview adds with its copy and its evaluation; medians."""

    image_s: float
    preview_s: float

    def seconds(self, images_per_step: int, steps: int, image_every: int) -> float:
        """How long so many steps take."""
        previews = steps // image_every if image_every > 0 else 0
        return self.image_s * images_per_step * max(0, steps) + self.preview_s * previews


def find_pace(settings: TrainSettings, size_px: int, workspace: Workspace) -> Pace | None:
    """The pace of the newest run with the same checkpoint, size and devices; None if there was none yet. `size_px` is
    the checkpoint's own size, which 0 stands for.
    """
    root = workspace.root / TrainSettings().log_directory
    files = [(path.stat().st_mtime_ns, path) for path in root.glob(f"*/*/{EVENTS}")]
    wanted = _kind(settings, size_px)
    for changed, file in sorted(files, reverse=True)[:MOST_RUNS]:
        found = _pace_of(file.parent, changed, size_px)
        if found and found[0] == wanted:
            return found[1]
    return None


def _kind(settings: TrainSettings, size_px: int) -> tuple[object, ...]:
    return (settings.width or size_px, settings.height or size_px, *(getattr(settings, name) for name in SAME))


@lru_cache(maxsize=100)
def _pace_of(run: Path, changed: int, size_px: int) -> tuple[tuple[object, ...], Pace] | None:
    """What was trained in a run's folder, and how fast; kept until its events have changed (`changed`)."""
    try:
        settings = saved_settings(run).settings
        images = int(load_json(sorted(run.glob("settings-*.json"))[-1])["num_of_dataset_images"])
    except (UserError, KeyError, TypeError, ValueError):
        return None
    plan = plan_run(max(1, images), settings.batch_size, settings.gradient_accumulation_steps, settings.steps)
    taken = _step_seconds(run / EVENTS)
    if not taken:
        return None
    step_s = median(taken)
    every = settings.image_every
    added = max(0.0, (_copy_seconds(list(saved_steps(run).items())) or 0.0) - step_s) * every
    return _kind(settings, size_px), Pace(step_s / max(1, plan.images_per_step), added)


def _step_seconds(events: Path) -> list[float]:
    """How long the last steps took; the first one, which still warms up, is left out where there are others."""
    try:
        with events.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    taken = []
    for line in lines:
        if line.startswith('{"event": "StepDone"'):
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                elapsed_s = float(json.loads(line)["elapsed_s"])
                taken += [elapsed_s] if math.isfinite(elapsed_s) else []
    return taken[1:] or taken


def _copy_seconds(copies: Sequence[tuple[int, Path]]) -> float | None:
    """Seconds a step, everything included, by the times at which the copies were written; None for fewer than two."""
    try:
        times = [(step, path.stat().st_mtime) for step, path in copies]
    except OSError:
        return None
    paces = [(later - before) / (step - last) for (last, before), (step, later) in pairwise(times)]
    return median(paces) if paces else None
