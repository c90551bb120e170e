"""Kills training runs at random moments, resumes them, and compares with an unbroken run bit for bit; then lets
every kind of write fail.

    python bench/faults.py [--kills 200] [--json] [--seed 0]

Each run trains a tiny checkpoint on four pictures in a process of its own. SIGKILL comes after a random time, often
several times before the run is through; `python -m ti_core resume` goes on, or `train` where nothing had been saved
yet. A file is broken if it cannot be read at any moment after a kill. `steps_lost` counts updates that were done
and had to be done again.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from ti_core import files
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.events import Event, Finished, Started, StepDone
from ti_core.runs.folder import saved_step
from ti_core.settings import CreateSettings, ResumeSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import resume, train
from ti_core.workspace import Workspace

NAME, STEPS, SAVE_EVERY = "anna", 40, 7


def values(**more: Any) -> dict[str, Any]:
    return {
        "embedding": NAME,
        "dataset_directory": f"datasets/{NAME}",
        "template_file": "subject_filewords.txt",
        "checkpoint": "tiny",
        "steps": STEPS,
        "learning_rate": "0.05:10, 0.02",
        "save_every": SAVE_EVERY,
        "image_every": 0,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "shuffle_tags": True,
        "tag_drop_out": 0.1,
        "latent_sampling_method": "random",
        "precision": "float32",
        **more,
    }


def make_workspace(folder: Path) -> Workspace:
    """A tiny checkpoint, four pictures with captions, and a new embedding."""
    from tests.conftest import save_tiny_checkpoint

    workspace = Workspace(folder)
    save_tiny_checkpoint(workspace.checkpoints / "tiny")
    pictures = workspace.datasets / NAME
    pictures.mkdir(parents=True)
    colours = random.Random(0)
    for i in range(4):
        Image.new("RGB", (16, 16), tuple(colours.randrange(256) for _ in range(3))).save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text(f"smiling, red shirt, number {i}")
    create_embedding(CreateSettings(name=NAME, checkpoint="tiny", vectors=2), workspace)
    return workspace


def run(workspace: Workspace, what: str, kill_after_s: float | None = None) -> tuple[bool, int, str, float]:
    """Train, or resume the folder `what`, in a copy of this process, which has torch loaded already; kill it after
    some seconds.

    Gives whether it ended by itself, the last step that was done, the run's folder, and how long it took.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(workspace, what, writing)
    os.close(writing)
    step, folder, ended, text = 0, "", False, b""
    began = time.monotonic()
    while True:
        left_s = None if kill_after_s is None else max(0.0, began + kill_after_s - time.monotonic())
        if not select.select([reading], [], [], left_s)[0]:
            os.kill(child, signal.SIGKILL)
            kill_after_s = None
            continue
        piece = os.read(reading, 65536)
        text += piece
        if not piece:
            break
    os.close(reading)
    os.waitpid(child, 0)
    for line in text.decode().splitlines():
        word, _, rest = line.partition(" ")
        step, folder, ended = (
            (int(rest) if word == "step" else step),
            (rest if word == "folder" else folder),
            ended or word == "end",
        )
    return ended, step, folder, time.monotonic() - began


def _be_the_child(workspace: Workspace, what: str, writing: int) -> None:
    """Never returns."""

    def tell(event: Event) -> None:
        if isinstance(event, StepDone):
            os.write(writing, f"step {event.step}\n".encode())
        elif isinstance(event, Started):
            os.write(writing, f"folder {event.folder}\n".encode())

    try:
        if what == "train":
            train(TrainSettings.from_dict(values()), workspace, tell, threading.Event())
        else:
            resume(ResumeSettings(what), workspace, tell, threading.Event())
        os.write(writing, b"end\n")
    finally:
        os._exit(0)


def broken_files(workspace: Workspace) -> int:
    """Embeddings and states that cannot be read; a part that a killed process left behind is none, it is written
    anew.
    """
    count = 0
    for path in (
        p
        for place in ("embeddings", "textual_inversion")
        for p in (workspace.root / place).rglob("*")
        if not p.name.startswith(".")
    ):
        try:
            if path.suffix == ".pt":
                load_embedding(path)
            elif path.suffix == ".safetensors":
                load_file(path)
        except (UserError, SafetensorError, OSError):
            count += 1
    return count


def kill_runs(kills: int, seed: int, tell: Callable[[str], object] = print) -> dict[str, int]:
    """Until there were that many kills. Every run is compared with the unbroken one when it is through."""
    torch.set_num_threads(1)
    chance, result = (
        random.Random(seed),
        {"kills": 0, "runs": 0, "bit_equal": 0, "broken_files": 0, "steps_lost_max": 0, "killed_before_a_state": 0},
    )
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder))
        target = workspace.embeddings / f"{NAME}.pt"
        fresh = target.read_bytes()
        run(workspace, "train")
        expected = target.read_bytes()
        _reset(workspace, fresh)
        takes_s = run(workspace, "train")[3]
        assert target.read_bytes() == expected, "two unbroken runs differ, so nothing can be compared"
        while result["kills"] < kills:
            _reset(workspace, fresh)
            result["runs"] += 1
            what, ended = "train", False
            while not ended:
                after_s = chance.uniform(0, takes_s) if result["kills"] < kills else None
                ended, done, run_folder, _ = run(workspace, what, after_s)
                if ended:
                    break
                result["kills"] += 1
                result["broken_files"] += broken_files(workspace)
                saved = saved_step(Path(run_folder)) if run_folder else None
                if saved is not None:
                    what = run_folder
                    result["steps_lost_max"] = max(result["steps_lost_max"], done - saved)
                result["killed_before_a_state"] += what == "train"
            same = target.read_bytes() == expected
            result["bit_equal"] += same
            tell(f"run {result['runs']}: {result['kills']} kills so far, {'bit equal' if same else 'DIFFERENT'}")
    return result


def _reset(workspace: Workspace, fresh: bytes) -> None:
    shutil.rmtree(workspace.root / "textual_inversion", ignore_errors=True)
    for path in workspace.embeddings.iterdir():
        path.unlink()
    (workspace.embeddings / f"{NAME}.pt").write_bytes(fresh)


FAULTS = {"disk full": errno.ENOSPC, "permission lost": errno.EACCES, "device error": errno.EIO}
WRITES = (
    "state.safetensors",
    f"{NAME}-{SAVE_EVERY}.pt",
    f"{NAME}.pt",
    f"{NAME}.pt.optim",
    "events.jsonl",
    "textual_inversion_loss.csv",
)


def fail_writes() -> list[dict[str, Any]]:
    """Let each file's writes fail in each way, the second time it is written; then resume, and compare."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder))
        target = workspace.embeddings / f"{NAME}.pt"
        fresh, settings = target.read_bytes(), TrainSettings.from_dict(values(steps=10))
        train(settings, workspace, lambda event: None, threading.Event())
        expected = target.read_bytes()
        replace, opened = os.replace, Path.open
        for name in WRITES:
            for fault, number in FAULTS.items():
                _reset(workspace, fresh)
                seen: list[Event] = []
                count = [0]

                def broken(path: Path, name: str = name, number: int = number, count: list[int] = count) -> None:
                    count[0] += path.name == name
                    if path.name == name and (count[0] > 1 or name.startswith(NAME)):
                        raise OSError(number, os.strerror(number))

                def failing_replace(part: Any, path: Any) -> None:
                    broken(Path(path))
                    replace(part, path)

                def failing_open(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
                    if "a" in mode:
                        broken(path)
                    return opened(path, mode, *more, **named)

                files.os.replace, Path.open = failing_replace, failing_open  # type: ignore[assignment, method-assign]
                try:
                    train(settings, workspace, seen.append, threading.Event())
                    error_text = ""
                except UserError as error:
                    error_text = str(error)
                finally:
                    files.os.replace, Path.open = replace, opened  # type: ignore[assignment, method-assign]
                intact = target.read_bytes() in (fresh, expected) and not broken_files(workspace)
                run_folder = next(Path(event.folder) for event in seen if hasattr(event, "folder"))
                resume(ResumeSettings(str(run_folder)), workspace, lambda event: None, threading.Event())
                rows.append(
                    {
                        "write": name,
                        "fault": fault,
                        "told": error_text,
                        "intact": intact,
                        "read_as_finished": any(isinstance(e, Finished) for e in seen),
                        "resumed_bit_equal": target.read_bytes() == expected,
                    }
                )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    result = kill_runs(options.kills, options.seed, tell=lambda line: print(line, file=sys.stderr, flush=True))
    writes = fail_writes()
    print(f"{'write':<28} {'fault':<16} {'intact':<7} {'resumed':<10} told")
    for row in writes:
        print(
            f"{row['write']:<28} {row['fault']:<16} {'yes' if row['intact'] else 'NO':<7}"
            f" {'bit equal' if row['resumed_bit_equal'] else 'NO':<10} {row['told']}"
        )
    print(
        f"\n{result['kills']} kills in {result['runs']} runs: {result['bit_equal']} of {result['runs']} bit equal,"
        f" {result['broken_files']} broken files,"
    )
    print(
        f"at most {result['steps_lost_max']} steps done twice; {result['killed_before_a_state']} kills came before"
        " anything was saved."
    )
    if options.json:
        print(json.dumps(result))
    good = result["bit_equal"] == result["runs"] and not result["broken_files"]
    return (
        0
        if good
        and all(
            row["told"] and row["intact"] and row["resumed_bit_equal"] and not row["read_as_finished"] for row in writes
        )
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
