"""Trains one update on a checkpoint of full size with random weights, and prints how long it took and the most
memory it held.

    python -m bench.full_size --family sd1|sd2|sdxl [--size 128] [--work FOLDER]

The weights are written as a folder in half precision (2 to 7 GB in --work) and read by the ordinary loader.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.peak import Peak
from bench.random_models import save_random_checkpoint
from ti_core.events import Event, Finished, Started, StepDone
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import Family
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.workspace import Workspace


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="sd1")
    parser.add_argument("--size", type=int, default=128, help="pictures are trained at this size (default: 128)")
    parser.add_argument(
        "--work", default="", help="where the checkpoint is kept between runs (default: a temporary folder)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(FAMILIES[args.family], args.size, Path(args.work or temporary))
    return 0


def run(family: Family, size_px: int, work: Path) -> None:
    workspace = Workspace(work)
    folder = workspace.checkpoints / f"random-{family.name}"
    if not (folder / "done").exists():
        save_random_checkpoint(family, folder)
        (folder / "done").touch()
    pictures = workspace.datasets / "noise"
    pictures.mkdir(parents=True, exist_ok=True)
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (size_px, size_px, 3), np.uint8)).save(
            pictures / f"{i}.png"
        )
        (pictures / f"{i}.txt").write_text("noise")
    create_embedding(
        CreateSettings(name="it", overwrite=True, initialization_text="face", checkpoint=folder.name), workspace
    )
    settings = TrainSettings(
        embedding="it",
        dataset_directory=str(pictures),
        template_file="subject_filewords.txt",
        learning_rate="0.005",
        batch_size=2,
        steps=1,
        image_every=0,
        save_every=0,
        width=size_px,
        height=size_px,
        checkpoint=folder.name,
        precision="float32",
    )
    began, seen = time.perf_counter(), []

    def watch(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Started | Finished):
            print(
                f"{time.perf_counter() - began:6.1f} s  {event.plan if isinstance(event, Started) else event.text}",
                flush=True,
            )

    with Peak(0.1, own=True) as peak:
        train(settings, workspace, watch, threading.Event())
    step = next(event for event in seen if isinstance(event, StepDone))
    print(
        f"{family.title}, {size_px} px, 2 pictures: 1 update in {step.elapsed_s:.1f} s, loss {step.loss:.4f}, peak"
        f" memory {peak.bytes / 2**30:.1f} GB"
    )


if __name__ == "__main__":
    sys.exit(main())
