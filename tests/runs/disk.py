"""Runs on disk as a training leaves them, without one: a few bytes for each file, and events."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from ti_core.events import EmbeddingSaved, Evaluated, Event, Notice, PreviewSaved, StepDone
from ti_core.files import save_text
from ti_core.runs.folder import RunFolder
from ti_core.runs.plan import plan_run
from ti_core.settings import TrainSettings

RED, BLUE = (200, 30, 30), (30, 30, 200)


def make_run(
    root: Path,
    day: str = "2026-01-31",
    name: str = "anna",
    steps: Sequence[int] = (10, 20, 30),
    total: int = 30,
    first_step: int = 0,
    folder: str = "",
    colour: tuple[int, int, int] = RED,
) -> RunFolder:
    """A run of that day with a copy, a card and a preview of each of `steps`, an evaluation of each, the loss 1 / step
    of every step, and the state of the last one. It was changed last at noon of that day.
    """
    run = RunFolder(root / "textual_inversion" / day / (folder or name), name)
    settings = TrainSettings(embedding=name, dataset_directory="datasets/anna", steps=total, batch_size=7)
    content = {"initial_step": first_step, "settings": settings.to_dict()}
    save_text(run.root / f"settings-{day}-12-00-00.json", json.dumps(content))
    last, plan = steps[-1], plan_run(4, 1, 1, total)
    for event in _events(run, first_step, steps):
        run.add_event(event)
        if isinstance(event, StepDone):
            run.add_loss(plan, event.step, event.loss, event.rate)
        elif isinstance(event, Evaluated):
            run.add_evaluation(event)
    for step in steps:
        for path in (run.copy(step), run.card(step), run.preview(step)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{path.name} of {path.parent.name}".encode())
        Image.new("RGB", (32, 32), colour).save(run.preview(step))
    facts = {"step": str(last), "name": name, "suffix": ".pt"}
    save_file({"vectors.clip_l": torch.zeros(1, 4)}, run.state, metadata=facts)
    noon = datetime.fromisoformat(f"{day}T12:00:00").timestamp()
    for path in (*run.root.rglob("*"), run.root):
        os.utime(path, (noon, noon))
    return run


def _events(run: RunFolder, first_step: int, steps: Sequence[int]) -> list[Event]:
    events: list[Event] = [Notice(f"{run.name} begins.")]
    for step in range(first_step + 1, steps[-1] + 1):
        events.append(StepDone(step, 1 / step, 0.005, f"a photo of {run.name}", 0.1))
        if step in steps:
            events.append(EmbeddingSaved(step, str(run.copy(step))))
            events.append(Evaluated(step, 2 + 1 / step, step / 10, steps[0], [2.0, 2.1], (0.3, 0.5), "a"))
            events.append(PreviewSaved(step, str(run.preview(step)), f"a sketch of {run.name}"))
    return events


def make_a1111_run(root: Path, day: str = "2023-05-01", name: str = "old") -> Path:
    """What AUTOMATIC1111 leaves: copies, pictures, a table of every 500th step and its settings."""
    folder = root / "textual_inversion" / day / name
    for place, suffix in (("embeddings", "pt"), ("images", "png")):
        (folder / place).mkdir(parents=True)
        for step in (500, 1000):
            (folder / place / f"{name}-{step}.{suffix}").write_bytes(b"x")
    save_text(
        folder / "textual_inversion_loss.csv",
        "step,epoch,epoch_step,loss,learn_rate\n500,31,3,0.1234567,0.005\n1000,62,7,0.1,0.005\nhalf a li",
    )
    save_text(folder / f"settings-{day}-10-00-00.json", '{"embedding_name": "old", "steps": 1000, "initial_step": 0}')
    return folder
