"""How a model that was distilled to a few steps is painted with: ordinary values burn its pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ti_core.checkpoints.library import CheckpointFile
from ti_core.settings import CompareSettings, TrainSettings

MOST_STEPS, MOST_CFG = 8, 2.0


@dataclass(frozen=True)
class Suited:
    """Values that suit such a model."""

    sampler: str = "Euler a"
    steps: int = 6
    cfg_scale: float = 1.5

    @property
    def shown(self) -> str:
        """For a sentence."""
        return f"{self.steps} steps and CFG Scale {self.cfg_scale:g}"


S = TypeVar("S", CompareSettings, TrainSettings)
USUAL, OF_KIND = Suited(), {"Lightning": Suited("Euler")}
"""Their authors: Turbo 1 to 4 steps, Lightning 2 to 8 with Euler, LCM and DMD2 4 to 8 with new noise at each step,
which Euler a draws too; all without guidance, or nearly.
"""


def suited_to(checkpoint: CheckpointFile) -> Suited:
    """For a checkpoint of few steps."""
    return OF_KIND.get(checkpoint.facts.few_steps, USUAL)


def few_steps_sentence(checkpoint: CheckpointFile, steps: int = MOST_STEPS + 1, cfg_scale: float = 0.0) -> str:
    """What is to be known of a checkpoint of few steps; empty for another one, or where these values suit it."""
    kind = checkpoint.facts.few_steps
    if not kind or (steps <= MOST_STEPS and cfg_scale <= MOST_CFG):
        return ""
    return f"{checkpoint.title} is made for few steps ({kind}): pictures need CFG Scale 1 to 2 and 4 to 8 steps."


def suited_previews(settings: TrainSettings, checkpoint: CheckpointFile) -> tuple[TrainSettings, tuple[str, ...]]:
    """The settings, and what to tell the user. Where previews have the usual values, they get those that suit a
    checkpoint of few steps; what was chosen stays.
    """
    suited, sentence = (
        suited_to(checkpoint),
        few_steps_sentence(checkpoint, settings.preview_steps, settings.preview_cfg_scale),
    )
    values = {
        "preview_sampler": suited.sampler,
        "preview_steps": suited.steps,
        "preview_cfg_scale": suited.cfg_scale,
    }
    return _suited(settings, values, sentence, f"previews are painted with {suited.sampler}, {suited.shown}")


def suited_grid(settings: CompareSettings, checkpoint: CheckpointFile) -> tuple[CompareSettings, tuple[str, ...]]:
    """The same for the grid of the Compare tab."""
    suited, sentence = (
        suited_to(checkpoint),
        few_steps_sentence(checkpoint, settings.sampling_steps, settings.cfg_scale),
    )
    values = {"sampling_steps": suited.steps, "cfg_scale": suited.cfg_scale}
    return _suited(settings, values, sentence, f"the pictures are painted with {suited.shown}")


def _suited(settings: S, values: dict[str, Any], sentence: str, change: str) -> tuple[S, tuple[str, ...]]:
    """The settings with these values, if none of them was chosen."""
    if not sentence:
        return settings, ()
    usual = settings.defaults()
    if any(getattr(settings, name) != usual[name] for name in values):
        return settings, (sentence,)
    return replace(settings, **values), (f"{sentence} So {change}.",)
