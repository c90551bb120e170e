"""Which kinds of words there are, and the options that Create and Train share about them, each declared once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ti_core.errors import Problem
from ti_core.settings.option import Settings, option

ORDINARY, NEGATIVE, SLIDER = "ordinary", "negative", "slider"
WORD_KINDS = (ORDINARY, NEGATIVE, SLIDER)
MAX_CHARACTERS = 500
"""Of a line that a foreign file may hold."""


@dataclass(frozen=True)
class WordKind:
    """What a word is for. An ordinary one shows what its pictures show; a negative one stands in the negative prompt; a
    slider makes what it acts `on` more like `more`, and in the negative prompt more like `less`. `keep` names, with
    commas, what a slider must leave alone.
    """

    kind: str = ORDINARY
    on: str = ""
    more: str = ""
    less: str = ""
    keep: str = ""

    @property
    def slider_line(self) -> str:
        """The line that a slider's prompts are made of, with `[name]` where the word stands."""
        return f"{self.on}, [name]"

    def to_dict(self) -> dict[str, str]:
        """What is not empty; an ordinary word says nothing."""
        if self.kind == ORDINARY:
            return {}
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value}

    @property
    def text(self) -> str:
        """For the embedding's file, as JSON; empty for an ordinary word."""
        return json.dumps(self.to_dict(), ensure_ascii=False) if self.kind != ORDINARY else ""

    @classmethod
    def parse(cls, text: Any) -> WordKind:
        """What a file says, which may be anything; what is not known is an ordinary word."""
        try:
            values = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, Mapping) or values.get("kind") not in WORD_KINDS[1:]:
            return cls()
        known = {each.name: values.get(each.name, "") for each in fields(cls)}
        return cls(**{name: value[:MAX_CHARACTERS] for name, value in known.items() if isinstance(value, str)})


ORDINARY_WORD = WordKind()


def kind_option(choices: tuple[str, ...], help: str, **more: Any) -> Any:
    """Which kind of word."""
    return option(choices[0], "Kind of word", "radio", help, choices=choices, **more)


def slider_option(name: str, **more: Any) -> Any:
    """One of the four lines of a slider: on, more, less or keep."""
    label, help = _LINES[name]
    return option("", label, "textbox", help, **more)


def slider_problems(settings: Settings, kind: str) -> list[Problem]:
    """A sentence for each of a slider's lines that is missing in `settings`, whose kind of word this is."""
    if kind != SLIDER:
        return []
    options = settings.options()
    return [
        Problem(f"{options[name].label} is empty. {options[name].help}", name)
        for name in ("slider_on", "slider_more")
        if not getattr(settings, name).strip()
    ]


_LINES = {
    "on": (
        "Slider acts on",
        "Write a prompt for the pictures that the slider changes, such as a photo of a person.",
    ),
    "more": ("Slider more", "Write what strength 1 shows more of, such as smiling."),
    "less": ("Slider less", "Write the opposite, such as serious. It may stay empty."),
    "keep": (
        "Slider keeps",
        "May stay empty. What must not change along with it, separated by commas, such as man, woman, old woman.",
    ),
}
