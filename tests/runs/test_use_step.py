"""A step is put to use, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.test_loop import anna, rows_of, train
from ti_core.errors import UserError
from ti_core.events import Notice, Started
from ti_core.runs.folder import saved_steps
from ti_core.runs.use_step import use_step
from ti_core.workspace import Workspace


@pytest.fixture
def run(workspace: Workspace, anna: Path) -> Path:
    return Path(train(workspace, steps=6).of(Started)[0].folder)


def test_a_step_replaces_the_embedding_and_each_former_file_is_kept_under_a_number(
    workspace: Workspace, anna: Path, run: Path
) -> None:
    last, state = anna.read_bytes(), anna.with_name("anna.pt.optim").read_bytes()
    assert list(saved_steps(run)) == [2, 4, 6]
    assert use_step(run, 2, workspace) == anna
    assert anna.read_bytes() == (run / "embeddings" / "anna-2.pt").read_bytes()
    second = anna.read_bytes()
    use_step(run, 4, workspace)
    assert anna.with_name("anna.pt.backup-1").read_bytes() == last
    assert anna.with_name("anna.pt.backup-1.optim").read_bytes() == state
    assert anna.with_name("anna.pt.backup-2").read_bytes() == second


def test_training_on_from_a_used_step_is_as_if_it_had_never_gone_further(
    workspace: Workspace, anna: Path, run: Path
) -> None:
    unbroken = rows_of(anna)
    use_step(run, 2, workspace)
    events = train(workspace, steps=6)
    assert torch.equal(rows_of(anna), unbroken)
    assert not any(".optim file" in notice.text for notice in events.of(Notice))
    folder = Path(events.of(Started)[0].folder)
    assert folder.name == "anna-2" and list(saved_steps(folder)) == [
        4,
        6,
    ]  # not mixed with what came after the step before


def test_a_step_without_a_copy_is_refused_by_the_steps_there_and_nothing_changes(
    workspace: Workspace, anna: Path, run: Path
) -> None:
    before = sorted(workspace.embeddings.iterdir())
    with pytest.raises(UserError, match=r"no copy of step 3.*2, 4, 6"):
        use_step(run, 3, workspace)
    assert sorted(workspace.embeddings.iterdir()) == before
