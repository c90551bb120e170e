from __future__ import annotations

from ti_core.training.snapshots import advise_interval


def test_previews_that_eat_more_than_a_tenth_are_told_with_a_better_interval() -> None:
    said = advise_interval(preview_s=12.0, step_s=2.0, every=10, steps_left=140)
    assert (
        said
        == "A preview takes 12.0 s, as long as 6 steps, so previews take 38% of the time. To make it a tenth, save an"
        " image every 54 steps."
    )
    assert advise_interval(12.0, 2.0, 54, 1000) == ""


def test_nothing_is_said_where_less_than_a_minute_is_at_stake() -> None:
    assert advise_interval(preview_s=0.5, step_s=0.01, every=1, steps_left=100) == ""
