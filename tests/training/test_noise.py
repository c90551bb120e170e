"""Timesteps and noise of an update, as pure functions of (seed, step)."""

from __future__ import annotations

from itertools import pairwise

import torch

from ti_core.training.diffusion import even_timesteps, noise_of_step

CLEAN = [torch.zeros(4, 2, 2)] * 8


def largest_gap(timesteps: list[int]) -> int:
    ordered = [0, *sorted(timesteps), 999]
    return max(b - a for a, b in pairwise(ordered))


def test_even_timesteps_of_one_update_leave_no_large_gap() -> None:
    for step in range(1, 30):
        assert largest_gap(even_timesteps(24, seed=3, step=step).tolist()) < 2.7 * 1000 / 24


def test_even_updates_of_one_image_cover_all_timesteps_within_a_few() -> None:
    seen = [int(even_timesteps(1, seed=0, step=step)) for step in range(1, 22)]
    assert largest_gap(seen) < 2.7 * 1000 / 21


def test_noise_depends_on_seed_and_step_alone() -> None:
    for spread in ("independent", "even", "even, paired noise"):
        first, again, other = (noise_of_step(CLEAN, seed, 5, spread) for seed in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True)) and torch.equal(
            first[1], again[1]
        )
        assert not torch.equal(first[0][0], other[0][0])


def test_paired_noise_is_opposite_for_neighbours_of_one_shape() -> None:
    noise, _ = noise_of_step(CLEAN, 0, 1, "even, paired noise")
    assert all(torch.equal(noise[i], -noise[i - 1]) for i in range(1, 8, 2))
    mixed, _ = noise_of_step([torch.zeros(4, 2, 2), torch.zeros(4, 2, 3)], 0, 1, "even, paired noise")
    assert mixed[1].shape == (4, 2, 3)
