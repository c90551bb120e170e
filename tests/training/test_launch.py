"""Training on several devices from the page: two CPU processes under accelerate's own launcher stand for two GPUs."""
# ruff: noqa: F811 - pytest takes fixtures by the names of parameters

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, train  # noqa: F401 - anna is a fixture
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.events import Finished, PreviewSaved, Started, StepDone, parse_event
from ti_core.models.device import count_devices
from ti_core.settings import CreateSettings, ResumeSettings
from ti_core.training import loop
from ti_core.training.create import create_embedding
from ti_core.workspace import REPOSITORY, Workspace


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_two_devices_give_the_vectors_of_one_and_tell_the_same(workspace: Workspace, anna: Path, two_devices: None) -> None:
    alone = train(workspace, precision="float32")
    one = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    both = train(workspace, precision="float32", gpus=2)
    assert torch.allclose(rows_of(anna), one, atol=1e-5)
    for kind in (Started, StepDone, PreviewSaved, Finished):
        assert len(both.of(kind)) == len(alone.of(kind)) > 0
    assert all(Path(event.path).is_file() for event in both.of(PreviewSaved))  # type: ignore[attr-defined]


def test_interrupt_saves_and_one_device_goes_on_where_two_were(workspace: Workspace, anna: Path, two_devices: None) -> None:
    events = Recorder(stop_at=3)
    train(workspace, events, gpus=2, steps=100_000, image_every=0)
    (ended,) = events.of(Finished)
    done = load_embedding(anna).step
    assert ended.interrupted and done is not None and done >= 3  # type: ignore[attr-defined]
    run_folder = events.of(Started)[0].folder  # type: ignore[attr-defined]
    later = Recorder(stop_at=done + 2)
    loop.resume(ResumeSettings(run_folder), workspace, later, later.stop)
    assert later.of(StepDone)[0].step == done + 1  # type: ignore[attr-defined]


def test_interrupt_before_the_first_step_leaves_nobody_waiting(workspace: Workspace, anna: Path, two_devices: None) -> None:
    events, before = Recorder(), anna.read_bytes()
    events.stop.set()
    train(workspace, events, gpus=2, steps=100_000, image_every=0)
    assert events.of(Finished) and all(event.interrupted for event in events.of(Finished))  # type: ignore[attr-defined]
    assert anna.read_bytes() == before


def test_an_error_of_one_process_is_told_and_ends_all(workspace: Workspace, anna: Path, two_devices: None) -> None:
    with pytest.raises(UserError, match="none-such"):
        train(workspace, gpus=2, template_file="none-such.txt")


def test_more_devices_than_there_are_is_refused(workspace: Workspace, anna: Path) -> None:
    there = count_devices()
    with pytest.raises(UserError, match=f"GPUs is {there + 1}, but this computer has {there}"):
        train(workspace, gpus=there + 1)


def test_accelerate_launches_the_command_line(workspace: Workspace, anna: Path, two_devices: None) -> None:
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    flags = f"--dataset-directory datasets/anna --template subject_filewords.txt --ckpt {TINY} --steps 2 --image-every 0 --workspace".split()
    command = [sys.executable, "-m", *launch, "--main_process_port", "0", "-m", "ti_core", "train", "anna", *flags, str(workspace.root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training finished at 2 steps") == 1 and load_embedding(anna).step == 2


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"event": "Nothing"}', '{"event": "StepDone", "step": 1}'])
def test_what_is_no_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        parse_event(line)


@pytest.mark.parametrize("event", [Started("t", 3, plan="p"), Finished("ok", True, ("a.pt",)), StepDone(1, 0.5, 0.1, "a \u2028 photo", 0.2)])
def test_an_event_comes_back_from_its_line(event: object) -> None:
    line = event.to_json()  # type: ignore[attr-defined]
    assert line.isascii() and parse_event(line) == event
