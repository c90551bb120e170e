"""The card's overlay: size, gradient, and where the texts stand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from ti_core.embeddings.card import render_card

FOOTER = ("Portraits", "[0123456789]", "1v 10s")
GREY = 200


def grey(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (GREY, GREY, GREY))


def lit(card: Image.Image, bare: Image.Image) -> np.ndarray:
    """Where text was drawn."""
    return (np.asarray(card, int) - np.asarray(bare, int)).max(axis=2) > 20


def columns(area: np.ndarray) -> tuple[int, int]:
    found = np.flatnonzero(area.any(axis=0))
    assert len(found), "no text there"
    return int(found[0]), int(found[-1])


@pytest.mark.parametrize(
    ("given", "expected"),
    [((64, 64), (512, 512)), ((96, 64), (768, 512)), ((512, 768), (512, 768)), ((640, 640), (640, 640))],
)
def test_a_small_preview_is_enlarged_and_a_large_one_keeps_its_size(
    given: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert render_card(grey(*given), "<a>", FOOTER).size == expected


def test_the_gradient_is_a1111s() -> None:
    card = np.asarray(render_card(grey(512, 512), "", ("", "", "")))
    for y in (0, 100, 256, 400, 511):
        opacity = min(1.0, max(1 - math.cos(1.5 * y / 512), 1 - math.cos(1.65 * (512 - y) / 512)))
        assert abs(int(card[y, 250, 0]) - GREY * (1 - opacity)) <= 1
    assert card[0].max() == 0


def test_title_and_footer_stand_where_a1111_puts_them() -> None:
    bare = render_card(grey(512, 512), "", ("", "", ""))
    drawn = lit(render_card(grey(512, 512), "<anna-01-10>", FOOTER), bare)
    top, bottom = drawn[:256], drawn[256:]
    left, right = columns(top)
    assert 8 <= left <= 16 and 250 <= right <= 10 + 512 * 0.75 - 40 + 12
    assert np.flatnonzero(top.any(axis=1))[0] in range(9, 13)
    assert 8 <= columns(bottom[:, :170])[0] <= 16
    middle = columns(bottom[:, 171:341])
    assert abs((middle[0] + middle[1]) / 2 + 171 - 256) <= 4
    assert 496 <= columns(bottom[:, 342:])[1] + 342 <= 503
    assert not bottom[-7:].any()


def test_a_long_name_and_an_empty_footer_still_fit() -> None:
    bare = render_card(grey(512, 512), "", ("", "", ""))
    drawn = lit(render_card(grey(512, 512), f"<{'long' * 20}>", ("", "", "1v 0s")), bare)
    assert columns(drawn[:256])[1] < 400
