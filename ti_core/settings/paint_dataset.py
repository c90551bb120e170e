"""The options of painting pictures to train on: for slider words, and bad ones for negative words."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Settings, option
from ti_core.settings.prompts import text_lines
from ti_core.settings.shared import (
    cfg_scale_option,
    checkpoint_option,
    clip_skip_option,
    precision_option,
    prediction_option,
    seed_option,
    steps_option,
    vae_option,
)

MOST_PAINTED = 400


@dataclass(frozen=True)
class PaintDatasetSettings(Settings):
    """Pictures that the checkpoint paints itself, each with its prompt as the caption."""

    destination_directory: str = option(
        "",
        "Folder of the pictures",
        "textbox",
        "The dataset directory of the training, such as datasets/smile. Pictures that are there stay.",
        required=True,
        is_path=True,
        positional=True,
    )
    prompts: str = option(
        "a photo of a person",
        "What to paint",
        "textbox",
        "One prompt a line; they are painted in turn. For a slider: what it acts on.",
        required=True,
        lines=3,
    )
    count: int = option(
        40,
        "Pictures",
        "number",
        "How many to paint. 40 are enough.",
        minimum=1,
        maximum=MOST_PAINTED,
        step=1,
    )
    badly: bool = option(
        False,
        "Paint badly",
        "checkbox",
        "For a negative word: few steps and odd guidance, so that many go wrong.",
    )
    sampling_steps: int = steps_option()
    cfg_scale: float = cfg_scale_option()
    seed: int = seed_option(1, "The same seed with the same settings gives the same pictures.")
    checkpoint: str = checkpoint_option()
    vae: str = vae_option()
    prediction_type: str = prediction_option()
    precision: str = precision_option()
    clip_skip: int = clip_skip_option()

    @property
    def prompt_lines(self) -> list[str]:
        """The prompts, without empty lines."""
        return text_lines(self.prompts)
