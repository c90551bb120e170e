"""Timesteps and noise of an update, as pure functions of (seed, step)."""

from __future__ import annotations

import torch

from ti_core.training.step_inputs import noise_of_step

CLEAN = [torch.zeros(4, 2, 2)] * 8


def test_noise_depends_on_seed_and_step_alone() -> None:
    first, again, other = (noise_of_step(CLEAN, seed, 5) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True)) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0][0], other[0][0])
