"""Other optimizers, forms of the rate and of the loss: what they compute, and that a run with them goes on exactly."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.training.test_loop import anna, rows_of, train
from tests.training.test_resume import anew, cut_at, go_on
from ti_core.embeddings.folder import optimizer_file
from ti_core.settings import TrainSettings
from ti_core.settings.schedule import Schedule
from ti_core.training.noise_loss import mean_error, min_snr_weights
from ti_core.training.optimizers import new_optimizer
from ti_core.training.step_inputs import offset_noise
from ti_core.workspace import Workspace

__all__ = ["anna"]


@pytest.mark.parametrize(("optimizer", "rate"), [("Prodigy", "1"), ("Adafactor", "0.01")])
def test_a_run_with_another_optimizer_goes_on_exactly(
    workspace: Workspace, anna: Path, optimizer: str, rate: str
) -> None:
    values = {"steps": 9, "save_every": 4, "image_every": 0, "optimizer": optimizer, "learning_rate": rate}
    values |= {"rate_form": "cosine to 0", "warm_up": 2, "min_snr_gamma": 5.0, "huber_delta": 0.1, "noise_offset": 0.05}
    started = rows_of(anna)
    train(workspace, **values)
    unbroken = rows_of(anna)
    assert not torch.equal(unbroken, started) and not optimizer_file(anna).exists()
    anew(workspace)
    go_on(workspace, cut_at(workspace, 6, **values))
    assert torch.equal(rows_of(anna), unbroken)


def test_prodigy_with_a_rate_of_adams_size_is_told_at_its_field() -> None:
    settings = TrainSettings(embedding="anna", dataset_directory="datasets/anna", optimizer="Prodigy")
    found = [problem for problem in settings.problems() if problem.field == "learning_rate"]
    assert len(found) == 1 and "Write 1" in found[0]


def test_forms_of_the_rate() -> None:
    written = Schedule(((0.4, 10), (0.2, math.inf)))
    assert [written.rate_at(step) for step in (1, 10, 11)] == [0.4, 0.4, 0.2]
    linear = Schedule(written.pieces, "linear to 0", 0, 20)
    assert [linear.rate_at(step) for step in (1, 11, 20)] == pytest.approx([0.4, 0.1, 0.01])
    cosine = Schedule(written.pieces, "cosine to 0", 3, 20)
    assert [cosine.rate_at(step) for step in (1, 11)] == pytest.approx([0.1, 0.1])
    assert 0 < cosine.rate_at(20) < 0.002


def test_min_snr_weights_are_those_of_the_paper() -> None:
    kept = torch.tensor([0.9, 0.5, 0.1, 0.0])  # signal-to-noise ratios 9, 1, 1/9, 0
    steps = torch.arange(4)
    assert min_snr_weights("epsilon", steps, kept, 5.0).tolist() == pytest.approx([5 / 9, 1, 1, 1], rel=1e-5)
    assert min_snr_weights("v_prediction", steps, kept, 5.0).tolist() == pytest.approx([0.5, 0.5, 0.1, 0], rel=1e-5)


def test_a_huber_loss_grows_as_a_line_from_its_bound() -> None:
    error = torch.tensor([0.05, 0.1, 0.3]).view(3, 1, 1, 1)
    weight = torch.ones(3, 1, 1, 1)
    assert mean_error(error, torch.zeros_like(error), weight).tolist() == pytest.approx([0.0025, 0.01, 0.09])
    huber = mean_error(error, torch.zeros_like(error), weight, 0.1)
    assert huber.tolist() == pytest.approx([0.0025, 0.01, 0.1 * (0.6 - 0.1)])


def test_a_noise_offset_moves_each_channel_as_a_whole() -> None:
    noise = [torch.zeros(4, 8, 8), torch.zeros(4, 6, 6)]
    moved = offset_noise(noise, 0.1, 7, 3)
    assert all(torch.equal(one, one[:, :1, :1].expand_as(one)) for one in moved)
    assert len({float(value) for one in moved for value in one[:, 0, 0]}) == 8
    assert all(torch.equal(a, b) for a, b in zip(moved, offset_noise(noise, 0.1, 7, 3), strict=True))
    assert not torch.equal(moved[0], offset_noise(noise, 0.1, 7, 4)[0])


@pytest.mark.parametrize("name", ["AdamW", "Adafactor"])
def test_the_rate_is_the_size_of_a_step_with_either(name: str) -> None:
    """The first step of AdamW is the rate in each number; Adafactor's has the rate as its root mean square."""
    row = torch.nn.Parameter(torch.full((1, 64), 0.02))
    row.grad = torch.linspace(-1, 1, 64)[None]
    optimizer = new_optimizer(name, {"clip_l": row})
    optimizer.param_groups[0]["lr"] = 0.005
    optimizer.step()
    moved = (row.detach() - 0.02).square().mean().sqrt()
    assert float(moved) == pytest.approx(0.005, rel=0.05)
