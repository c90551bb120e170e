"""Coarse to fine, through the real loop."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, train
from ti_core.events import PreviewSaved, Progress
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


def trained(workspace: Workspace, anna: Path, **changes: object) -> tuple[torch.Tensor, Recorder]:
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    events = train(workspace, **changes)
    return rows_of(anna), events


def test_it_changes_the_training_but_not_the_size_of_previews(workspace: Workspace, anna: Path) -> None:
    fine, events = trained(workspace, anna)
    both, coarse_events = trained(workspace, anna, coarse_share=0.5)
    assert not torch.equal(fine, both)
    assert (
        len([e for e in coarse_events.of(Progress) if e.text == "Preparing the pictures"]) == 8
    )  # four pictures in two sizes
    previews = [e.path for e in (*events.of(PreviewSaved), *coarse_events.of(PreviewSaved))]
    assert {Image.open(path).size for path in previews} == {(16, 16)}


def test_training_on_in_the_coarse_part_is_an_unbroken_run(workspace: Workspace, anna: Path) -> None:
    whole, _ = trained(workspace, anna, coarse_share=0.75, image_every=0)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    train(workspace, Recorder(stop_at=2), coarse_share=0.75, image_every=0)
    train(workspace, coarse_share=0.75, image_every=0)
    assert torch.equal(rows_of(anna), whole)
