"""How long a training will take is told from the runs before it, and from nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from tests.conftest import TINY
from ti_core.events import StepDone
from ti_core.runs.pace import find_pace
from ti_core.settings import TrainSettings
from ti_core.training.presets import describe_plan
from ti_core.workspace import Workspace

SETTINGS = TrainSettings(
    embedding="anna",
    dataset_directory="datasets/anna",
    checkpoint=TINY,
    batch_size=2,
    gradient_accumulation_steps=2,
    steps=40,
    image_every=10,
)


def write_run(
    workspace: Workspace, settings: TrainSettings = SETTINGS, step_s: float = 2.0, name: str = "anna"
) -> Path:
    """A run of 40 steps on 4 images with a preview every 10 steps, which took 5 s with all that goes with it."""
    run = workspace.root / "textual_inversion" / "2026-11-29" / name
    (run / "embeddings").mkdir(parents=True)
    kept = {"num_of_dataset_images": 4, "settings": settings.to_dict()}
    (run / "settings-2026-11-29-10-00-00.json").write_text(json.dumps(kept))
    steps = [StepDone(step, 0.1, 0.005, "a photo", 60.0 if step == 1 else step_s).to_json() for step in range(1, 41)]
    (run / "events.jsonl").write_text("\n".join(["half a line", *steps]) + "\n")
    for step in (10, 20, 30, 40):
        copy = run / "embeddings" / f"anna-{step}.pt"
        copy.write_bytes(b"x")
        os.utime(copy, (1e9 + step * step_s + step / 10 * 5,) * 2)
    return run


def test_steps_and_previews_of_the_last_run_give_the_time(workspace: Workspace) -> None:
    write_run(workspace)
    pace = find_pace(SETTINGS, 64, workspace)
    assert pace is not None
    assert (round(pace.image_s, 3), round(pace.preview_s, 3)) == (0.5, 5.0)
    assert round(pace.seconds(4, 100, 10)) == 250 and round(pace.seconds(8, 100, 0)) == 400


def test_another_checkpoint_size_or_device_has_another_pace(workspace: Workspace) -> None:
    write_run(workspace)
    for other in ({"checkpoint": "big"}, {"width": 512}, {"precision": "float16"}, {"gpus": 2}):
        assert find_pace(replace(SETTINGS, **other), 64, workspace) is None
    assert find_pace(replace(SETTINGS, width=64, height=64), 64, workspace) is not None


def test_damaged_runs_are_passed_over_and_the_newest_counts(workspace: Workspace) -> None:
    old = write_run(workspace, step_s=1.0)
    os.utime(old / "events.jsonl", (1e9, 1e9))
    write_run(workspace, step_s=3.0, name="anna-2")
    broken = write_run(workspace, name="anna-3")
    (broken / "settings-2026-11-29-10-00-00.json").write_text("{")
    empty = write_run(workspace, name="anna-4")
    (empty / "events.jsonl").write_text("")
    for name, number in (("anna-5", "9" * 400), ("anna-6", "NaN")):
        odd = write_run(workspace, name=name)
        (odd / "events.jsonl").write_text(f'{{"event": "StepDone", "elapsed_s": {number}}}\n')
    pace = find_pace(SETTINGS, 64, workspace)
    assert pace is not None and round(pace.image_s * 4) == 3


def test_the_plan_says_the_time_or_that_it_is_not_known(workspace: Workspace, dataset: Path) -> None:
    assert describe_plan(workspace, SETTINGS).startswith("How long it takes is not known before the first steps.")
    write_run(workspace)
    assert describe_plan(workspace, SETTINGS).startswith("About ")
