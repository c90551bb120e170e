"""Errors that are meant for the user. Every other exception is a bug of ours."""

from __future__ import annotations

from decimal import Decimal


class UserError(Exception):
    """`problem` says what happened, with which value; `hint` says what to do next. Each is one clear sentence."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem} {hint}".strip())
        self.problem = problem
        self.hint = hint


class SettingsError(UserError):
    """All problems of a form at once, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Interrupted(Exception):
    """Raised inside a job when somebody pressed Interrupt."""


def shown_number(value: float) -> str:
    """A number as people write it: 4294967295 and 0.00005, where Python's :g gives 4.29497e+09 and 5e-05."""
    return format(Decimal(f"{value + 0.0:.10g}"), "f")


def unexpected(error: Exception) -> str:
    """The sentence that users see for an exception that is a bug of ours."""
    return f"An unexpected error: {type(error).__name__}: {error}. The terminal shows where it happened."
