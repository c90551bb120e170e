"""The options of painting pictures to train on: for slider words, and bad ones for negative words."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Settings, option
from ti_core.settings.shared import (
    checkpoint_option,
    clip_skip_option,
    precision_option,
    prediction_option,
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
    sampling_steps: int = option(
        20,
        "Sampling steps",
        "slider",
        "More steps paint finer pictures and take longer. 20 is good.",
        minimum=1,
        maximum=150,
        step=1,
    )
    cfg_scale: float = option(
        7.0,
        "CFG Scale",
        "slider",
        "How strictly the pictures follow the prompt. Keep 7.",
        minimum=1,
        maximum=30,
        step=0.5,
    )
    seed: int = option(
        1,
        "Seed",
        "number",
        "The same seed with the same settings gives the same pictures.",
        minimum=0,
        maximum=2**32 - 1,
        step=1,
    )
    checkpoint: str = checkpoint_option()
    vae: str = vae_option()
    prediction_type: str = prediction_option()
    precision: str = precision_option()
    clip_skip: int = clip_skip_option()

    @property
    def prompt_lines(self) -> list[str]:
        """The prompts, without empty lines."""
        return [line.strip() for line in self.prompts.splitlines() if line.strip()]
