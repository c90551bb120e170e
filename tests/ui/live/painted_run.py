"""A training without a model, which paints a step when a test says so."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.runs.test_in_use import rows
from ti_core.embeddings.formats import save_embedding
from ti_core.errors import Interrupted
from ti_core.events import EmbeddingSaved, Evaluated, Event, Finished, PreviewSaved, Started, StepDone
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.runs.folder import RunFolder
from ti_core.settings import TrainSettings
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS

PROMPT = "a photo of anna, smiling, wearing a green hat and a very long scarf, standing in a garden full of flowers, {}"


class PaintedRun:
    """`step(10)` saves that step's copy, card and previews and tells of them; `end()` finishes it."""

    def __init__(self, jobs: JobQueue, root: Path, prompts: int = 1, total: int = 1000) -> None:
        self.run, self.prompts, self.total = (
            RunFolder(root / "textual_inversion" / "day" / "anna", "anna"),
            prompts,
            total,
        )
        self._todo: queue.Queue[Callable[[Any], None] | None] = queue.Queue()
        settings = TrainSettings(embedding="anna", dataset_directory=f"{SHOWN_SAMPLE_PHOTOS}/anna")
        self.job: Job = jobs.submit("train", "Train anna", self._work, settings=settings)

    def step(self, step: int, *more: Event, copy: bool = True) -> None:
        """One step that is painted."""
        self._todo.put(lambda emit: self._paint(emit, step, more, copy))

    def end(self) -> None:
        """The training is over."""
        self._todo.put(None)

    def _work(self, emit: Any, stop: threading.Event) -> None:
        emit(Started("Training anna", self.total, plan="Each step looks at 24 pictures.", folder=str(self.run.root)))
        while not stop.is_set():
            try:
                todo = self._todo.get(timeout=0.1)
            except queue.Empty:
                continue
            if todo is None:
                return emit(Finished("Training finished. Embedding saved to embeddings/anna.pt."))
            todo(emit)
        raise Interrupted

    def _paint(self, emit: Any, step: int, more: tuple[Event, ...], copy: bool) -> None:
        if step:
            emit(StepDone(step, 0.1, 0.005, PROMPT.format("learned from"), 0.1))
        if copy:
            emit(EmbeddingSaved(step, str(save_embedding(self.run.copy(step), rows(step, f"anna-{step}")))))
        for number in range(1, self.prompts + 1):
            picture = (
                self.run.preview(step) if number == 1 else self.run.preview(step).with_stem(f"anna-{step}-p{number}")
            )
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (step % 256, 60 * number % 256, 160)).save(picture)
            event = PreviewSaved(step, str(picture), PROMPT.format(number))
            emit(event)
            if number > 1:  # until the event itself tells the number
                self.job.previews[-1] = (*self.job.previews[-1][:3], number)
        for event_ in more:
            emit(event_)


def evaluated(step: int, best: int) -> Evaluated:
    """An evaluation of a step, and which one is the best so far."""
    return Evaluated(step, 0.2, 0.5, best, [0.2], (0.2, 0.4))
