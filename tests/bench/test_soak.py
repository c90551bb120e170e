"""The short version of bench/soak.py: ten minutes with 20 viewers."""

from __future__ import annotations

import pytest

from bench.soak import Crowd, figures, soak


@pytest.mark.slow
def test_ten_minutes_with_20_viewers_leave_memory_flat_and_updates_quick() -> None:
    result = soak(viewers=20, minutes=10)
    assert result["errors"] == 0 and result["updates_seen"] > 1000
    assert result["memory_mb_end"] < 1.05 * result["memory_mb_begin"]
    assert result["update_s_p95"] < 1.0


def test_the_figures_compare_steps_with_and_without_viewers_and_leave_out_the_change_between() -> None:
    rows = [[step, step * 1.0, 0.9, 0.1 * min(step, 100), 100.0] for step in range(1, 300)]
    crowd = Crowd(
        "",
        "",
        seen={step: [step + 0.25] for step in range(1, 300)},
        phases=[("watched", 5.0, 100.0), ("away", 105.0, 160.0)],
    )
    result = figures(rows, crowd, 0.0)
    assert (result["update_s_median"], result["update_s_p95"], result["memory_mb_begin"], result["memory_mb_end"]) == (
        0.25,
        0.25,
        100,
        100,
    )
    assert result["step_s"] == {"watched": 0.9, "away": 0.9} and result["slower_than_elsewhere"] is None
    assert result["serving_share_of_a_core"] == {"watched": 0.1, "away": 0.0}
