"""What a job reports to its viewers. Events are the only thing that passes from a job to the page, the terminal and
tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Event:
    """Base of all events; one JSON line each in events.jsonl."""

    def to_json(self) -> str:
        """One line of ASCII JSON: file names may hold a lone surrogate, and captions characters that some readers
        take for the end of a line.
        """
        return json.dumps({"event": type(self).__name__, **asdict(self)})


# ---- the work


@dataclass(frozen=True)
class Started(Event):
    """The job's work begins. `total` is the number of its last step, `first_step` how many were done before; `plan` is
    a sentence for the user, `folder` the run's folder if it trains.
    """

    title: str
    total: int
    first_step: int = 0
    plan: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Progress of something else than training steps: loading, encoding, cropping. `done` of `total` parts."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class StepDone(Event):
    """One update of the vectors. `step` is counted from 1, `loss` is the mean over the update's images, `rate` the
    learning rate, `prompt` one of its prompts, `elapsed_s` how long the update took.
    """

    step: int
    loss: float
    rate: float
    prompt: str
    elapsed_s: float


@dataclass(frozen=True)
class PreviewSaved(Event):
    """The preview of a step was painted with one of its prompts, which `number` counts from 1; step 0 is the start,
    before the first update. `card` is the same picture with the embedding inside, empty where there is none: only
    number 1 has one.
    """

    step: int
    path: str
    prompt: str
    card: str = ""
    number: int = 1


@dataclass(frozen=True)
class EmbeddingSaved(Event):
    """A step's copy of the embedding, or the final file, was saved."""

    step: int
    path: str


@dataclass(frozen=True)
class Evaluated(Event):
    """The mean loss of a step on fixed inputs, and the best evaluated step so far.

    `losses` has the loss on each input; `inputs` is a hash of these inputs, because losses on others cannot be
    compared. `norm` is the largest L2 norm among the vectors, `usual_norms` the 5th and 95th percentile of the norms
    of the checkpoint's words. `without` and `obedience` are what `Measured` in runs/best_step.py says; events of
    earlier versions have none.
    """

    step: int
    loss: float
    norm: float
    best: int
    losses: list[float] = field(default_factory=list)
    usual_norms: tuple[float, float] = (0.0, 0.0)
    inputs: str = ""
    without: list[float] = field(default_factory=list)
    obedience: list[float] = field(default_factory=list)


# ---- the process


@dataclass(frozen=True)
class Alive(Event):
    """A sign of life of a working process; `rank` is its number among those that train together. It is not stored.

    With `ends` it is the process's last one, and its silence afterwards is expected.
    """

    rank: int = 0
    ends: bool = False


@dataclass(frozen=True)
class Notice(Event):
    """A sentence that the user should read; the job goes on."""

    text: str


# ---- the end


@dataclass(frozen=True)
class Finished(Event):
    """The job is complete, or was interrupted and saved. `files` are its results."""

    text: str
    interrupted: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed(Event):
    """The job ended without its result."""

    text: str


# ---- lines of JSON


Emit = Callable[[Event], None]
_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (Started, Progress, StepDone, PreviewSaved, EmbeddingSaved, Evaluated, Alive, Notice, Finished, Failed)
}


def parse_event(line: str) -> Event:
    """The event of a line that `to_json` wrote. Raises ValueError for anything else."""
    values = json.loads(line)
    try:
        kind = _KINDS[values.pop("event")]
        return kind(
            **{name: tuple(value) if name in ("files", "usual_norms") else value for name, value in values.items()}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Not an event: {line[:100]}") from error
