"""How much of their effect other words keep beside the trained one, against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from ti_core.settings.strength import without_word
from ti_core.training.obedience import MOST_PROBES, OF_A_STYLE, obedience_of, probes_for


def picture(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, -1)


def test_the_share_of_the_effect_that_is_left_is_measured_along_it() -> None:
    """Half of the first effect is left and something else comes to it; the second is turned round. Their mean size is
    (4 + 2) / 2 = 3, so the shares are 2 / 3 and -2 / 3 of it.
    """
    free = [picture(2.0, 0.0), picture(1.0, 1.0)]
    assert obedience_of([picture(1.0, 7.0), picture(-1.0, -1.0)], free) == pytest.approx([2 / 3, -2 / 3])


def test_a_word_that_leaves_all_as_it_was_obeys_wholly_and_one_that_drowns_all_not() -> None:
    free = [picture(2.0, 0.0), picture(1.0, 1.0)]
    assert sum(obedience_of(free, free)) / 2 == pytest.approx(1)
    assert obedience_of([picture(0.0, 0.0)] * 2, free) == [0, 0]


def test_where_nothing_has_an_effect_there_is_nothing_to_obey() -> None:
    assert obedience_of([picture(1.0)], [picture(0.0)]) == [1.0]


def test_a_style_is_laid_on_things_and_a_subject_put_among_them() -> None:
    of_subject = probes_for(["a photo of a [name], [filewords]"], [5, 6, 7, 8], 2)
    assert [(probe.asking, probe.image) for probe in of_subject] == [
        ("a photo of [name], pink background", 5),
        ("a photo of [name], wearing a top hat", 7),
    ]
    of_style = probes_for(["a painting in the style of [name]"], [5], MOST_PROBES)
    assert [probe.asking for probe in of_style] == list(OF_A_STYLE)


def test_without_the_word_a_prompt_asks_for_the_thing_alone() -> None:
    assert [without_word(p) for p in ("a photo of [name], pink background", "a sketch of [name]", OF_A_STYLE[0])] == [
        "a photo, pink background",
        "a sketch",
        "a house",
    ]
