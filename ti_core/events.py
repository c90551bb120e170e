"""What a job tells those who watch it. Events are the only thing that passes from a job to the page, the terminal
and tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Event:
    """Base of all events; one JSON line each in events.jsonl."""

    def to_json(self) -> str:
        """ASCII alone: names of files may hold half a surrogate, and captions what some readers take for the end of
        a line.
        """
        return json.dumps({"event": type(self).__name__, **asdict(self)})


@dataclass(frozen=True)
class Started(Event):
    """The job's work begins. `total` counts its steps, `first_step` those already done before; `plan` is a sentence
    for the user.
    """

    title: str
    total: int
    first_step: int = 0
    plan: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Something that takes time and is not a training step: loading, encoding, cropping."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class StepDone(Event):
    """One update of the vectors. `loss` is its mean over all its pictures, `rate` the learning rate, `prompt` one
    of its prompts.
    """

    step: int
    loss: float
    rate: float
    prompt: str
    elapsed_s: float


@dataclass(frozen=True)
class PreviewSaved(Event):
    """`card` is empty where no card was asked for."""

    step: int
    path: str
    prompt: str
    card: str = ""


@dataclass(frozen=True)
class EmbeddingSaved(Event):
    step: int
    path: str


@dataclass(frozen=True)
class Evaluated(Event):
    """The loss of a step on fixed inputs, and which evaluated step is the best so far.

    `losses` are those of each input, and `inputs` is a sign of what these are: others cannot be compared. `norm` is
    the length of the longest vector, `usual_norms` the range of nine of ten of the checkpoint's words.
    """

    step: int
    loss: float
    norm: float
    best: int
    losses: list[float] = field(default_factory=list)
    usual_norms: tuple[float, float] = (0.0, 0.0)
    inputs: str = ""


@dataclass(frozen=True)
class Alive(Event):
    """A working process is heard, though it may have nothing to say; `rank` is its number among those that train
    together. Kept nowhere.

    One that `ends` will be heard no more, and is not missed.
    """

    rank: int = 0
    ends: bool = False


@dataclass(frozen=True)
class Notice(Event):
    """A sentence that the user should read; the job goes on."""

    text: str


@dataclass(frozen=True)
class Finished(Event):
    """The job ended well, or was interrupted and saved. `files` are its results."""

    text: str
    interrupted: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed(Event):
    """The job ended without its result."""

    text: str


Emit = Callable[[Event], None]
_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (Started, Progress, StepDone, PreviewSaved, EmbeddingSaved, Evaluated, Alive, Notice, Finished, Failed)
}


def parse_event(line: str) -> Event:
    """What `to_json` wrote. Raises ValueError for anything else."""
    values = json.loads(line)
    try:
        kind = _KINDS[values.pop("event")]
        return kind(
            **{name: tuple(value) if name in ("files", "usual_norms") else value for name, value in values.items()}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Not an event: {line[:100]}") from error
