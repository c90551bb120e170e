"""One training on two machines: two of accelerate's launchers with two processes each, which meet at an address, on
the CPU with gloo.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from tests.conftest import TINY
from tests.training.distributed.test_ranks import free_port
from tests.training.test_loop import anna, rows_of
from ti_core.embeddings.formats import load_embedding
from ti_core.runs.folder import saved_step
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import REPOSITORY, Workspace

FLAGS = (
    "--dataset-directory datasets/anna --template subject_filewords.txt --learning-rate 0.05 --batch-size 4 --ckpt tiny"
    " --precision float32 --image-every 0".split()
)


@pytest.fixture
def started() -> Iterator[list[psutil.Popen]]:
    """The launchers of a test, which end with it, and all that they have started."""
    launchers: list[psutil.Popen] = []
    yield launchers
    for launcher in launchers:
        with contextlib.suppress(psutil.Error):
            for process in (*launcher.children(recursive=True), launcher):
                process.kill()


def launch(place: Path, rank: int, port: int, started: list[psutil.Popen], *more: str) -> psutil.Popen:
    """The launcher of one machine, with two processes."""
    command = (
        f"-m accelerate.commands.launch --multi_gpu --num_machines 2 --num_processes 4 --machine_rank {rank}"
        f" --main_process_ip 127.0.0.1 --main_process_port {port} --mixed_precision no --dynamo_backend no"
        " -m ti_core train anna"
    )
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo"}
    program = psutil.Popen(
        [sys.executable, *command.split(), "--workspace", str(place), *FLAGS, *more],
        cwd=REPOSITORY,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started.append(program)
    return program


def output_of(program: psutil.Popen) -> str:
    """All that it prints until it ends."""
    return str(program.communicate(timeout=300)[0])


def wait_for_copy(root: Path, name: str, started: list[psutil.Popen]) -> None:
    while not list(root.rglob(name)):
        assert all(program.poll() is None for program in started), [output_of(program) for program in started]
        time.sleep(0.1)


@pytest.mark.slow
def test_two_machines_give_the_vectors_of_one_process(
    workspace: Workspace, anna: Path, started: list[psutil.Popen]
) -> None:
    alone = [sys.executable, "-m", "ti_core", "train", "anna", "--workspace", str(workspace.root), *FLAGS]
    subprocess.run([*alone, "--steps", "4"], cwd=REPOSITORY, check=True, capture_output=True)
    one = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    port = free_port()
    both = [launch(workspace.root, rank, port, started, "--steps", "4") for rank in range(2)]
    first, second = map(output_of, both)
    assert [program.returncode for program in both] == [0, 0], first + second
    assert "Training finished at 4 steps" in first and "Training finished" not in second
    assert torch.allclose(rows_of(anna), one, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the processes of a killed launcher live on")
@pytest.mark.parametrize("killed", [0, 1])
def test_a_machine_that_is_gone_ends_the_other_with_a_sentence_and_a_saved_state(
    workspace: Workspace, anna: Path, started: list[psutil.Popen], killed: int
) -> None:
    port = free_port()
    both = [launch(workspace.root, r, port, started, "--steps", "100000", "--save-every", "20") for r in range(2)]
    wait_for_copy(workspace.root, "anna-20.pt", started)
    both[killed].kill()
    output = output_of(both[1 - killed])
    assert both[1 - killed].returncode != 0
    assert "Another process of this training is gone" in output and "python -m ti_core resume" in output
    (state,) = workspace.root.rglob("state.safetensors")
    step = saved_step(state.parent)
    assert step is not None and step >= 20
    if killed == 1:
        assert f"Step {step} is saved." in output and load_embedding(anna).step == step


@pytest.mark.slow
def test_machines_that_hold_other_pictures_are_refused_before_the_first_step(
    workspace: Workspace,
    anna: Path,
    dataset: Path,
    started: list[psutil.Popen],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(workspace.root, other, symlinks=True, dirs_exist_ok=True)
    next((other / "datasets" / "anna").glob("*.txt")).write_text("frowning", encoding="utf-8")
    before, port = anna.read_bytes(), free_port()
    both = [launch(place, rank, port, started, "--steps", "4") for rank, place in enumerate((workspace.root, other))]
    outputs = [output_of(program) for program in both]
    assert all("works on something else" in text and "pictures and captions" in text for text in outputs), outputs
    assert anna.read_bytes() == before
