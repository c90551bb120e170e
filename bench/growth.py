"""How the cost of a training grows: ten times the passes, the images, the vectors. On the built-in model, by turns
in one run, as ratios.

    python bench/growth.py [--repeats 3] [--json]

`preparation` is from the call to the first step (scan, encode; the checkpoint is loaded already), `step` the median
of the updates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from ti_core.data.preprocess import preprocess
from ti_core.events import Event, StepDone
from ti_core.settings import CreateSettings, PreprocessSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.training.presets import preprocess_values
from ti_core.workspace import SAMPLE_PHOTOS, Workspace

BASE = {"steps": 10, "images": 24, "vectors": 1}
LARGER = ("steps", "images", "vectors")


def time_run(folder: Path, steps: int, images: int, vectors: int) -> dict[str, float]:
    """A training of updates of two pictures in a fresh workspace, so that no latents are kept from before."""
    shutil.rmtree(folder, ignore_errors=True)
    workspace, events = Workspace(folder), list[tuple[float, Event]]()
    person = next(p for p in sorted(SAMPLE_PHOTOS.iterdir()) if p.is_dir())
    values = preprocess_values(str(person), "anna")
    preprocess(
        PreprocessSettings.from_dict({**values, "width": 64, "height": 64}),
        workspace,
        lambda event: None,
        threading.Event(),
    )
    dataset = workspace.root / values["destination_directory"]
    found = sorted(dataset.glob("*.png"))
    for number in range(images - len(found)):
        source, name = found[number % len(found)], f"{900 + number:05d}-0-more{number}"
        (dataset / f"{name}.png").write_bytes(
            source.read_bytes() + b"%d" % number
        )  # another file to the cache of latents
        shutil.copy(source.with_suffix(".txt"), dataset / f"{name}.txt")
    create_embedding(CreateSettings(name="anna", vectors=vectors), workspace)
    settings = TrainSettings.from_dict(
        {
            "embedding": "anna",
            "dataset_directory": values["destination_directory"],
            "template_file": "subject_filewords.txt",
            "steps": steps,
            "batch_size": 2,
            "width": 64,
            "height": 64,
            "image_every": 0,
            "save_every": 0,
        }
    )
    began = time.perf_counter()
    train(settings, workspace, lambda event: events.append((time.perf_counter(), event)), threading.Event())
    ended = [(when, event) for when, event in events if isinstance(event, StepDone)]
    step = statistics.median(event.elapsed_s for _, event in ended)
    return {
        "preparation": ended[0][0] - ended[0][1].elapsed_s - began,
        "step": step,
        "whole": time.perf_counter() - began,
    }


def growth(repeats: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "workspace"
        time_run(folder, **BASE)  # the first run of a process loads the checkpoint
        turns = [
            {
                "base": time_run(folder, **BASE),
                **{what: time_run(folder, **{**BASE, what: 10 * BASE[what]}) for what in LARGER},
            }
            for _ in range(repeats)
        ]
    found: dict[str, Any] = {
        "base": {part: round(statistics.median(turn["base"][part] for turn in turns), 3) for part in turns[0]["base"]}
    }
    for what in LARGER:
        found[f"{what} x 10"] = {
            part: round(statistics.median(turn[what][part] / turn["base"][part] for turn in turns), 2)
            for part in turns[0]["base"]
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    found = growth(options.repeats)
    print(json.dumps(found) if options.json else "\n".join(f"{name:<14}{values}" for name, values in found.items()))


if __name__ == "__main__":
    main()
