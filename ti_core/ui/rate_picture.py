"""A small picture of the learning rate over the steps, drawn as one types; a broken schedule is told in its place."""

from __future__ import annotations

import html
import math

from ti_core.errors import SettingsError, shown_number
from ti_core.settings.schedule import parse_schedule
from ti_core.ui.server.roles import read_only

_WIDTH, _HEIGHT, _EDGE = 600, 70, 6


@read_only
def rate_picture(text: str | None, max_steps: float | None) -> str:
    """HTML: stairs of the rate (logarithmic) up to the last step, with its numbers; or the sentence that says which
    piece is wrong.
    """
    try:
        schedule = parse_schedule(text or "")
    except SettingsError as error:
        return f'<p class="rate-wrong">{html.escape(error.problems[0])}</p>'
    last = max(1, int(max_steps or 1))
    stairs, start = [], 0.0
    for rate, end in schedule.pieces:
        if start < last:
            stairs.append((start, min(end, last), rate))
        start = end
    if start < last:  # the last rate goes on
        stairs.append((start, last, schedule.pieces[-1][0]))
    low, high = min(s[2] for s in stairs), max(s[2] for s in stairs)

    def across(step: float) -> float:
        return _WIDTH * step / last

    def down(rate: float) -> float:
        share = (math.log(rate) - math.log(low)) / (math.log(high) - math.log(low)) if high > low else 0.5
        return _HEIGHT - _EDGE - share * (_HEIGHT - 2 * _EDGE)

    points = " ".join(f"{across(x):.1f},{down(rate):.1f}" for begin, end, rate in stairs for x in (begin, end))
    words = ", ".join(f"{shown_number(rate)} until step {shown_number(end)}" for _, end, rate in stairs[:12]) + (
        ", ..." if len(stairs) > 12 else ""
    )
    return (
        f'<svg class="rate-picture" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="Learning rate: {words}"><polyline points="{points}" fill="none" stroke="currentColor"'
        f' stroke-width="2" vector-effect="non-scaling-stroke"/></svg><p class="rate-words">{words}</p>'
    )
