from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from ti_core.data.latents import PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING, loss_weight
from ti_core.events import Notice
from ti_core.models.checkpoint import load_checkpoint
from ti_core.training.noise_loss import mean_error, parts_of_one_shape
from ti_core.workspace import Workspace


@pytest.mark.parametrize(
    "alpha", [None, np.full((8, 16), 255, np.uint8), np.zeros((8, 16), np.uint8), np.full((8, 16), 90, np.uint8)]
)
def test_no_opaque_or_empty_alpha_means_weight_one(alpha: np.ndarray | None) -> None:
    assert torch.equal(loss_weight(alpha, (4, 8)), torch.ones(1, 4, 8))


def test_a_wide_alpha_keeps_its_places_and_has_mean_one() -> None:
    alpha = np.zeros((8, 16), np.uint8)
    alpha[:2, :4] = 255
    weight = loss_weight(alpha, (4, 8))
    assert weight.shape == (1, 4, 8) and float(weight.mean()) == pytest.approx(1)
    assert torch.equal(weight[0] > 0, torch.tensor([[True, True] + [False] * 6] + [[False] * 8] * 3))


def test_what_the_weight_hides_does_not_count() -> None:
    weight = torch.zeros(1, 1, 2, 2)
    weight[..., 0, 0] = 4
    wrong_elsewhere = torch.tensor([[[[0.0, 9.0], [9.0, 9.0]]]])
    assert mean_error(wrong_elsewhere, torch.zeros(1, 1, 2, 2), weight).tolist() == [0.0]


def test_pictures_keep_their_sizes_and_only_odd_ones_are_cropped_and_told(workspace: Workspace, tmp_path: Path) -> None:
    sizes = [(16, 16), (24, 16), (17, 31)]
    paths = []
    for i, size in enumerate(sizes):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", size, "red").save(paths[-1])
    events, sd = Recorder(), load_checkpoint(TINY, workspace)
    latents = encode_images(
        sd, paths, PictureSize(16, 16, sd.latent_factor, keep=True), NO_WEIGHTING, events, events.stop
    )
    assert [tuple(z.shape[-2:]) for z in latents.mean] == [(8, 8), (8, 12), (15, 8)]
    assert [event.text.split()[0] for event in events.of(Notice)] == ["1"]


def test_micro_batches_hold_one_size_each_and_every_image_once() -> None:
    square, wide = torch.zeros(4, 2, 2), torch.zeros(4, 2, 3)
    assert parts_of_one_shape([square, wide, square, square, wide], lambda one: 2) == [[0], [2, 3], [1, 4]]
