"""Which evaluated step of a run to keep, and when there is no use in training on. Plain numbers; the evaluation
itself is in training/evaluate.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from ti_core.runs.folder import EVENTS, read_events

Losses = Mapping[int, Sequence[float]]
"""Step -> the loss on each fixed input, always in the same order."""


def noise_of(losses: Sequence[float], best: Sequence[float]) -> float:
    """Standard error of the mean of the paired differences. Both steps are evaluated on the same inputs, so what makes
    one input harder than another cancels.
    """
    differences = [a - b for a, b in zip(losses, best, strict=True)]
    return stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0


def best_step(history: Losses) -> int:
    """The earliest step whose mean loss is within one standard error of the lowest: later steps are no better on these
    inputs, and more overtrained.
    """
    lowest = min(history, key=lambda step: (fmean(history[step]), step))
    return min(
        step
        for step, losses in history.items()
        if fmean(losses) - fmean(history[lowest]) <= noise_of(losses, history[lowest])
    )


def evaluations_without_gain(history: Losses) -> int:
    """Number of evaluations after the best step, for early stopping."""
    best = best_step(history)
    return sum(step > best for step in history)


def load_history(events_file: Path, inputs: str | None = None) -> dict[int, list[float]]:
    """The evaluations in a run's events.jsonl: step -> loss on each input. Only those with the given `inputs` (None:
    those of the last evaluation), because losses on other inputs cannot be compared.
    """
    events = list(read_events(events_file, "Evaluated"))
    last = events[-1] if events else {}
    wanted = (last.get("inputs") if inputs is None else inputs, len(last.get("losses", ())))
    # Of two evaluations of one step, as after a resume, the later one counts.
    return {event["step"]: event["losses"] for event in events if (event.get("inputs"), len(event["losses"])) == wanted}


def best_of(run: Path) -> int:
    """The best step by the evaluations of the run in this folder; 0 if it was not evaluated."""
    history = load_history(run / EVENTS)
    return best_step(history) if history else 0
