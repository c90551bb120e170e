import re

from ti_core.training.presets import LEARNING_RATE
from ti_core.ui.rate_picture import rate_picture


def test_it_draws_the_pieces_that_the_steps_reach_and_says_them_in_words() -> None:
    picture = rate_picture(LEARNING_RATE, 150)
    assert "0.05 until step 10, 0.02 until step 20, 0.01 until step 60, 0.004 until step 150" in picture
    points = re.search(r'points="([^"]+)"', picture)
    assert points and len(points[1].split()) == 8 and points[1].endswith(",64.0")


def test_a_last_piece_with_a_step_goes_on_to_the_end() -> None:
    assert "0.1 until step 5, 0.1 until step 50" in rate_picture("0.1:5", 50)


def test_a_broken_piece_is_named_and_foreign_text_is_no_html() -> None:
    assert "piece 1, &#x27;&lt;b&gt;&#x27;" in rate_picture("<b>", 10)
    assert "is empty" in rate_picture(None, None)
