"""Which step is the best, by its losses on the same inputs and by how well the word obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ti_core.runs.best_step import (
    Measured,
    best_step,
    evaluations_without_gain,
    is_news,
    load_history,
    noise_of,
    obeys_less_later,
)

LOW = [0.10, 0.30, 0.20, 0.40]


def losses(*steps: list[float]) -> dict[int, Measured]:
    """Evaluations of the losses alone, at steps 10, 20, ..., as in earlier versions."""
    return {10 * number: Measured(found) for number, found in enumerate(steps, 1)}


def both(*steps: tuple[float, float]) -> dict[int, Measured]:
    """Evaluations at steps 10, 20, ... with this gain and this obedience on each of four inputs."""
    return {
        10 * number: Measured([0.5 - gain] * 4, [0.5] * 4, [obedience] * 4)
        for number, (gain, obedience) in enumerate(steps, 1)
    }


def test_the_earliest_step_within_noise_of_the_lowest_is_the_best() -> None:
    nearly = [0.11, 0.29, 0.21, 0.39]  # the same mean, differences both ways
    assert best_step(losses([0.5] * 4, nearly, LOW, LOW)) == 20


def test_a_difference_that_all_inputs_share_is_no_noise() -> None:
    worse = [loss + 0.001 for loss in LOW]
    assert noise_of(worse, LOW) == pytest.approx(0)
    assert best_step(losses(worse, LOW)) == 20


def test_evaluations_after_the_best_are_counted() -> None:
    high = [0.9] * 4
    assert evaluations_without_gain(losses(LOW, high, high)) == 2
    assert evaluations_without_gain(losses(high, LOW)) == 0


def test_a_loss_that_falls_while_the_word_drowns_the_prompt_is_no_gain() -> None:
    """0.30 x 0.8 = 0.240, then 0.33 x 0.6 = 0.198 and 0.36 x 0.4 = 0.144: each step is likelier and worth less."""
    history = both((0.20, 0.8), (0.30, 0.8), (0.33, 0.6), (0.36, 0.4))
    assert best_step(history) == 20 and evaluations_without_gain(history) == 2
    assert history[30].worth == pytest.approx(0.198)
    assert best_step(losses(*(list(found.losses) for found in history.values()))) == 40  # by the loss alone


def test_a_gain_is_worth_a_smaller_loss_of_obedience() -> None:
    """A tenth more likeness for a twentieth less obedience: 0.30 x 0.80 = 0.240, 0.33 x 0.76 = 0.251."""
    assert best_step(both((0.30, 0.80), (0.33, 0.76))) == 20
    assert best_step(both((0.30, 0.80), (0.33, 0.72))) == 10  # 0.238


def test_the_earliest_step_within_noise_of_the_most_worth_is_the_best() -> None:
    """Obedience 0.79 and 0.80 differ by ln(0.80 / 0.79) = 0.0126 of the best, and the standard error of their
    differences 0.01, -0.02, 0.01, 0.02, 0.01, 0.03 is 0.00683, of 0.80: 0.0085.
    """
    first = Measured([0.2] * 6, [0.5] * 6, [0.79, 0.80, 0.79, 0.80, 0.79, 0.77])
    last = Measured([0.2] * 6, [0.5] * 6, [0.80, 0.78, 0.80, 0.82, 0.80, 0.80])
    assert noise_of(first.obedience, last.obedience) == pytest.approx(0.00683, abs=1e-5)
    assert best_step({10: first, 20: last}) == 20
    wider = Measured([0.2] * 6, [0.5] * 6, [0.79, 0.84, 0.75, 0.84, 0.75, 0.77])
    assert wider.obeys == pytest.approx(first.obeys) and best_step({10: wider, 20: last}) == 10


def test_a_word_of_no_use_is_judged_by_its_loss() -> None:
    """Where no step is better than the prompt without the word, likeness times obedience says nothing."""
    assert best_step(both((-0.2, 0.9), (-0.1, 0.8))) == 20
    assert best_step(both((-0.2, 0.9), (0.1, 0.8), (0.05, 0.8))) == 20
    assert best_step(both((0.2, -0.1), (0.3, -0.2))) == 20


def test_overtraining_is_told_by_the_second_step_that_obeys_less_and_once() -> None:
    history = both((0.30, 0.8), (0.33, 0.6), (0.36, 0.4), (0.37, 0.3))
    parts = [{step: history[step] for step in history if step <= last} for last in history]
    assert [obeys_less_later(part) for part in parts] == [False, False, True, True]
    assert [is_news(part) for part in parts] == [False, False, True, False]


def test_later_steps_that_are_no_better_but_obey_are_not_overtrained() -> None:
    assert not obeys_less_later(both((0.30, 0.8), (0.29, 0.8), (0.29, 0.81)))
    assert not obeys_less_later(losses(LOW, [0.9] * 4, [0.9] * 4))


def test_evaluations_of_earlier_versions_are_read_and_not_mixed_with_others(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    old = {"event": "Evaluated", "step": 10, "losses": LOW, "inputs": "a"}
    file.write_text(json.dumps(old) + "\n")
    assert load_history(file) == {10: Measured(LOW, [], [])}
    new = {**old, "step": 20, "without": [0.5] * 4, "obedience": [0.8] * 2}
    file.write_text(json.dumps(old) + "\n" + json.dumps(new) + "\n")
    assert load_history(file) == {20: Measured(LOW, [0.5] * 4, [0.8] * 2)}
