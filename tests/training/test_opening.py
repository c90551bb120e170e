"""What stands before the first step of a run: pictures that turn out to be broken while they are encoded, and the
size of what is opened.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of, train
from ti_core.errors import UserError
from ti_core.events import Notice, Started
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


def cut_short(picture: Path) -> None:
    """Half of the file: its header can still be read."""
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])


@pytest.mark.parametrize("held_out", [0, 1])
def test_a_picture_that_is_cut_short_is_named_and_the_training_is_that_without_it(
    workspace: Workspace, dataset: Path, anna: Path, held_out: int
) -> None:
    broken = sorted(dataset.glob("*.png"))[1]
    cut_short(broken)
    events = train(workspace, held_out=held_out)
    with_broken, plan = rows_of(anna), events.of(Started)[0]
    assert [notice.text for notice in events.of(Notice) if "skipped" in notice.text] == [
        f"{broken.name} was skipped: it is not a readable picture."
    ]
    broken.unlink()
    broken.with_suffix(".txt").unlink()
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    without = train(workspace, held_out=held_out).of(Started)[0]
    assert torch.equal(rows_of(anna), with_broken) and without.plan == plan.plan


def test_a_dataset_of_broken_pictures_alone_is_refused_with_nothing_written(
    workspace: Workspace, dataset: Path, anna: Path
) -> None:
    for picture in dataset.glob("*.png"):
        cut_short(picture)
    before = anna.read_bytes()
    with pytest.raises(UserError, match=r"None of its pictures can be used: 00000-0-photo\.png was skipped"):
        train(workspace)
    assert anna.read_bytes() == before and not (workspace.root / "textual_inversion").exists()
