"""Training on several devices from the page: two CPU processes under accelerate's own launcher stand for two GPUs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, settings_for, train
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.events import EmbeddingSaved, Event, Finished, PreviewSaved, Started, StepDone, parse_event
from ti_core.models.device import count_devices
from ti_core.program import conversation
from ti_core.program.control import PICTURE, SAVE, Control
from ti_core.settings import CreateSettings, ResumeSettings
from ti_core.training import loop
from ti_core.training.create import create_embedding
from ti_core.training.distributed.launcher import NOT_ANSWERED
from ti_core.workspace import REPOSITORY, Workspace


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_two_devices_give_the_vectors_of_one_and_tell_the_same(
    workspace: Workspace, anna: Path, two_devices: None
) -> None:
    alone = train(workspace, precision="float32")
    one = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    both = train(workspace, precision="float32", gpus=2)
    assert torch.allclose(rows_of(anna), one, atol=1e-5)
    for kind in (Started, StepDone, PreviewSaved, Finished):
        assert len(both.of(kind)) == len(alone.of(kind)) > 0
    assert all(Path(event.path).is_file() for event in both.of(PreviewSaved))


def test_interrupt_saves_and_one_device_goes_on_where_two_were(
    workspace: Workspace, anna: Path, two_devices: None
) -> None:
    events = Recorder(stop_at=3)
    train(workspace, events, gpus=2, steps=100_000, image_every=0)
    (ended,) = events.of(Finished)
    done = load_embedding(anna).step
    assert ended.interrupted and done is not None and done >= 3
    run_folder = events.of(Started)[0].folder
    later = Recorder(stop_at=done + 2)
    loop.resume(ResumeSettings(run_folder), workspace, later, later.stop)
    assert later.of(StepDone)[0].step == done + 1


def test_a_picture_and_a_copy_are_had_in_between_and_change_nothing(
    workspace: Workspace, anna: Path, two_devices: None
) -> None:
    values = {"precision": "float32", "steps": 40, "image_every": 0, "save_every": 0, "gpus": 2}
    train(workspace, **values)
    undisturbed = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    events, control = Recorder(), Control()

    def ask_early(event: Event) -> None:
        events(event)
        if isinstance(event, StepDone) and event.step == 2:
            control.ask(PICTURE)
            control.ask(SAVE)

    loop.train(settings_for(**values), workspace, ask_early, control)
    pictures = events.of(PreviewSaved)
    assert [event.number for event in pictures] == [1, 2] and 2 <= pictures[0].step < 40
    saved = [event.path for event in events.of(EmbeddingSaved)]
    assert len(saved) == 2 and all(Path(path).is_file() for path in saved)
    assert torch.equal(rows_of(anna), undisturbed)


def test_interrupt_before_the_first_step_leaves_nobody_waiting(
    workspace: Workspace, anna: Path, two_devices: None
) -> None:
    events, before = Recorder(), anna.read_bytes()
    events.stop.set()
    train(workspace, events, gpus=2, steps=100_000, image_every=0)
    assert events.of(Finished) and all(event.interrupted for event in events.of(Finished))
    assert anna.read_bytes() == before


def ranks_of(parent: psutil.Process) -> dict[str, psutil.Process]:
    """The processes that train, by their number."""
    found = {}
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ti_core.training.distributed.worker" in child.cmdline() and "RANK" in (variables := child.environ()):
                found[variables["RANK"]] = child
    return found


def test_interrupt_ends_a_process_that_does_not_answer_and_all_others(
    workspace: Workspace, anna: Path, two_devices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "ANSWERS_WITHIN_S", 2 * conversation.ALIVE_EVERY_S)
    events, seen = Recorder(), dict[str, psutil.Process]()

    def stop_one(event: Event) -> None:
        events(event)
        if isinstance(event, StepDone) and event.step == 3:
            seen.update(ranks_of(psutil.Process()))
            seen["1"].suspend()
            events.stop.set()

    loop.train(settings_for(gpus=2, steps=100_000, image_every=0), workspace, stop_one, events.stop)
    assert events.of(Finished) == [Finished(NOT_ANSWERED, interrupted=True)]
    gone, there = psutil.wait_procs(seen.values(), 30)
    assert len(gone) == 2 and not there
    later = Recorder(stop_at=6)
    loop.resume(ResumeSettings(events.of(Started)[0].folder), workspace, later, later.stop)
    assert later.of(Finished)[0].interrupted


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the closed pipe tells them")
def test_no_process_of_the_launcher_outlives_the_program(workspace: Workspace, anna: Path, two_devices: None) -> None:
    flags = (
        f"--dataset-directory datasets/anna --template subject.txt --ckpt {TINY} --steps 100000 --save-every 3"
        " --image-every 0 --gpus 2".split()
    )
    command = [sys.executable, "-m", "ti_core", "train", "anna", "--workspace", str(workspace.root), *flags]
    program = psutil.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    try:
        while not list(workspace.root.rglob("anna-3.pt")):
            assert program.poll() is None
            time.sleep(0.2)
        children, ranks = program.children(recursive=True), ranks_of(program)
        (launcher,) = program.children()
        ranks["0"].suspend()
        launcher.suspend()
        program.kill()
        program.wait()
        assert len(ranks) == 2 and not psutil.wait_procs(children, 30)[1]
    finally:
        for process in (program, *children):
            with contextlib.suppress(psutil.Error):
                process.kill()


def test_an_error_of_one_process_is_told_and_ends_all(workspace: Workspace, anna: Path, two_devices: None) -> None:
    with pytest.raises(UserError, match="none-such"):
        train(workspace, gpus=2, template_file="none-such.txt")


def test_more_devices_than_there_are_is_refused(workspace: Workspace, anna: Path) -> None:
    there = count_devices()
    with pytest.raises(UserError, match=f"GPUs is {there + 1}, but this computer has {there}"):
        train(workspace, gpus=there + 1)


def test_accelerate_launches_the_command_line(workspace: Workspace, anna: Path, two_devices: None) -> None:
    launch = [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    flags = (
        f"--dataset-directory datasets/anna --template subject_filewords.txt --ckpt {TINY} --steps 2 --image-every 0"
        " --workspace".split()
    )
    command = [
        sys.executable,
        "-m",
        *launch,
        "--main_process_port",
        "0",
        "-m",
        "ti_core",
        "train",
        "anna",
        *flags,
        str(workspace.root),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training finished at 2 steps") == 1 and load_embedding(anna).step == 2


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"event": "Nothing"}', '{"event": "StepDone", "step": 1}'])
def test_what_is_no_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        parse_event(line)


@pytest.mark.parametrize(
    "event", [Started("t", 3, plan="p"), Finished("ok", True, ("a.pt",)), StepDone(1, 0.5, 0.1, "a \u2028 photo", 0.2)]
)
def test_an_event_comes_back_from_its_line(event: object) -> None:
    line = event.to_json()  # type: ignore[attr-defined]
    assert line.isascii() and parse_event(line) == event
