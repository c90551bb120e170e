"""Jobs on a Ray cluster on this computer, with Ray's token. Skipped where Ray is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.training.test_loop import anna, rows_of, settings_for
from ti_core.errors import UserError
from ti_core.jobs.cluster.link import Link
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.runs.folder import saved_step
from ti_core.training import loop
from ti_core.workspace import REPOSITORY, Workspace

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason='Ray is not installed: pip install ".[cluster]"'),
]
PATIENCE_S = 8.0
VALUES = {"steps": 100_000, "image_every": 10, "save_every": 10, "batch_size": 2, "gradient_accumulation_steps": 1}


class Nodes:
    """A head and a node, in programs of their own: nothing of Ray is imported here, as in the server."""

    def __init__(self, *arguments: str) -> None:
        self.address = ""
        for _ in range(3):  # Ray gives a node 30 s to begin, which a busy machine may not
            if not self.address:
                self._begin(arguments)
        assert self.address, "the nodes did not begin"

    def _begin(self, arguments: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.cluster_nodes", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line("address ").removeprefix("address ").strip()

    def do(self, what: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        assert self._line("done")

    def _line(self, begin: str) -> str:
        assert self._process.stdout
        return next((line for line in self._process.stdout if line.startswith(begin)), "")

    def close(self) -> None:
        begun = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        for process in begun:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def settled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray is told by the environment."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24), "RAY_USAGE_STATS_ENABLED": "0"}
    places = {"TI_CLUSTER_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}
    for name, value in (variables | places).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def nodes(settled: None) -> Iterator[Nodes]:
    with contextlib.closing(Nodes()) as nodes:
        yield nodes


@contextlib.contextmanager
def queue_on(nodes: Nodes, workspace: Workspace, carries: bool = False) -> Iterator[JobQueue]:
    link = Link(nodes.address, workspace, carries=carries, patience_s=PATIENCE_S)
    link.open()
    jobs = JobQueue(workspace, places=[])
    link.serve(jobs.worker)
    try:
        yield jobs
    finally:
        jobs.close()
        link.close()


def find_driver() -> psutil.Process:
    """The program that speaks Ray for this one."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ti_core.jobs.cluster.driver" in child.cmdline():
                return child
    pytest.fail("there is no driver")


def wait_until(is_so: Callable[[], Any]) -> None:
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def copy_of(workspace: Workspace, folders: pytest.TempPathFactory) -> Workspace:
    """As it is before the training."""
    return Workspace(shutil.copytree(workspace.root, folders.mktemp("before") / "workspace"))


def vectors_alone(workspace: Workspace, steps: int) -> torch.Tensor:
    """Those of the same training so far without a cluster, in a workspace of its own."""
    loop.train(settings_for(**VALUES | {"steps": steps}), workspace, lambda event: None, threading.Event())
    return rows_of(workspace.embeddings / "anna.pt")


def stop_later(jobs: JobQueue, job: Job, notice: str) -> None:
    """Interrupt it when it was told so and has then gone on: however fast the machine is, it was broken off midway."""
    wait_until(lambda: job.has_ended or any(notice in told for told in job.notices))
    reached = job.done
    wait_until(lambda: job.has_ended or job.done > reached + 2)
    jobs.cancel(job.id)
    assert jobs.wait_for(job, 200).state == "interrupted", job.text


def test_a_job_whose_node_dies_is_taken_up_by_another_one_and_goes_on_bit_equal(
    nodes: Nodes, workspace: Workspace, anna: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = copy_of(workspace, tmp_path_factory)
    with queue_on(nodes, workspace) as jobs:
        job = jobs.order("train", settings_for(**VALUES))
        wait_until(lambda: job.done > 11)
        reached = job.done
        nodes.do("kill")
        nodes.do("add")
        stop_later(jobs, job, "goes on elsewhere")
    moved = next(notice for notice in job.notices if "goes on elsewhere" in notice)
    assert reached - 10 <= int(moved.split("from step ")[1].rstrip("."))
    assert torch.equal(rows_of(anna), vectors_alone(before, job.done))
    assert [row[0] for row in job.curve] == list(range(1, job.done + 1))
    painted = [step for step, *_ in job.previews if step < job.done]
    assert painted == [step for step in range(0, job.done, 10) for _ in range(2)]
    assert all(Path(file).is_file() for _, file, _, _ in job.previews)
    assert "ray" not in sys.modules


def test_a_workspace_is_carried_and_a_lost_network_costs_nothing(
    nodes: Nodes, workspace: Workspace, anna: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = copy_of(workspace, tmp_path_factory)
    with queue_on(nodes, workspace, carries=True) as jobs:
        job = jobs.order("train", settings_for(**VALUES))
        wait_until(lambda: job.has_steps)
        driver = find_driver()
        driver.suspend()
        time.sleep(PATIENCE_S)  # the network, gone for so long
        driver.resume()
        stop_later(jobs, job, "could not be reached for a while")
        rows = rows_of(anna)
        again = jobs.order("train", settings_for(**VALUES | {"steps": job.done + 2}))
        assert jobs.wait_for(again, 200).state == "finished", again.text
    run = workspace.root / job.run_folder
    assert again.run_folder == job.run_folder  # the run went along, so that its training on stays there
    assert saved_step(run) == job.done + 2
    assert torch.equal(rows, vectors_alone(before, job.done))
    assert job.done <= 10 or (run / "embeddings" / "anna-10.pt").is_file()
    assert all(Path(file).is_relative_to(workspace.root) and Path(file).is_file() for _, file, _, _ in job.previews)


def test_a_lost_head_is_a_sentence_and_what_was_saved_can_be_resumed(
    nodes: Nodes, workspace: Workspace, anna: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with queue_on(nodes, workspace) as jobs:
        job = jobs.order("train", settings_for(**VALUES | {"image_every": 0, "save_every": 0}))
        waiting = jobs.order("train", settings_for(**VALUES | {"steps": 5}))
        wait_until(lambda: job.done > 10)
        nodes.do("head")
        find_driver().kill()  # as Ray itself does after a minute without its head
        assert jobs.wait_for(job, 100).state == "failed" and "cannot be reached any more" in job.text
        assert waiting.state == "waiting"
        step = saved_step(workspace.root / job.run_folder)
        assert step is not None and step >= job.done - 10 and job.resume_step is not None
    assert "it is tried again every few seconds" in capfd.readouterr().out


def test_nodes_of_another_torch_or_without_a_token_are_not_used(
    settled: None, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "torch-1.0.0.dist-info").mkdir()
    (other / "torch-1.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0.0\n")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with contextlib.closing(Nodes(str(other))) as nodes, pytest.raises(UserError) as refused:
        Link(nodes.address, workspace, patience_s=PATIENCE_S).open()
    assert "is not used, because it has torch 1.0.0, not" in str(refused.value)
    assert "is not used, because it asks for no token" in str(refused.value)


def test_without_a_cluster_there_is_one_sentence(settled: None, workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"The Ray cluster auto cannot be used.*ray status"):
        Link("auto", workspace).open()


def test_nothing_of_ray_is_imported_by_the_server() -> None:
    modules = "ti_core.webui, ti_core.jobs.cluster.link, ti_core.jobs.cluster.node"
    code = f"import sys, {modules}; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, env=os.environ)
