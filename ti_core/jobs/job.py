"""One job of the queue, and what its events have told so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ti_core.events import (
    Alive,
    EmbeddingSaved,
    Emit,
    Evaluated,
    Event,
    Failed,
    Finished,
    Notice,
    PreviewSaved,
    Progress,
    Started,
    StepDone,
)
from ti_core.jobs.claims import Claims
from ti_core.models.device import DeviceState
from ti_core.program.control import Control
from ti_core.runs.history import RunHistory
from ti_core.settings import ResumeSettings
from ti_core.settings.option import Settings

State = Literal["waiting", "running", "finished", "interrupted", "failed", "cancelled", "foreign"]
"""A foreign job is of a kind that only another version of this program knows."""
STATES = tuple(state for state in get_args(State) if state != "foreign")
"""Those that are written down."""
Work = Callable[[Emit, threading.Event], object]
QUIET_AFTER_S = 20
"""Without news for so long, the page says so; and that the work does not answer, if it was not even heard."""
KEPT_FIELDS = (
    "id",
    "kind",
    "title",
    "owner",
    "settings",
    "result",
    "order",
    "state",
    "text",
    "folder",
    "done",
    "total",
    "needs",
)
"""What is written down of a job; the rest is in its run's folder."""


@dataclass
class Job:
    """One job and all that its events have told so far. One with `settings` can be kept, cloned and found again;
    the others are quick.
    """

    id: str
    kind: str
    title: str
    work: Work = field(repr=False)
    owner: str = ""
    settings: Settings | None = field(default=None, repr=False)
    result: str = ""
    order: float = 0.0
    """Its rank in the queue, and once it has ended among those that have; the smaller one comes first. Counted on,
    because a clock may be set back.
    """
    needs: list[str] = field(default_factory=list)
    """Ids of the jobs before it in the queue that make what it uses."""
    claims: Claims = field(default=Claims(), repr=False)
    """What it reads and writes; jobs that meet in it run one after the other."""
    device: str = ""
    """The place that it asks for by name; empty for any."""
    prefers: str = ""
    """The place that it takes of several that are free; empty where none is meant."""
    gains_by_device: bool = False
    """Of a small job, whether a free card does it before a processor."""
    count: int = 1
    """How many devices it trains on at once."""
    checkpoint: str = ""
    fits: Callable[[DeviceState], bool] | None = field(default=None, repr=False)
    """Whether it fits into a device's memory by the plan; None where no plan is made."""
    place: str = ""
    """Where it runs, or ran."""
    saved_at: float = field(default=0.0, repr=False)
    resume_step: int | None = None
    state: State = "waiting"
    stop: Control = field(default_factory=Control, repr=False)
    text: str = ""
    plan: str = ""
    folder: str = ""
    run_folder: str = ""
    """The folder of a training, as it would be typed; empty for other jobs."""
    done: int = 0
    total: int = 0
    first_step: int = 0
    has_steps: bool = False
    """Whether it has done a step itself; `curve` also holds those of the run before it."""
    prompt: str = ""
    curve: list[tuple[int, float, float]] = field(default_factory=list, repr=False)
    """(step, loss, learning rate) of each step of the run, by this job or before it."""
    evaluations: list[tuple[int, float, float]] = field(default_factory=list, repr=False)
    """(step, loss on the fixed inputs, length of the longest vector) of each step evaluated."""
    best: int = 0
    usual_norms: tuple[float, float] = (0.0, 0.0)
    previews: list[tuple[int, str, str, int]] = field(default_factory=list, repr=False)
    """(step, file, prompt, number of the prompt) of each preview."""
    notices: list[str] = field(default_factory=list, repr=False)
    files: list[str] = field(default_factory=list, repr=False)
    saved_steps: int = 0
    """Counts copies and pictures as they are saved, so that a page knows when its list of them is old."""
    steps_began: float = 0.0
    news_at: float = field(default_factory=time.monotonic, repr=False)
    alive_at: float = field(default=0.0, repr=False)
    """When its process was heard last; 0 for work that says no such thing, as that inside the server."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in ("waiting", "running")

    def fold(self, event: Event) -> None:
        """Take up what an event says."""
        if isinstance(event, Alive):
            self.alive_at = time.monotonic()
            return
        self.news_at = time.monotonic()
        match event:
            case Started():
                self.title, self.total, self.first_step = event.title, event.total, event.first_step
                self.done, self.plan, self.folder = event.first_step, event.plan, event.folder
            case Progress():
                self.text = event.text
                if not self.has_steps:
                    begins = event.done == 0 or event.done < self.done or not self.steps_began
                    if begins:  # another piece of work
                        self.steps_began = time.monotonic()
                    self.done, self.total = event.done, event.total
            case StepDone():
                if not self.has_steps:
                    self.has_steps, self.steps_began = True, time.monotonic() - event.elapsed_s
                self.done, self.prompt, self.text = event.step, event.prompt, ""
                self.curve.append((event.step, event.loss, event.rate))
            case Evaluated():
                self.evaluations.append((event.step, event.loss, event.norm))
                self.best, self.usual_norms = event.best, event.usual_norms
            case PreviewSaved():
                self.saved_steps += 1
                self.previews.append((event.step, event.path, event.prompt, event.number))
                self.files = [path for path in (event.path, event.card, *self.files) if path][:40]
            case EmbeddingSaved():
                self.saved_steps += 1
                self.files = [event.path, *self.files][:40]
            case Notice():
                self.notices.append(event.text)
            case Finished():
                self.text = event.text
                self.files = [*event.files, *(f for f in self.files if f not in event.files)]
                self.state = "interrupted" if event.interrupted else "finished"
            case Failed():
                self.text, self.state = event.text, "failed"

    def begin_with(self, past: RunHistory) -> None:
        """Take up what the run had become before this job."""
        self.curve, self.evaluations, self.previews = past.curve, past.evaluations, past.previews
        self.best, self.usual_norms = past.best, past.usual_norms

    def moved_to(self, old: Path, new: Path, shown: str) -> None:
        """Its run's folder has another place now, which is typed as `shown`."""

        def now(file: str) -> str:
            path = Path(file)
            return str(new / path.relative_to(old)) if path.is_relative_to(old) else file

        self.folder = str(new) if self.folder else ""
        if isinstance(self.settings, ResumeSettings):
            self.settings = ResumeSettings(shown)
        self.files = [now(file) for file in self.files]
        self.previews = [(step, now(file), prompt, number) for step, file, prompt, number in self.previews]

    @property
    def quiet_s(self) -> int:
        """Whole seconds without news while it runs, as a multiple of QUIET_AFTER_S, so that what is shown of it
        changes seldom; 0 where there was some.
        """
        return int(time.monotonic() - self.news_at) // QUIET_AFTER_S * QUIET_AFTER_S if self.state == "running" else 0

    @property
    def answers(self) -> bool:
        """Whether its process was heard of late, as far as that is known."""
        return not self.alive_at or time.monotonic() - max(self.alive_at, self.news_at) < QUIET_AFTER_S

    def pace(self) -> float:
        """Steps (or pieces of work) per second since the first, 0 while unknown."""
        count = self.done - (self.first_step if self.has_steps else 0)
        elapsed_s = time.monotonic() - self.steps_began
        return count / elapsed_s if self.steps_began and count > 0 and elapsed_s > 0.05 else 0.0

    def record(self) -> dict[str, Any]:
        """What is written down of it, for JSON."""
        fields = {name: getattr(self, name) for name in KEPT_FIELDS}
        return {**fields, "settings": self.settings.to_dict() if self.settings else None}
