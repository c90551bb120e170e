"""The step in use is found by its vectors, whatever the file is called and whenever it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.runs.folder import RunFolder, files_of_step, files_of_steps
from ti_core.runs.in_use import step_in_use
from ti_core.runs.use_step import use_step
from ti_core.workspace import Workspace


def rows(step: int, name: str = "anna") -> Embedding:
    encoders = {"clip_l": 8, "clip_g": 12} if name == "xl" else {"clip_l": 8}
    return Embedding(name, {key: torch.full((2, width), float(step)) for key, width in encoders.items()}, step)


def save_run(workspace: Workspace, steps: list[int], name: str = "anna", suffix: str = ".pt") -> RunFolder:
    run = RunFolder(workspace.root / "runs" / name, name, suffix)
    for step in steps:
        save_embedding(run.copy(step), rows(step, name))
    return run


@pytest.mark.parametrize(("name", "suffix"), [("anna", ".pt"), ("xl", ".safetensors")])
def test_the_step_that_was_put_to_use_is_found(tmp_path: Path, name: str, suffix: str) -> None:
    workspace = Workspace(tmp_path)
    run = save_run(workspace, [10, 20, 30], name, suffix)
    assert step_in_use(run.root, workspace) == 0
    for step in (20, 10):
        use_step(run.root, step, workspace)
        assert step_in_use(run.root, workspace) == step
    save_embedding(workspace.embeddings / f"{name}{suffix}", rows(30, name))  # as a training's end does: another name
    assert step_in_use(run.root, workspace) == 30
    save_embedding(workspace.embeddings / f"{name}{suffix}", rows(40, name))
    assert step_in_use(run.root, workspace) == 0


def test_files_that_are_no_embedding_are_none_in_use(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert step_in_use(tmp_path / "nothing", workspace) == 0
    run = save_run(workspace, [10])
    run.copy(10).write_bytes(b"half a file")
    (workspace.embeddings / "anna.pt").parent.mkdir(exist_ok=True)
    (workspace.embeddings / "anna.pt").write_bytes(b"half a file")
    assert step_in_use(run.root, workspace) == 0


def test_the_files_of_one_step_are_those_of_the_whole_list(tmp_path: Path) -> None:
    run = save_run(Workspace(tmp_path), [1, 10, 100])
    for path in (run.preview(10), run.card(10), run.preview(100)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    whole = files_of_steps(run.root)
    assert {step: files_of_step(run.root, step) for step in whole} == whole
    assert files_of_step(run.root, 2) == {}
