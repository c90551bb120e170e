"""Errors that are meant for the person at the screen. Every other exception is a fault of ours."""

from __future__ import annotations

from decimal import Decimal


class UserError(Exception):
    """What happened, with the value (`problem`), and what to do next (`hint`); each one clear sentence."""

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
    """The sentence for what nobody foresaw."""
    return f"An unexpected error: {type(error).__name__}: {error}. The terminal shows where it happened."
