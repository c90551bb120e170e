"""Options of the Train tab: the kind of word, and what a negative or a slider word is trained with."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Group, Settings, option
from ti_core.settings.word_kind import WORD_KINDS, kind_option, slider_option

KIND = Group("kind", "Kind of word: negative and slider words")
AS_CREATED = "as created"
GUIDED, PLAIN = "guided", "plain"


@dataclass(frozen=True)
class KindTrainOptions(Settings):
    """What a word is for, where that is not what the embedding's file says, and how such words are trained."""

    kind: str = kind_option(
        (AS_CREATED, *WORD_KINDS),
        "Keep as created: the embedding's file says it. A negative word stands in the negative prompt; a slider makes"
        " something more or less.",
        group=KIND,
        changes_plan=True,
        reset_by_presets=True,
    )
    slider_on: str = slider_option("on", reset_by_presets=True)
    slider_more: str = slider_option("more", reset_by_presets=True)
    slider_less: str = slider_option("less", reset_by_presets=True)
    slider_keep: str = slider_option("keep", reset_by_presets=True)
    slider_range: float = option(
        1.0,
        "Slider range",
        "slider",
        "How far strength 1 goes, in differences between more and less. Keep 1; 1.5 does more, and 2 can spoil faces.",
        minimum=0.1,
        maximum=5,
        step=0.1,
        reset_by_presets=True,
    )
    negative_training: str = option(
        GUIDED,
        "Training of a negative word",
        "radio",
        "Keep guided: the word is trained in the place of the negative prompt. plain learns the bad pictures as any"
        " word learns its own.",
        choices=(GUIDED, PLAIN),
        reset_by_presets=True,
    )
    negative_guidance: float = option(
        7.0,
        "Guidance while training a negative word",
        "slider",
        "For guided: the CFG Scale with which the word will be used. Keep 7.",
        minimum=1.5,
        maximum=30,
        step=0.5,
        reset_by_presets=True,
    )

    def kind_values(self) -> list[object]:
        """All that says what a word of another kind than an ordinary one is trained for."""
        return [getattr(self, name) for name in KindTrainOptions.options()]
