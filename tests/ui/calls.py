"""Counts the calls of a function, for tests of what an action costs: times would tell of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Calls:
    """Does what the function does, and counts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.count = function, 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.count += 1
        return self.function(*args, **named)
