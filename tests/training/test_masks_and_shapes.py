"""A training with masks and pictures of several shapes is exact as any other: resumed, and on several processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import Recorder
from tests.training.distributed import test_ranks
from tests.training.test_loop import anna, rows_of, train
from tests.training.test_resume import anew, cut_at, go_on
from ti_core.data.masks import mask_file
from ti_core.events import Notice, Started
from ti_core.workspace import Workspace

VALUES = {
    "steps": 4,
    "image_every": 0,
    "width": 64,
    "height": 64,
    "masks_as_weight": True,
    "aspect_buckets": True,
    "batch_size": 3,
}


@pytest.fixture
def shapes(dataset: Path) -> Path:
    """Pictures of three shapes; two of the four have a mask."""
    sizes = [(80, 64), (64, 80), (64, 64), (96, 48)]
    for i, (path, size) in enumerate(zip(sorted(dataset.glob("*.png")), sizes, strict=True)):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size[::-1], 3), np.uint8)).save(path)
        if i < 2:
            mask = Image.new("L", size)
            mask.paste(255, (0, 0, 40, 40))
            mask.save(mask_file(path))
    return dataset


def test_a_run_with_masks_and_shapes_goes_on_to_the_same_vectors(
    workspace: Workspace, anna: Path, shapes: Path
) -> None:
    events = train(workspace, **VALUES)
    notices = [notice.text for notice in events.of(Notice)]
    assert any(text.startswith("2 of 4 pictures have masks") for text in notices)
    assert any(text.startswith("Shapes: 1 at ") for text in notices)
    assert "4 images" in events.of(Started)[0].plan, "masks are no pictures"
    unbroken = rows_of(anna)
    anew(workspace)
    go_on(workspace, cut_at(workspace, 2, **VALUES))
    assert torch.equal(rows_of(anna), unbroken)
    anew(workspace)
    train(workspace, **{**VALUES, "weight_outside": 0.5})
    assert not torch.equal(rows_of(anna), unbroken)


@pytest.mark.slow
def test_two_processes_give_the_vectors_of_one(
    workspace: Workspace, anna: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "--width 64 --height 64 --masks-as-weight --aspect-buckets".split()
    monkeypatch.setattr(test_ranks, "FLAGS", [*test_ranks.FLAGS, *more])
    one, two = test_ranks.trained(workspace, (1, 4)), test_ranks.trained(workspace, (2, 4))
    assert torch.allclose(one, two, rtol=0, atol=1e-6)
