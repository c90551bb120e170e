"""The length of the vectors: pulled, held, averaged; and what a run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.test_loop import anna, rows_of, train
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.training.norms import NormControl, move_average, norm_control
from ti_core.workspace import Workspace


def rows(*lengths: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.nn.functional.normalize(torch.randn(len(lengths), 32, generator=generator), dim=1)
        * torch.tensor(lengths)[:, None]
    )


def test_direction_only_holds_the_vocabularys_mean_and_keeps_the_direction() -> None:
    vectors = {"clip_l": rows(4.0, 0.1)}
    before = vectors["clip_l"].clone()
    NormControl("direction only", {"clip_l": 0.35}).hold(vectors)
    assert vectors["clip_l"].norm(dim=1).tolist() == pytest.approx([0.35, 0.35])
    assert torch.cosine_similarity(vectors["clip_l"], before).tolist() == pytest.approx([1.0, 1.0])


def test_a_soft_pull_goes_a_tenth_of_the_way_and_none_does_nothing() -> None:
    vectors = {"clip_l": rows(3.5)}
    NormControl("soft pull", {"clip_l": 0.35}).hold(vectors)
    assert float(vectors["clip_l"].norm()) == pytest.approx(3.5 * 0.1**0.1)
    untouched = vectors["clip_l"].clone()
    NormControl("none", {"clip_l": 0.35}).hold(vectors)
    assert torch.equal(vectors["clip_l"], untouched)


def test_zeros_have_no_direction_and_stay_finite() -> None:
    vectors = {"clip_l": torch.zeros(2, 32)}
    for mode in ("soft pull", "direction only"):
        NormControl(mode, {"clip_l": 0.35}).hold(vectors)
    assert torch.equal(vectors["clip_l"], torch.zeros(2, 32))


def test_the_gradient_of_direction_only_is_tangent() -> None:
    vectors = {"clip_l": rows(0.35, 0.35).requires_grad_(True)}
    vectors["clip_l"].grad = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    NormControl("direction only", {"clip_l": 0.35}).turn_only(vectors)
    assert (vectors["clip_l"].grad * vectors["clip_l"].detach()).sum(1).abs().max() < 1e-6


def test_an_average_follows_the_vectors_and_soon_forgets_the_start() -> None:
    average, constant = {"clip_l": torch.zeros(1, 4)}, {"clip_l": torch.ones(1, 4)}
    move_average(average, constant, 0.9, 1)
    assert average["clip_l"][0, 0].item() == pytest.approx(1 - 2 / 11)
    for step in range(2, 30):
        move_average(average, constant, 0.9, step)
    assert average["clip_l"][0, 0].item() == pytest.approx(1, abs=0.01)


def test_a_run_of_direction_only_stays_among_the_words_and_training_on_is_exact(
    workspace: Workspace, anna: Path
) -> None:
    changes = {
        "norm_control": "direction only",
        "average_decay": 0.9,
        "image_every": 0,
    }
    train(workspace, steps=4, **changes)
    unbroken = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint="tiny", vectors=2, overwrite=True), workspace)
    train(workspace, steps=2, **changes)
    train(workspace, steps=4, **changes)
    assert torch.equal(rows_of(anna), unbroken)
    sd = load_checkpoint("tiny", workspace)
    norms = norm_control("none", sd)
    mean, (low, high) = norms.mean["clip_l"], norms.usual
    assert low < mean < high
    assert all(norm <= mean + 1e-5 for norm in unbroken.norm(dim=1).tolist())


def test_a_soft_pull_of_a_run_that_is_trained_on_is_exact(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=4, norm_control="soft pull", image_every=0)
    unbroken = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint="tiny", vectors=2, overwrite=True), workspace)
    train(workspace, steps=2, norm_control="soft pull", image_every=0)
    train(workspace, steps=4, norm_control="soft pull", image_every=0)
    assert torch.equal(rows_of(anna), unbroken)
