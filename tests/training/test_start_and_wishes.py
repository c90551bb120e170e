"""The start is painted before the first update, and a picture or a copy can be had in between; neither touches the
training.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Recorder
from tests.training.test_loop import anna, rows_of, settings_for, train
from tests.training.test_resume import anew, go_on
from ti_core.embeddings.formats import load_embedding
from ti_core.events import EmbeddingSaved, Event, Finished, PreviewSaved, Started, StepDone
from ti_core.program.control import PICTURE, SAVE, Control
from ti_core.runs.folder import saved_step
from ti_core.settings import ResumeSettings
from ti_core.training import loop, snapshots
from ti_core.workspace import Workspace


class Asks(Recorder):
    """Wishes for something when a step is done."""

    def __init__(self, wishes: dict[int, Iterable[str]], stop_at: int = 0) -> None:
        super().__init__(stop_at)
        self.stop: Control = Control()
        self.wishes = wishes

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, StepDone):
            for wish in self.wishes.get(event.step, ()):
                self.stop.ask(wish)


def steps_of(events: Recorder, kind: type[Event]) -> list[int]:
    return list(dict.fromkeys(event.step for event in events.of(kind)))  # type: ignore[attr-defined]


def folder_of(events: Recorder) -> Path:
    return Path(events.of(Started)[0].folder)


# ---- the start


def test_the_start_is_painted_before_the_first_update(workspace: Workspace, anna: Path) -> None:
    events = train(workspace)
    painted, trained = events.of(PreviewSaved), events.of(StepDone)
    assert steps_of(events, PreviewSaved) == [0, 2, 4]
    assert Path(painted[0].path).name == "anna-0.png" and Path(painted[0].path).is_file()
    assert not painted[0].card and painted[2].card
    kept = [type(event) for event in events.events]
    assert "Painting the start" in [getattr(event, "text", "") for event in events.events[: kept.index(StepDone)]]
    assert len(trained) == 4


def test_no_start_where_previews_are_off_and_none_again_where_training_goes_on(
    workspace: Workspace, anna: Path
) -> None:
    assert not train(workspace, steps=1, image_every=0).of(PreviewSaved)
    assert steps_of(train(workspace, steps=2), PreviewSaved) == [1, 2]  # the vectors that this training begins with
    assert steps_of(train(workspace, steps=4), PreviewSaved) == [4]  # which are there already
    anew(workspace)
    stopped = train(workspace, Recorder(stop_at=3), steps=6, image_every=10)
    assert steps_of(stopped, PreviewSaved) == [0]
    assert not go_on(workspace, folder_of(stopped)).of(PreviewSaved)


def test_interrupt_while_the_start_is_painted_ends_at_step_0_and_resume_paints_it(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(workspace)
    unbroken = rows_of(anna)
    anew(workspace)
    recorder, paint = Recorder(), snapshots.sample_images

    def stopped(*given: Any, **named: Any) -> object:
        recorder.stop.set()
        return paint(*given, **named)

    monkeypatch.setattr(snapshots, "sample_images", stopped)
    train(workspace, recorder)
    (ended,) = recorder.of(Finished)
    assert ended.interrupted and "interrupted at 0 steps" in ended.text
    assert not recorder.of(PreviewSaved) and not recorder.of(StepDone) and saved_step(folder_of(recorder)) == 0
    monkeypatch.undo()
    again = go_on(workspace, folder_of(recorder))
    assert steps_of(again, PreviewSaved) == [0, 2, 4] and torch.equal(rows_of(anna), unbroken)


# ---- picture now, save now


def test_a_picture_and_a_copy_come_with_the_step_they_are_asked_at_and_change_nothing(
    workspace: Workspace, anna: Path
) -> None:
    values = {"steps": 6, "image_every": 0, "save_every": 0}
    train(workspace, **values)
    undisturbed = rows_of(anna)
    anew(workspace)
    asks = Asks({1: [PICTURE], 3: [SAVE, SAVE], 5: [PICTURE, SAVE]})
    train(workspace, asks, **values)
    assert torch.equal(rows_of(anna), undisturbed)
    assert [(event.step, event.number) for event in asks.of(PreviewSaved)] == [(1, 1), (1, 2), (5, 1), (5, 2)]
    assert [event.step for event in asks.of(EmbeddingSaved)] == [3, 5, 6]
    copies = sorted((folder_of(asks) / "embeddings").glob("*.pt"))
    assert [(path.name, load_embedding(path).step) for path in copies] == [("anna-3.pt", 3), ("anna-5.pt", 5)]


def test_what_is_due_and_asked_for_is_done_once(workspace: Workspace, anna: Path) -> None:
    asks = Asks({2: [PICTURE, PICTURE, SAVE]})
    train(workspace, asks, steps=2)
    assert [event.number for event in asks.of(PreviewSaved) if event.step == 2] == [1, 2]
    assert len([event for event in asks.of(EmbeddingSaved) if event.step == 2]) == 2


def test_a_resume_from_a_saved_moment_gives_the_vectors_of_an_undisturbed_run(workspace: Workspace, anna: Path) -> None:
    values = {"steps": 9, "image_every": 0, "save_every": 0}
    train(workspace, **values)
    undisturbed = rows_of(anna)
    anew(workspace)

    class Ends(Asks):
        def __call__(self, event: Event) -> None:
            super().__call__(event)
            if isinstance(event, StepDone) and event.step == 4:
                raise KeyboardInterrupt  # as if it was killed: the state of step 3 is what is there

    asks = Ends({2: [PICTURE], 3: [SAVE]})
    with pytest.raises(KeyboardInterrupt):
        loop.train(settings_for(**values), workspace, asks, asks.stop)
    folder = folder_of(asks)
    assert saved_step(folder) == 3 and (folder / "embeddings" / "anna-3.pt").is_file()
    later = Asks({6: [PICTURE, SAVE]})
    loop.resume(ResumeSettings(str(folder)), workspace, later, later.stop)
    assert steps_of(later, StepDone) == [4, 5, 6, 7, 8, 9] and steps_of(later, PreviewSaved) == [6]
    assert torch.equal(rows_of(anna), undisturbed)
