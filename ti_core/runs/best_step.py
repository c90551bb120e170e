"""Which evaluated step of a run to keep, and when there is no use in training on. Plain numbers; the evaluation
itself is in training/evaluate.py.

The losses on a few training pictures go on falling while a word learns them by heart and drowns the rest of a prompt,
so alone they call the last step the best. Beside them stands how well the word obeys (training/obedience.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from pathlib import Path
from statistics import fmean, stdev

from ti_core.runs.folder import EVENTS, read_events


@dataclass(frozen=True)
class Measured:
    """What an evaluation found, each always on the same inputs in the same order: the `losses`, those of the same
    prompts `without` the word, and the `obedience` in prompts about other things, about 1 where the word leaves the
    rest of a prompt its effect and 0 where it drowns it. Earlier versions measured the losses alone.
    """

    losses: Sequence[float]
    without: Sequence[float] = ()
    obedience: Sequence[float] = ()

    @property
    def gain(self) -> float:
        """How much of the loss the word takes away; 0 where it was not measured."""
        return fmean(self.without) - fmean(self.losses) if self.without else 0.0

    @property
    def obeys(self) -> float:
        """The mean obedience, at least 0; 0 where it was not measured."""
        return max(0.0, fmean(self.obedience)) if self.obedience else 0.0

    @property
    def worth(self) -> float:
        """Likeness times obedience: a tenth more of one makes up for a tenth less of the other. 0 where the word is of
        no use, or where they were not measured.
        """
        return max(0.0, self.gain) * self.obeys


History = Mapping[int, Measured]
"""By step."""


def noise_of(values: Sequence[float], others: Sequence[float]) -> float:
    """Standard error of the mean of the paired differences. Both steps are evaluated on the same inputs, so what makes
    one input harder than another cancels.
    """
    differences = [a - b for a, b in zip(values, others, strict=True)]
    return stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0


def best_step(history: History) -> int:
    """The earliest step that is within one standard error of the one with the most likeness times obedience: later
    steps are no better on these inputs, and more overtrained. By the loss alone where only that was measured, or where
    no step makes the pictures likelier.
    """
    most = max(history, key=lambda step: (history[step].worth, -step))
    if history[most].worth:
        return min(step for step in history if _is_as_good(history[step], history[most]))
    lowest = min(history, key=lambda step: (fmean(history[step].losses), step))
    best = history[lowest].losses
    return min(
        step for step, found in history.items() if fmean(found.losses) - fmean(best) <= noise_of(found.losses, best)
    )


def _is_as_good(found: Measured, best: Measured) -> bool:
    """Whether its worth is within one standard error of the best; in shares of it, the errors of a product add up."""
    shortfall = log(best.worth / found.worth) if found.worth else inf
    noise = sqrt(
        (noise_of(found.losses, best.losses) / best.gain) ** 2
        + (noise_of(found.obedience, best.obedience) / best.obeys) ** 2
    )
    return shortfall <= noise


def evaluations_without_gain(history: History) -> int:
    """Number of evaluations after the best step, for early stopping."""
    best = best_step(history)
    return sum(step > best for step in history)


def obeys_less_later(history: History) -> bool:
    """Whether the last two evaluations come after the best step, and the word obeys less there than at the best, by
    more than one standard error: it is overtrained.
    """
    best, steps = best_step(history), sorted(history)
    return len(steps) > 2 and steps[-2] > best and all(_obeys_less(history[s], history[best]) for s in steps[-2:])


def _obeys_less(found: Measured, best: Measured) -> bool:
    return best.obeys - found.obeys > noise_of(found.obedience, best.obedience)


def is_news(history: History) -> bool:
    """Whether the last evaluation is the first that shows that word of the best step is overtrained. A function of the
    history alone, so that a resumed run says it neither twice nor never.
    """
    best, steps = best_step(history), sorted(history)
    earlier = ({step: history[step] for step in steps[:count]} for count in range(1, len(steps)))
    return obeys_less_later(history) and not any(
        max(part) > best and best_step(part) == best and obeys_less_later(part) for part in earlier
    )


def load_history(events_file: Path, inputs: str | None = None) -> dict[int, Measured]:
    """The evaluations in a run's events.jsonl, by step. Only those with the given `inputs` (None: those of the last
    evaluation), because losses on other inputs cannot be compared.
    """
    events = list(read_events(events_file, "Evaluated"))
    last = events[-1] if events else {}
    wanted = (last.get("inputs") if inputs is None else inputs, _counts(last))
    # Of two evaluations of one step, as after a resume, the later one counts.
    return {
        event["step"]: Measured(event["losses"], event.get("without", []), event.get("obedience", []))
        for event in events
        if (event.get("inputs"), _counts(event)) == wanted
    }


def _counts(event: Mapping[str, Sequence[float]]) -> tuple[int, ...]:
    return tuple(len(event.get(part, ())) for part in ("losses", "without", "obedience"))


def best_of(run: Path) -> int:
    """The best step by the evaluations of the run in this folder; 0 if it was not evaluated."""
    history = load_history(run / EVENTS)
    return best_step(history) if history else 0
