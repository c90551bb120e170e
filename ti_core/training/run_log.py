"""Passes a run's events on to whoever watches, and keeps them: events.jsonl, the loss tables, TensorBoard."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ti_core.data.images import open_rgb
from ti_core.events import Emit, Evaluated, Event, PreviewSaved, StepDone
from ti_core.runs.folder import RunFolder
from ti_core.runs.plan import RunPlan
from ti_core.settings import TrainSettings


class RunLog:
    """Call it with an event, from the loop or the writer. As a context manager it closes TensorBoard's file at the
    end of the run, however it ends.
    """

    def __init__(self, folder: RunFolder, plan: RunPlan, settings: TrainSettings, emit: Emit) -> None:
        self.folder, self.plan, self.settings, self.emit = folder, plan, settings, emit
        self._board: Any = None
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._keep(event)
            self.emit(event)

    def _keep(self, event: Event) -> None:
        self.folder.add_event(event)
        if isinstance(event, StepDone) and self.settings.csv_every and event.step % self.settings.csv_every == 0:
            self.folder.add_loss(self.plan, event.step, event.loss, event.rate)
        if isinstance(event, Evaluated):
            self.folder.add_evaluation(event)
        if self._board is not None:
            self._add_to_board(event)

    def _add_to_board(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self._board.add_scalar("Loss/train", event.loss, event.step)
            self._board.add_scalar("Learn rate/train", event.rate, event.step)
        elif isinstance(event, Evaluated):
            self._board.add_scalar("Loss/evaluation", event.loss, event.step)
            self._board.add_scalar("Norm", event.norm, event.step)
        elif isinstance(event, PreviewSaved) and self.settings.tensorboard_images:
            tag = f"Preview {event.number}" if event.number > 1 else "Preview"
            self._board.add_image(tag, np.asarray(open_rgb(Path(event.path))), event.step, dataformats="HWC")

    def __enter__(self) -> RunLog:
        if self.settings.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(
                str(self.folder.tensorboard),
                flush_secs=self.settings.tensorboard_flush_s,
                purge_step=self.plan.first_step + 1,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()
