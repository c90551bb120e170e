"""Writes the files that this version leaves behind: python -m tests.versions.write_files tests/versions/X.Y.Z"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import TINY, save_tiny_checkpoint
from ti_core.jobs.job import Job
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.queue import JobQueue
from ti_core.workspace import Workspace

KEPT = ("embeddings", "textual_inversion", "jobs", "datasets")
LEFT_OUT = ("tensorboard", "lock", ".caption-edits.json")
TRAINING: dict[str, Any] = {
    "embedding": "anna",
    "dataset_directory": "datasets/anna",
    "template_file": "subject_filewords.txt",
    "width": 64,
    "height": 64,
    "checkpoint": TINY,
}


def write_files(root: Path) -> None:
    """In an empty workspace: an embedding, a training that was interrupted at its fourth step, and jobs that wait."""
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    photos = root / "datasets" / "anna"
    photos.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8)).save(photos / f"{i:05d}-0-photo.png")
        (photos / f"{i:05d}-0-photo.txt").write_text(f"smiling, red shirt, number {i}", encoding="utf-8")
    jobs = JobQueue(Workspace(root))
    jobs.wait_for(_order(jobs, "create", name="anna", initialization_text="person", vectors=2, checkpoint=TINY))
    pace = {"steps": 100_000, "image_every": 2, "save_every": 2, "batch_size": 2, "preview_steps": 2}
    job = _order(jobs, "train", **TRAINING, **pace)
    while len(job.curve) < 4 and not job.has_ended:
        time.sleep(0.01)
    jobs.interrupt()
    jobs.wait_for(job)
    jobs.close()
    waiting = JobQueue(Workspace(root), is_paused=True)
    _order(waiting, "create", name="ben", initialization_text="person", checkpoint=TINY)
    _order(waiting, "train", **TRAINING, steps=6, image_every=0)
    waiting.close()


def _order(jobs: JobQueue, kind: str, **values: Any) -> Job:
    return jobs.order(kind, KINDS[kind].settings.from_dict(values))


def main() -> None:
    """Write the files, and keep what later versions have to read."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for name in KEPT:
            shutil.copytree(Path(folder) / name, target / name, ignore=shutil.ignore_patterns(*LEFT_OUT))


if __name__ == "__main__":
    main()
