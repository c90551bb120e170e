"""Two processes train as one. They are started as accelerate launch and torchrun start them, on the CPU, with gloo."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of
from ti_core.embeddings.formats import load_embedding
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.training.distributed.ranks import Ranks
from ti_core.workspace import REPOSITORY, Workspace

FLAGS = (
    "--dataset-directory datasets/anna --template subject_filewords.txt --learning-rate 0.05 --batch-size 3 --ckpt tiny"
    " --precision float32 --keep-first 1 --caption-drop-out 0.2 --folder-repeats anna:2 --shuffle-tags"
    " --tag-drop-out 0.3".split()
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(workspace: Workspace, processes: int, *more: str) -> list[subprocess.Popen[str]]:
    """The processes, with the variables that a launcher sets."""
    port = str(free_port())
    command = [sys.executable, "-m", "ti_core", "train", "anna", "--workspace", str(workspace.root), *FLAGS, *more]
    shared = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "ACCELERATE_USE_CPU": "true",
    }
    ranks = [
        {"RANK": str(i), "LOCAL_RANK": str(i), "WORLD_SIZE": str(processes)} if processes > 1 else {}
        for i in range(processes)
    ]
    return [
        subprocess.Popen(
            command, cwd=REPOSITORY, env=shared | rank, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in ranks
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    try:
        outputs = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def trained(workspace: Workspace, *processes_and_steps: tuple[int, int]) -> torch.Tensor:
    path = create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    for processes, steps in processes_and_steps:
        ended = finish(start(workspace, processes, "--steps", str(steps), "--image-every", "0"))
        assert [(code, "Training finished" in output) for code, output in ended] == [
            (0, rank == 0) for rank in range(processes)
        ], ended
    return rows_of(path)


def test_each_process_takes_its_share_of_an_update() -> None:
    shares = []
    for rank in range(3):
        ranks = Ranks()
        ranks.rank, ranks.count = rank, 3
        shares.append(ranks.shard(5))
    assert shares == [[0, 3], [1, 4], [2]]


def test_two_processes_give_the_vectors_of_one_and_go_on_where_one_ended(workspace: Workspace, anna: Path) -> None:
    one = trained(workspace, (1, 4))
    assert torch.allclose(trained(workspace, (2, 4)), one, atol=1e-5)
    assert torch.allclose(trained(workspace, (1, 2), (2, 4)), one, atol=1e-5)


def test_only_the_first_speaks_and_writes_and_interrupt_ends_all(workspace: Workspace, anna: Path) -> None:
    processes = start(workspace, 2, "--steps", "100000", "--image-every", "0", "--save-every", "5")
    saved = workspace.root / "textual_inversion"
    for _ in range(3000):
        if list(saved.rglob("anna-5.pt")):
            break
        time.sleep(0.2)
    else:
        pytest.fail(str([p.poll() for p in processes]))
    processes[1].send_signal(signal.SIGINT)
    (first_code, first), (_, second) = finish(processes)
    assert first_code == 130 and "Training interrupted at" in first
    assert "step" not in second
    assert load_embedding(anna).step >= 5
    assert len([path for path in saved.rglob("anna") if path.is_dir()]) == 1
