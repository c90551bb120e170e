"""Which step is the best, by its losses on the same inputs."""

from __future__ import annotations

import pytest

from ti_core.runs.best_step import best_step, evaluations_without_gain, noise_of

LOW = [0.10, 0.30, 0.20, 0.40]


def test_the_earliest_step_within_noise_of_the_lowest_is_the_best() -> None:
    nearly = [0.11, 0.29, 0.21, 0.39]  # the same mean, differences both ways
    assert best_step({10: [0.5] * 4, 20: nearly, 30: LOW, 40: LOW}) == 20


def test_a_difference_that_all_inputs_share_is_no_noise() -> None:
    worse = [loss + 0.001 for loss in LOW]
    assert noise_of(worse, LOW) == pytest.approx(0)
    assert best_step({10: worse, 20: LOW}) == 20


def test_evaluations_after_the_best_are_counted() -> None:
    high = [0.9] * 4
    assert evaluations_without_gain({10: LOW, 20: high, 30: high}) == 2
    assert evaluations_without_gain({10: high, 20: LOW}) == 0
