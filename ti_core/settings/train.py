"""The settings of the Train tab, and those of going on with a run. The options stand in the files of their groups,
in the page's order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ti_core.errors import Problem, SettingsError, about
from ti_core.settings.option import Settings, option
from ti_core.settings.prompts import split_at_names, text_lines
from ti_core.settings.schedule import parse_schedule
from ti_core.settings.shared import (
    MIN_SIZE_PX,
    checkpoint_option,
    clip_skip_option,
    precision_option,
    prediction_option,
    vae_option,
)
from ti_core.settings.train_a1111 import A1111TrainOptions
from ti_core.settings.train_captions import CaptionTrainOptions
from ti_core.settings.train_expert import ExpertTrainOptions
from ti_core.settings.train_kind import AS_CREATED, KindTrainOptions
from ti_core.settings.train_memory import MemoryTrainOptions
from ti_core.settings.train_more import MOST_PREVIEW_PROMPTS, MoreTrainOptions
from ti_core.settings.train_photos import PhotoTrainOptions
from ti_core.settings.train_quality import QualityTrainOptions
from ti_core.settings.word_kind import ORDINARY, SLIDER, WordKind, slider_problems

LEAST_PRODIGY_RATE = 0.1


@dataclass(frozen=True)
class TrainSettings(
    MemoryTrainOptions,
    KindTrainOptions,
    ExpertTrainOptions,
    QualityTrainOptions,
    PhotoTrainOptions,
    CaptionTrainOptions,
    MoreTrainOptions,
    A1111TrainOptions,
):
    """The Train sub-tab: A1111's options first, in its order, then ours. (Fields of the last base come first.)"""

    checkpoint: str = checkpoint_option()
    vae: str = vae_option()
    prediction_type: str = prediction_option()
    precision: str = precision_option(changes_plan=True, evaluation_field=3)
    clip_skip: int = clip_skip_option()

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and schedules, expressions and prompts that cannot be used."""
        found = super().problems(own_px)
        schedules = [("learning_rate", self.learning_rate)] if self.learning_rate.strip() else []
        if self.clip_grad_mode != "disabled":
            schedules.append(("clip_grad_value", self.clip_grad_value))
        for name, text in schedules:
            try:
                with about(name):
                    parse_schedule(text, self.options()[name].label)
            except SettingsError as error:
                found.extend(error.problems)
        try:
            re.compile(self.filename_word_regex)
        except re.error as error:
            sentence = (
                f"Filename word regex '{self.filename_word_regex}' cannot be read: {error.msg}. Correct it or leave it"
                " empty."
            )
            found.append(Problem(sentence, "filename_word_regex"))
        found.extend([*self._preview_problems(), *self._optimizer_problems(), *slider_problems(self, self.kind)])
        least = min(MIN_SIZE_PX, own_px or MIN_SIZE_PX)
        for side in ("preview_width", "preview_height"):
            if 0 < (size := getattr(self, side)) < least:
                sentence = f"Choose 0, for the size of the training, or {least} and more."
                found.append(Problem(f"{self.options()[side].label} is {size}. {sentence}", side))
        return found

    def _optimizer_problems(self) -> list[Problem]:
        """A rate of AdamW's size stands still with Prodigy, whose rate is a factor."""
        try:
            rates = [rate for rate, _ in parse_schedule(self.learning_rate).pieces]
        except SettingsError:
            return []
        if self.optimizer != "Prodigy" or max(rates) >= LEAST_PRODIGY_RATE:
            return []
        sentence = (
            f"Embedding Learning rate is {self.learning_rate}, but Prodigy multiplies a rate of its own with it. Write"
            " 1, or choose AdamW as Optimizer."
        )
        return [Problem(sentence, "learning_rate")]

    def _preview_problems(self) -> list[Problem]:
        """Those of the typed prompts of previews."""
        name, lines, found = self.embedding.strip(), self.preview_lines, list[str]()
        if len(lines) > MOST_PREVIEW_PROMPTS:
            found.append(f"Preview prompts has {len(lines)} lines. Keep {MOST_PREVIEW_PROMPTS} or fewer.")
        for line in lines[:MOST_PREVIEW_PROMPTS] if name else ():
            if not any(named for named, _ in split_at_names(line.replace("[name]", name), [name])):
                found.append(
                    f"The preview prompt '{line[:100]}' does not contain the embedding, so previews could not show it."
                    " Write [name] into it, or leave Preview prompts empty."
                )
        return [Problem(sentence, "preview_prompt") for sentence in found]

    def word_kind(self, created: WordKind) -> WordKind:
        """What the word is for: what was typed here, else what its file says (`created`)."""
        if self.kind == AS_CREATED:
            return created
        lines = (self.slider_on, self.slider_more, self.slider_less, self.slider_keep)
        return WordKind(self.kind, *(line.strip() for line in lines if self.kind == SLIDER))

    def of_kind(self, kind: WordKind) -> TrainSettings:
        """With the kind of word that is trained written down, so that a resumed run and every device train the same. An
        ordinary word is as before there were others.
        """
        if kind.kind == ORDINARY:
            return self
        if kind.kind != SLIDER:
            return replace(self, kind=kind.kind)
        on, more, less, keep = kind.on, kind.more, kind.less, kind.keep
        return replace(self, kind=SLIDER, slider_on=on, slider_more=more, slider_less=less, slider_keep=keep)

    @property
    def preview_lines(self) -> list[str]:
        """The typed prompts of previews, with [name] in them, without empty lines."""
        return text_lines(self.preview_prompt)


@dataclass(frozen=True)
class ResumeSettings(Settings):
    """Going on with a training that was interrupted; its own settings lie in the run's folder."""

    run_folder: str = option(
        "",
        "Run folder",
        "textbox",
        "Type the folder of the run, such as textual_inversion/2026-01-31/anna. It must hold a state.safetensors.",
        required=True,
        is_path=True,
        positional=True,
    )
