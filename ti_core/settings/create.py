"""The options of the Create embedding tab (A1111 1.10.1, modules/ui.py)."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.errors import Problem
from ti_core.settings.option import Settings, option
from ti_core.settings.shared import checkpoint_option
from ti_core.settings.word_kind import SLIDER, WORD_KINDS, WordKind, kind_option, slider_option, slider_problems


@dataclass(frozen=True)
class CreateSettings(Settings):
    """The Create embedding tab (A1111 1.10.1, modules/ui.py)."""

    name: str = option(
        "",
        "Name",
        "textbox",
        "Type a new word, such as anna-01. You will write it into prompts.",
        required=True,
        positional=True,
    )
    initialization_text: str = option(
        "*",
        "Initialization text",
        "textbox",
        "Write one word for what you train, such as woman.",
        a1111="init_text",
    )
    vectors: int = option(
        1,
        "Number of vectors per token",
        "slider",
        "Start with 1. More vectors learn more but follow the prompt less.",
        minimum=1,
        maximum=75,
        step=1,
        a1111="num_vectors_per_token",
    )
    overwrite: bool = option(
        False,
        "Overwrite Old Embedding",
        "checkbox",
        "Replaces an embedding of the same name. Its training is lost.",
        a1111="overwrite_old",
    )
    kind: str = kind_option(
        WORD_KINDS,
        "ordinary: a person, a thing or a style, from photos. negative: what pictures should avoid, from bad pictures."
        " slider: more or less of something, without photos.",
    )
    slider_on: str = slider_option("on")
    slider_more: str = slider_option("more")
    slider_less: str = slider_option("less")
    slider_keep: str = slider_option("keep")
    checkpoint: str = checkpoint_option()

    @property
    def word_kind(self) -> WordKind:
        """What the word is for, as its file says it."""
        if self.kind != SLIDER:
            return WordKind(self.kind)
        lines = (self.slider_on, self.slider_more, self.slider_less, self.slider_keep)
        return WordKind(SLIDER, *(line.strip() for line in lines))

    @property
    def initial_text(self) -> str:
        """The words whose vectors the new one begins with: what was typed, and for a slider of which nothing was, its
        line of more.
        """
        is_untouched = self.initialization_text == type(self).initialization_text
        return self.slider_more.strip() if self.kind == SLIDER and is_untouched else self.initialization_text

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and what a slider lacks."""
        return super().problems(own_px) + slider_problems(self, self.kind)
