"""The learning-rate text of A1111: "0.05:10, 0.02:20, 0.005" is 0.05 up to and including step 10, 0.02 up to 20,
then 0.005.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ti_core.errors import SettingsError, shown_number

EXAMPLE = "Write a number such as 0.005, or pairs such as 0.05:10, 0.02:20, 0.005."

HIGHEST_RATE = 100.0
"""Far above anything that trains; beyond it numbers overflow."""
MOST_DIGITS = 12
"""Of a step."""
MOST_PIECES = 1000
RATE_FORMS = ("as written", "linear to 0", "cosine to 0")
_QUOTES = "\"'`\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
MOST_SHOWN = 100
"""Characters of a piece that are repeated in an error."""


@dataclass(frozen=True)
class Schedule:
    """Pieces (rate, last step of it), in rising order; the last piece goes on for ever.

    With another `form` than the first of RATE_FORMS the rates fall to nothing over `steps` steps; the first `warm_up`
    steps rise to them.
    """

    pieces: tuple[tuple[float, float], ...]
    form: str = RATE_FORMS[0]
    warm_up: int = 0
    steps: int = 0

    def rate_at(self, step: int) -> float:
        """The rate of update number `step`, counted from 1; never 0."""
        rate = next((rate for rate, last in self.pieces if step <= last), self.pieces[-1][0])
        if step <= self.warm_up:
            rate *= step / (self.warm_up + 1)
        if self.form == RATE_FORMS[0] or not self.steps:
            return rate
        done = min(1.0, (step - 1) / self.steps)
        return rate * (1 - done if self.form == RATE_FORMS[1] else (1 + math.cos(math.pi * done)) / 2)


def parse_schedule(text: str, label: str = "Embedding Learning rate") -> Schedule:
    """Parse the text; raises SettingsError that names every piece it cannot read, and the field by its `label`.

    The grammar is that of A1111 1.10.1 (textual_inversion/learn_schedule.py). What differs is row T2 of docs/parity.md:
    all pieces are checked, a rate must be above 0, boundaries must rise, and a last piece with a boundary goes on at
    its rate, where A1111 ends the training.
    """
    pieces: list[tuple[float, float]] = []
    problems: list[str] = []
    texts = [piece.strip() for piece in text.split(",") if piece.strip()]
    if len(texts) > MOST_PIECES:
        raise SettingsError([f"{label} has {len(texts)} pieces. Write at most {MOST_PIECES}."])
    for number, piece in enumerate(texts, 1):
        where = f"{label}: piece {number}, '{piece[:MOST_SHOWN]}',"
        parts = piece.split(":")
        rate = _number(parts[0])
        if len(parts) > 2 or rate is None:
            problems.append(f"{where} is not a rate. {EXAMPLE}")
            continue
        if not 0 < rate <= HIGHEST_RATE:
            problems.append(
                f"{where} has the rate {parts[0].strip()[:MOST_SHOWN]}. A rate must be above 0 and at most"
                f" {shown_number(HIGHEST_RATE)}; 0.005 is usual."
            )
            continue
        last = math.inf if len(parts) == 1 or parts[1].strip() == "-1" else _whole(parts[1])
        if last is None or last < 1:
            problems.append(
                f"{where} has the step '{parts[1].strip()[:MOST_SHOWN]}'. A step must be a whole number above 0, of at"
                f" most {MOST_DIGITS} digits."
            )
        elif pieces and pieces[-1][1] == math.inf:
            problems.append(f"{where} is never reached, because the piece before it has no step and goes on for ever.")
        elif pieces and last <= pieces[-1][1]:
            problems.append(
                f"{where} ends at step {shown_number(last)}, but the piece before it ends at"
                f" {shown_number(pieces[-1][1])}. Steps must rise."
            )
        else:
            pieces.append((rate, last))
    if not texts:
        problems.append(f"{label} is empty. {EXAMPLE}")
    if problems:
        meant = _meant(text)
        raise SettingsError([f"{label}: '{text.strip()[:MOST_SHOWN]}' cannot be read. {meant}"] if meant else problems)
    return Schedule(tuple(pieces))


def _meant(text: str) -> str:
    """What to write instead of the decimal commas, semicolons or quotes of a broken text, if that can be read.

    It is told and not taken as meant, because A1111 and older versions read the same text in their own way.
    """
    plain = text.strip().strip(_QUOTES)
    without_quotes = plain != text.strip()
    has_semicolons = ";" in plain
    if has_semicolons:  # then a comma between two digits can only be a decimal one
        meant = ", ".join(re.sub(r"(?<=\d),(?=\d)", ".", piece.strip()) for piece in plain.split(";") if piece.strip())
    else:  # a rate of 0 is none, so what follows it are its decimals
        meant = re.sub(r"(?<![\d.])0,(?=\d)|(?:^|(?<=\s)),(?=\d)", "0.", plain)
    if meant == plain and not without_quotes:
        return ""
    try:
        parse_schedule(meant)
    except SettingsError:
        return ""
    why = [
        *(["no quotes"] if without_quotes else []),
        *(["commas, not semicolons, between the pieces"] if has_semicolons else []),
        *(["a point, not a comma"] if meant.count(".") > plain.count(".") else []),
    ]
    return f"Write {' and '.join(why)}: {meant[:MOST_SHOWN]}"


def _number(text: str) -> float | None:
    if re.match(r"\s*[+-]?0\d", text):  # 005 is what a decimal comma leaves of 0,005, and no 5
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    try:
        return int(text) if len(text) <= MOST_DIGITS else None
    except ValueError:
        return None
