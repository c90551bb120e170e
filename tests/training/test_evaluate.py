"""The evaluation on fixed inputs: it changes nothing, marks the best step, and may end the run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import Recorder
from tests.training.test_loop import anna, rows_of, train
from ti_core.errors import UserError
from ti_core.events import Evaluated, Finished, Notice, Started, StepDone
from ti_core.runs.best_step import best_of
from ti_core.settings import CreateSettings, ResumeSettings
from ti_core.training import evaluate, loop
from ti_core.training.create import create_embedding
from ti_core.training.evaluate import FIRST_COSTS, FORWARD_COST, SHARE_OF_TIME
from ti_core.training.run import Run
from ti_core.workspace import Workspace


def fresh(workspace: Workspace) -> None:
    create_embedding(CreateSettings(name="anna", checkpoint="tiny", vectors=2, overwrite=True), workspace)


@pytest.fixture
def many(dataset: Path) -> Path:
    """So many photos that an evaluation every four steps is affordable."""
    for i in range(4, 32):
        Image.new("RGB", (16, 16), (5 * i, 200 - 5 * i, 90)).save(dataset / f"{i:05d}-0-photo.png")
    return dataset


def test_evaluation_and_previews_change_nothing_in_the_vectors(workspace: Workspace, anna: Path, many: Path) -> None:
    events = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16, evaluate_every=4)
    assert len(events.of(Evaluated)) == 3
    with_both = rows_of(anna)
    fresh(workspace)
    assert not train(
        workspace, steps=12, image_every=0, save_every=0, gradient_accumulation_steps=16, evaluate_every=0
    ).of(Evaluated)
    assert torch.equal(rows_of(anna), with_both)


def test_the_same_vectors_have_the_same_loss_and_each_evaluation_is_kept(
    workspace: Workspace, anna: Path, many: Path
) -> None:
    results = []
    for _ in range(2):
        fresh(workspace)
        events = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16)
        results.append([(event.losses, event.without, event.obedience) for event in events.of(Evaluated)])
    (_, without, obedience), later, _ = results[0]
    assert later[1] == without and len(obedience) == 3 and len(without) >= 8
    assert results[0] == results[1] and len(results[0]) == 3
    folder = Path(events.of(Started)[0].folder)
    with (folder / "textual_inversion_evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    evaluated = events.of(Evaluated)
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    assert [row["best_step"] for row in rows] == [str(event.best) for event in evaluated]
    low, high = evaluated[0].usual_norms
    assert 0 < low < high
    assert f"Best step by the evaluation: {evaluated[-1].best}." in events.of(Finished)[0].text
    assert any("with fixed noise" in notice.text for notice in events.of(Notice))


def test_an_evaluation_costs_less_than_a_tenth_of_the_passes(workspace: Workspace, anna: Path) -> None:
    events = train(
        workspace,
        steps=120,
        batch_size=1,
        gradient_accumulation_steps=1,
        evaluate_every=10,
        image_every=0,
        save_every=0,
    )
    evaluated = events.of(Evaluated)
    assert evaluated, "120 steps are enough for one"
    # two passes for each prompt about another thing; what there is without the word costs as much, once in a run
    cost = sum(len(event.losses) + 2 * len(event.obedience) for event in evaluated) * FORWARD_COST / FIRST_COSTS
    assert cost <= SHARE_OF_TIME * 120 + 1e-6 and SHARE_OF_TIME < 0.1


def test_training_on_goes_on_comparing_with_the_evaluations_before(
    workspace: Workspace, anna: Path, many: Path
) -> None:
    unbroken = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16).of(Evaluated)
    fresh(workspace)
    train(workspace, steps=8, image_every=4, gradient_accumulation_steps=16)
    resumed = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16).of(Evaluated)
    assert (resumed[0].loss, resumed[0].best) == (unbroken[2].loss, unbroken[2].best)


def test_losses_on_other_captions_are_not_compared(workspace: Workspace, anna: Path, many: Path) -> None:
    train(workspace, steps=8, image_every=4, gradient_accumulation_steps=16)
    (many / "00000-0-photo.txt").write_text("another caption")
    events = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16)
    assert [event.best for event in events.of(Evaluated)] == [12] == [best_of(Path(events.of(Started)[0].folder))]


def test_what_cannot_be_evaluated_is_told(workspace: Workspace, anna: Path) -> None:
    short = train(workspace, steps=2, image_every=1, save_every=0)
    assert not short.of(Evaluated) and any(
        "done every" in notice.text and "a tenth of the time" in notice.text for notice in short.of(Notice)
    )
    fresh(workspace)
    unseen = train(workspace, steps=2, image_every=0, save_every=0, early_stop=2)
    assert any("does not stop early" in notice.text for notice in unseen.of(Notice))


def test_the_rest_of_a_run_is_evaluated_as_all_of_it_would_have_been(workspace: Workspace, anna: Path) -> None:
    """Every 20 steps would cost too much, so it is done every 120, counted from the beginning."""
    settings = {
        "steps": 250,
        "batch_size": 1,
        "gradient_accumulation_steps": 1,
        "evaluate_every": 20,
        "image_every": 0,
        "save_every": 0,
    }
    whole = train(workspace, **settings)
    fresh(workspace)
    train(workspace, **{**settings, "steps": 230})
    rest = train(workspace, **settings)
    last = whole.of(Evaluated)[-1]
    assert last.step == 240 and rest.of(Evaluated) == [last]
    fresh(workspace)
    train(workspace, **{**settings, "steps": 245})
    assert (
        f"Best step by the evaluation: {last.best}" in train(workspace, **settings).of(Finished)[0].text
    )  # nothing new, and nothing forgotten


def test_losses_on_other_pictures_of_the_same_names_are_not_compared(
    workspace: Workspace, anna: Path, many: Path
) -> None:
    train(workspace, steps=8, image_every=4, gradient_accumulation_steps=16)
    for i in range(32):
        Image.new("RGB", (16, 16), (250 - 5 * i, 5 * i, 30)).save(many / f"{i:05d}-0-photo.png")
    events = train(workspace, steps=12, image_every=4, gradient_accumulation_steps=16)
    assert [event.best for event in events.of(Evaluated)] == [12]


def test_a_run_that_does_not_improve_is_stopped_early_only_when_asked(
    workspace: Workspace, anna: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "learning_rate": "0.0000001",
        "steps": 40,
        "image_every": 4,
        "gradient_accumulation_steps": 16,
        "preview_steps": 1,
        "save_every": 0,
    }
    events = train(workspace, early_stop=2, **changes)
    last = events.of(StepDone)[-1].step
    assert last < 40 and events.of(Finished)[0].text.startswith(f"Training finished at {last} steps")
    assert any("Stopped early at step" in notice.text for notice in events.of(Notice))
    fresh(workspace)
    assert train(workspace, **changes).of(StepDone)[-1].step == 40


def test_held_out_photos_are_never_trained_on_and_are_what_is_evaluated(
    workspace: Workspace,
    anna: Path,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[int] = set()
    images_of_step = loop.take_gradient.__globals__["images_of_step"]

    def watched(*given: object) -> list[int]:
        images = images_of_step(*given)
        seen.update(images)
        return images

    monkeypatch.setitem(loop.take_gradient.__globals__, "images_of_step", watched)
    events = train(workspace, steps=8, image_every=8, gradient_accumulation_steps=16, held_out=4)
    assert seen == set(range(28))
    assert any("4 held-out pictures" in notice.text for notice in events.of(Notice)) and events.of(Evaluated)
    fresh(workspace)
    with pytest.raises(UserError, match="only 32 photos"):
        train(workspace, held_out=32)


def test_an_evaluation_without_finite_numbers_is_left_out_and_the_run_goes_on(
    workspace: Workspace,
    anna: Path,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = iter([0.6, float("nan"), 0.5])  # the first without the word

    def losses_of(run: Run, images: list[int], with_word: bool = True) -> list[float]:
        return [next(losses)] * len(images)

    monkeypatch.setattr(evaluate, "losses_of", losses_of)
    events = train(workspace, steps=8, image_every=4, save_every=0, gradient_accumulation_steps=16, evaluate_every=4)
    assert [event.step for event in events.of(Evaluated)] == [8]
    assert any("broke down" in event.text for event in events.of(Notice)) and not events.of(Finished)[0].interrupted


def test_interrupt_does_not_wait_for_an_evaluation_and_resume_makes_it_up(
    workspace: Workspace, anna: Path, many: Path
) -> None:
    asked = {"steps": 12, "image_every": 0, "save_every": 0, "gradient_accumulation_steps": 16, "evaluate_every": 4}
    first = train(workspace, Recorder(stop_at=8), **asked)
    assert [event.step for event in first.of(Evaluated)] == [4]
    assert first.of(Finished)[0].interrupted
    later = Recorder()
    loop.resume(ResumeSettings(first.of(Started)[0].folder), workspace, later, later.stop)
    assert [event.step for event in later.of(Evaluated)] == [8, 12]


def test_a_word_that_comes_to_obey_less_is_told_at_once_and_the_early_stop_follows(
    workspace: Workspace,
    anna: Path,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loss falls at each evaluation, from 0.9 without the word, and the obedience falls faster."""
    losses, obedience = iter([0.9, 0.40, 0.39, 0.38]), iter([0.8, 0.6, 0.4])

    def losses_of(run: Run, images: list[int], with_word: bool = True) -> list[float]:
        return [next(losses)] * len(images)

    monkeypatch.setattr(evaluate, "losses_of", losses_of)
    monkeypatch.setattr(evaluate, "obedience_of", lambda effects, free: [next(obedience)] * len(free))
    events = train(
        workspace, steps=16, image_every=0, save_every=0, gradient_accumulation_steps=16, evaluate_every=4, early_stop=2
    )
    assert [event.best for event in events.of(Evaluated)] == [4, 4, 4] and events.of(StepDone)[-1].step == 12
    told = [event.text for event in events.of(Notice) if "obey less" in event.text]
    assert len(told) == 1 and told[0].startswith("Step 4 is the best so far: later steps are no better and obey less.")
    assert "Best step by the evaluation: 4. Later steps are no better and obey less." in events.of(Finished)[0].text
