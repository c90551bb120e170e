"""Errors that are meant for the user. Every other exception is a bug of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal


class Problem(str):
    """One sentence for the user, with the name of the setting that it is about (`field`; empty for none), so that a
    page can show it where that is typed.
    """

    field: str

    def __new__(cls, sentence: str, field: str = "") -> Problem:
        problem = super().__new__(cls, sentence)
        problem.field = field or getattr(sentence, "field", "")
        return problem


class UserError(Exception):
    """`problem` says what happened, with which value; `hint` says what to do next. Each is one clear sentence.

    `field` names the setting that it is about, or the box of the page that has no setting; empty for none.
    """

    def __init__(self, problem: str, hint: str = "", field: str = "") -> None:
        super().__init__(f"{problem} {hint}".strip())
        self.problem = problem
        self.hint = hint
        self.problems = [Problem(str(self), field)]
        """All sentences, each with its field."""


class SettingsError(UserError):
    """All problems of a form at once, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = [Problem(sentence) for sentence in problems]


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is raised inside as a UserError is about this field, where it does not say so itself."""
    try:
        yield
    except UserError as error:
        error.problems = [problem if problem.field else Problem(problem, field) for problem in error.problems]
        raise


class Interrupted(Exception):
    """Raised inside a job when somebody pressed Interrupt."""


def shown_number(value: float) -> str:
    """A number as people write it: 4294967295 and 0.00005, where Python's :g gives 4.29497e+09 and 5e-05."""
    return format(Decimal(f"{value + 0.0:.10g}"), "f")


def unexpected(error: Exception) -> str:
    """The sentence that users see for an exception that is a bug of ours."""
    return f"An unexpected error: {type(error).__name__}: {error}. The terminal shows where it happened."
