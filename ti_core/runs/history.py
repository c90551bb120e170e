"""What a run's folder tells of the whole run: its curve, evaluations, previews and messages, with those of the runs
that it goes on from.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from ti_core.files import load_json
from ti_core.runs.folder import (
    COPIES,
    CSV_COLUMNS,
    EVALUATION_COLUMNS,
    EVENTS,
    MAX_STEP,
    embedding_name,
    files_of_step,
    files_of_steps,
    previews_of_steps,
    read_events,
    saved_facts,
    saved_steps,
)

_Found = TypeVar("_Found")
LOSSES, EVALUATIONS = "textual_inversion_loss.csv", "textual_inversion_evaluation.csv"
MOST_PARTS = 50
"""Of one run: so often it may have been trained on in another folder."""


@dataclass
class RunHistory:
    """What has become of a run, in rising order of its steps."""

    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, loss, learning rate)."""
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, loss on the fixed inputs, length of the longest vector)."""
    best: int = 0
    usual_norms: tuple[float, float] = (0.0, 0.0)
    previews: list[tuple[int, str, str, int]] = field(default_factory=list)
    """(step, file, prompt, number of the prompt)."""
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A folder that a run was trained in: its steps after `after`, up to `until`."""

    folder: Path
    after: int
    until: int


# ---- where a run has been trained


def parts_of(folder: Path) -> list[Part]:
    """The folders of a run, the oldest first: an embedding that is trained on another day gets another folder.

    A run goes on from the latest one before it that holds a copy or a state of that name and step.
    """
    folders, starts, at = [folder], [first_step_of(folder)], folder
    while starts[0] and len(folders) < MOST_PARTS and (before := _run_before(at, starts[0])):
        at = before
        folders.insert(0, at)
        starts.insert(0, first_step_of(at))
    return [
        Part(folder, after, until)
        for folder, (after, until) in zip(folders, pairwise([*starts, MAX_STEP]), strict=True)
    ]


def first_step_of(folder: Path) -> int:
    """How many updates the embedding had when the run in this folder began, as its oldest settings file says; 0 where
    none does.
    """
    began = _began(folder)
    first = load_json(folder / began).get("initial_step") if began else 0
    return first if type(first) is int and 0 <= first <= MAX_STEP else 0


def _began(folder: Path) -> str:
    """When the run was begun first, as its oldest settings file says, which sorts by time; empty where none does."""
    return min((path.name for path in folder.glob("settings-*.json")), default="")


def _run_before(folder: Path, step: int) -> Path | None:
    name, began = _name_of(folder), _began(folder)
    if not name or not began:
        return None
    found = [
        (_began(other), other)
        for other in folder.parent.parent.glob("*/*")
        if other != folder and _holds(other, name, step)
    ]
    return max((pair for pair in found if "" < pair[0] < began), default=("", None))[1]


def _name_of(folder: Path) -> str:
    facts = saved_facts(folder)
    return facts["name"] if facts else next(map(embedding_name, saved_steps(folder).values()), folder.name)


def _holds(folder: Path, name: str, step: int) -> bool:
    """Whether the folder has that step of the embedding, as a copy or as the state to go on from."""
    if any((folder / COPIES).glob(f"{_escaped(name)}-{step}.*")):
        return True
    facts = saved_facts(folder) or {}
    return (facts.get("name"), facts.get("step")) == (name, str(step))


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def folder_of_step(folder: Path, step: int) -> Path:
    """The folder among those of the run that holds the copy of this step; the run's own where none does."""
    copy = all_saved_steps(folder).get(step)
    return copy.parent.parent if copy else folder


def all_saved_steps(folder: Path) -> dict[int, Path]:
    """As `saved_steps`, with the copies of the steps before those of this folder."""
    return _of_all(folder, saved_steps)


def files_of_all_steps(folder: Path) -> dict[int, dict[str, Path]]:
    """As `files_of_steps`, with the steps before those of this folder."""
    return _of_all(folder, files_of_steps)


def files_of_one_step(folder: Path, step: int) -> dict[str, Path]:
    """One row of `files_of_all_steps`, without listing the others."""
    return _of_all(folder, lambda part: {step: files} if (files := files_of_step(part, step)) else {}).get(step, {})


def _of_all(folder: Path, steps_of: Callable[[Path], dict[int, _Found]]) -> dict[int, _Found]:
    """What `steps_of` finds in each folder of the run, as far as its steps go; of a step in two the later one's."""
    found: dict[int, _Found] = {}
    for part in parts_of(folder):
        found.update({step: files for step, files in steps_of(part.folder).items() if part.after <= step <= part.until})
    return dict(sorted(found.items()))


# ---- what it tells


def read_history(folder: Path, until: int = MAX_STEP) -> RunHistory:
    """All that is known of the run up to the step `until`, from its events, or where there are none from the tables
    and pictures, as A1111 leaves them. What is damaged is left out.
    """
    history = RunHistory()
    for part in parts_of(folder):
        _add(history, part, until)
    return history


def _add(history: RunHistory, part: Part, until: int) -> None:
    last = min(part.until, until)
    curve = list(_curve(part.folder))
    history.curve += [row for row in curve if part.after < row[0] <= last]
    evaluations = [row for row in _evaluations(part.folder) if part.after < row[0] <= last]
    history.evaluations += [row[:3] for row in evaluations]
    if evaluations:
        history.best = int(evaluations[-1][3])
    events = list(read_events(part.folder / EVENTS, "Evaluated"))
    norms = events[-1].get("usual_norms") if events else None
    if isinstance(norms, list) and len(norms) == 2:
        with contextlib.suppress(ValueError, TypeError):
            history.usual_norms = (_finite(norms[0]), _finite(norms[1]))
    painted = {(row[0], row[3]): row for row in (*history.previews, *_previews(part.folder)) if row[0] <= last}
    history.previews = [painted[key] for key in sorted(painted)]
    for event in read_events(part.folder / EVENTS, "Notice"):
        if isinstance(text := event.get("text"), str):
            history.notices.append(text)


def _steps_done(folder: Path) -> Iterator[tuple[int, float, float]]:
    """(step, loss, rate) by the run's events."""
    for event in read_events(folder / EVENTS, "StepDone"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            yield _step(event["step"]), _finite(event["loss"]), _finite(event["rate"])


def _curve(folder: Path) -> list[tuple[int, float, float]]:
    rows = {row[0]: row for row in _steps_done(folder)}  # of two of one step the later one counts
    if not rows:
        table = _rows(folder / LOSSES, CSV_COLUMNS)
        rows = {step: (step, loss, rate) for step, _, _, loss, rate in table}
    return [rows[step] for step in sorted(rows)]


def _evaluations(folder: Path) -> list[tuple[int, float, float, float]]:
    """Rows of the table: step, loss, norm, the best step by then."""
    rows = {row[0]: row for row in _rows(folder / EVALUATIONS, EVALUATION_COLUMNS)}
    return [rows[step] for step in sorted(rows)]


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The numbers of a table's rows, the first a whole one; rows that hold anything else are left out."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                try:
                    yield _step(int(row["step"])), *(_finite(row[name]) for name in columns[1:])
                except (ValueError, KeyError, TypeError):
                    continue
    except (OSError, csv.Error):
        return


def _previews(folder: Path) -> list[tuple[int, str, str, int]]:
    """The pictures that are there, with the prompts that the events tell."""
    prompts: dict[tuple[int, int], str] = {}
    for event in read_events(folder / EVENTS, "PreviewSaved"):
        step, number, prompt = event.get("step"), event.get("number", 1), event.get("prompt")
        if isinstance(prompt, str) and type(step) is int and type(number) is int:
            prompts[step, number] = prompt
    return [
        (step, str(path), prompts.get((step, number), ""), number)
        for step, pictures in previews_of_steps(folder).items()
        for number, path in pictures.items()
    ]


def _step(value: Any) -> int:
    """Raises ValueError for what is no step."""
    if type(value) is not int or not 0 <= value <= MAX_STEP:
        raise ValueError(value)
    return value


def _finite(value: Any) -> float:
    """Raises ValueError for what a browser cannot read."""
    try:
        number = float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise ValueError(value) from error
    if not math.isfinite(number):
        raise ValueError(value)
    return number
