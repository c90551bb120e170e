"""The devices of a computer as places of the line, with their real processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, settings_for, train
from ti_core.cli.main import EXIT_USER_ERROR, main
from ti_core.errors import UserError
from ti_core.jobs.device_flags import named_devices
from ti_core.jobs.device_place import Devices
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.models.chosen_device import CHOSEN, TOGETHER
from ti_core.models.device import device_state
from ti_core.training.distributed.launcher import _launcher
from ti_core.workspace import Workspace


@contextmanager
def line(workspace: Workspace, names: Sequence[str] = ()) -> Iterator[JobQueue]:
    """A line with all devices, or these."""
    devices = Devices(workspace, names)
    jobs = JobQueue(workspace, devices.kinds(), places=())
    devices.open(jobs)
    assert devices.monitor.latest(120) is not None
    wait = threading.Event()
    while len(jobs.devices()) < 2:
        wait.wait(0.05)
    try:
        yield jobs
    finally:
        jobs.leave(60)
        jobs.close()
        devices.close()


def side_by_side(jobs: JobQueue, embedding: Path) -> tuple[list[Job], list[torch.Tensor]]:
    """Two trainings at once from the same vectors, and what each has made."""
    copies = [embedding.with_name(f"copy{number}.pt") for number in (1, 2)]
    for copy in copies:
        copy.write_bytes(embedding.read_bytes())
    made = [jobs.order("train", settings_for(embedding=copy.stem, seed=seed)) for seed, copy in enumerate(copies)]
    for job in made:
        assert jobs.wait_for(job, 300).state == "finished", job.text
    return made, [rows_of(copy) for copy in copies]


def alone(workspace: Workspace, embedding: Path) -> list[torch.Tensor]:
    """The same two, one after the other, in this process."""
    trained = []
    for seed in range(2):
        copy = embedding.with_name(f"alone{seed}.pt")
        copy.write_bytes(embedding.read_bytes())
        train(workspace, embedding=copy.stem, seed=seed)
        trained.append(rows_of(copy))
    return trained


def furthest(some: list[torch.Tensor], others: list[torch.Tensor]) -> list[float]:
    """How far the vectors of each two are from each other at most."""
    return [float((one - other).abs().max()) for one, other in zip(some, others, strict=True)]


@pytest.mark.pretend_card
def test_on_two_cards_two_trainings_end_as_they_do_alone(card: PretendCard, workspace: Workspace, anna: Path) -> None:
    card.becomes(count=2)
    expected = alone(workspace, anna)
    with line(workspace) as jobs:
        assert jobs.devices() == ["cuda:0", "cuda:1"]
        made, trained = side_by_side(jobs, anna)
        assert {job.place for job in made} == {"cuda:0", "cuda:1"}
        with pytest.raises(UserError, match=r"no device .cuda:7. here.* one of: cuda:0, cuda:1"):
            jobs.order("train", settings_for(device="cuda:7"))
        asked = jobs.order("train", settings_for(device="cuda:1", steps=1))
        assert jobs.wait_for(asked, 300).state == "finished" and asked.place == "cuda:1"
        for _ in range(1200):  # its place is free a moment after the job has ended
            if "is at work" not in (said := jobs.free("cuda:1")):
                break
            time.sleep(0.05)
        assert said.startswith("cuda:1 gives its memory back")
    assert furthest(trained, expected) == [0, 0]


@pytest.mark.slow
def test_on_two_processors_two_trainings_end_as_they_do_alone(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    expected = alone(workspace, anna)
    with line(workspace, ["cpu", "cpu"]) as jobs:
        made, trained = side_by_side(jobs, anna)
        assert {job.place for job in made} == {"cpu 1", "cpu 2"}
    assert furthest(trained, expected) == [0, 0]


def test_devices_are_named_as_torch_does_or_counted_as_a1111_does() -> None:
    assert named_devices("1, cuda, XPU:2,cpu") == ["cuda:1", "cuda:0", "xpu:2", "cpu"] and named_devices("") == []
    with pytest.raises(UserError, match="no device called 'gpu'"):
        named_devices("gpu")


def test_a_training_on_some_of_the_cards_gets_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOGETHER, "cuda:1,cuda:3")
    assert "1,3" in _launcher(2) and "--gpu_ids" not in _launcher(3)
    monkeypatch.setenv(TOGETHER, "")
    assert "--gpu_ids" not in _launcher(2)


def test_a_command_works_on_the_device_of_its_flag(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CHOSEN, "")
    assert main(["create", "", "--workspace", str(workspace.root), "--device-id", "1"]) == EXIT_USER_ERROR
    assert os.environ[CHOSEN] == "cuda:1"
    assert main(["create", "x", "--workspace", str(workspace.root), "--device", "gpu"]) == EXIT_USER_ERROR
    assert "no device called 'gpu'" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no device cuda:77 here\. Choose one of"):
        device_state(torch.device("cuda:77"))
