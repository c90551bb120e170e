"""gr.Blocks that look at who calls and at what is given before gradio does anything with it, by whatever way the
call comes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.ui.server.roles import may_call, person_of

MOST_CHARACTERS = 100_000
"""Of one text."""
MOST_VALUES = 50_000
"""In all lists and dictionaries of a field together."""
MOST_LEVELS = 20
MOST_NUMBER = 1e15
"""No option means anything beyond it."""
_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.\-]*:)?//", re.IGNORECASE)


class GuardedBlocks(gr.Blocks):
    """Every call of a handler comes through `process_api`: of a button, by plain HTTP, by the API and by MCP."""

    async def process_api(
        self, block_fn: Any, inputs: Any, state: Any = None, request: Any = None, *given: Any, **named: Any
    ) -> Any:
        """Check who calls and what is given, then let gradio call the handler."""
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        try:
            may_call(function.fn, person_of(request[0] if isinstance(request, list) and request else request))
            for value, field in zip_longest(inputs or [], function.inputs):
                check_given(value, getattr(field, "label", None) or "")
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return await super().process_api(block_fn, inputs, state, request, *given, **named)


def check_given(given: Any, label: str = "") -> None:
    """Raises UserError, with the field's label, for what is longer, deeper or larger than any field takes, and for
    files on other servers.
    """
    try:
        _check(given)
    except UserError as error:
        raise UserError(f"{label}: {error.problem}" if label else error.problem, error.hint) from None


def _check(given: Any) -> None:
    for count, value in enumerate(_all_in(given)):
        if count > MOST_VALUES:
            raise UserError(f"More than {MOST_VALUES} values are too many at once.", "Send fewer.")
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            raise UserError(f"A text of {len(value)} characters is too long.", f"Send at most {MOST_CHARACTERS}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{value} is no number for a field.", "Send an ordinary number.")
        if isinstance(value, int | float) and abs(value) > MOST_NUMBER:
            raise UserError("the number is too large.", f"Send at most {MOST_NUMBER:.0e}.")
        if isinstance(value, dict) and _ADDRESS.match(str(value.get("path") or "")):
            raise UserError(
                "A file's address on another server was given, and nothing is fetched from there.",
                "Save the file, and drop it on the page.",
            )


def _all_in(value: Any, level: int = 0) -> Iterator[Any]:
    if level > MOST_LEVELS:
        raise UserError(
            f"Values within values, more than {MOST_LEVELS} levels deep, are too deep.", "Send a plain value."
        )
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _all_in(inner, level + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _all_in(inner, level + 1)
