from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.test_loop import anna, train
from ti_core.events import Started, StepDone
from ti_core.workspace import Workspace


def test_tensorboard_shows_the_loss_of_every_step_and_the_previews(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, tensorboard=True, tensorboard_images=True)
    board = EventAccumulator(str(Path(events.of(Started)[0].folder) / "tensorboard"))
    board.Reload()
    losses = [(point.step, round(point.value, 5)) for point in board.Scalars("Loss/train")]
    assert losses == [(event.step, round(event.loss, 5)) for event in events.of(StepDone)]
    assert [round(point.value, 5) for point in board.Scalars("Learn rate/train")] == [0.05, 0.05, 0.02, 0.02]
    assert (
        [image.step for image in board.Images("Preview")]
        == [image.step for image in board.Images("Preview 2")]
        == [0, 2, 4]
    )


def test_the_loss_table_takes_every_nth_step(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, csv_every=3, image_every=0)
    rows = (Path(events.of(Started)[0].folder) / "textual_inversion_loss.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "3"]
    assert not (Path(events.of(Started)[0].folder) / "tensorboard").exists()
