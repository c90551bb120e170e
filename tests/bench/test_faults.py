"""The short version of bench/faults.py: ten kills at random moments."""

from __future__ import annotations

from bench.faults import kill_runs
from ti_core.training.loop import STATE_EVERY_STEPS


def test_runs_that_are_killed_at_random_moments_end_bit_equal_and_lose_few_steps() -> None:
    result = kill_runs(kills=10, seed=1)
    assert result["kills"] == 10
    assert result["bit_equal"] == result["runs"] >= 1
    assert result["broken_files"] == 0
    assert result["steps_lost_max"] <= 2 * STATE_EVERY_STEPS
