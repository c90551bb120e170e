"""The options of the txt2img and Compare tabs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ti_core.errors import Problem
from ti_core.settings.option import Settings, option
from ti_core.settings.prompts import text_lines
from ti_core.settings.shared import (
    cfg_scale_option,
    checkpoint_option,
    clip_skip_option,
    precision_option,
    prediction_option,
    rescale_option,
    sampler_option,
    seed_option,
    size_options,
    steps_option,
    vae_option,
)

_PICTURE_WIDTH, _PICTURE_HEIGHT = size_options("Size of the pictures,")


@dataclass(frozen=True)
class Txt2ImgSettings(Settings):
    """The txt2img tab, compact: what is needed to try an embedding."""

    prompt: str = option(
        "",
        "Prompt",
        "textbox",
        "Describe the picture. Write the name of any embedding among the words; several at once are fine."
        " (word:1.2) makes a word stronger, [word] weaker, \\( is a plain bracket.",
        placeholder="a photo of anna-01, smiling",
        required=True,
        positional=True,
    )
    negative_prompt: str = option(
        "",
        "Negative prompt",
        "textbox",
        "What the pictures should not show. Names of embeddings and brackets work here too. May stay empty.",
    )
    sampler: str = sampler_option()
    steps: int = steps_option()
    width: int = _PICTURE_WIDTH
    height: int = _PICTURE_HEIGHT
    count: int = option(
        1,
        "Batch count",
        "slider",
        "How many pictures to paint. Each has a seed of its own: the seed below, then the next ones.",
        minimum=1,
        maximum=100,
        step=1,
    )
    cfg_scale: float = cfg_scale_option()
    guidance_rescale: float = rescale_option("Guidance rescale")
    seed: int = seed_option(
        -1, "The same seed with the same settings gives the same picture. -1 draws a new one.", least=-1
    )
    checkpoint: str = checkpoint_option()
    vae: str = vae_option()
    prediction_type: str = prediction_option()
    precision: str = precision_option()
    clip_skip: int = clip_skip_option()


AS_TRAINED = "as trained"
"""The line that stands for a prompt of the training; it may also be typed."""
_BETWEEN = r"[\s,;]"
"""What may stand between two seeds: whole numbers have no decimal comma."""
MOST_STRENGTHS = 12
COMPARED_STEPS = ("all", "every n-th", "best and neighbours")


@dataclass(frozen=True)
class CompareSettings(Settings):
    """The Compare tab: a grid of pictures, step by step. The run's own settings say which checkpoint and size."""

    run: str = option(
        "",
        "Run",
        "dropdown",
        "Choose a training whose copies are to be compared. The newest is the first of the list.",
        required=True,
        positional=True,
    )
    steps: str = option(
        "all",
        "Steps",
        "radio",
        "Which copies to show: all, every n-th, or those around the best step of the evaluation.",
        choices=COMPARED_STEPS,
    )
    every_nth: int = option(
        2,
        "Every n-th",
        "number",
        "2 shows every second copy. It counts only where every n-th is chosen.",
        minimum=1,
        step=1,
    )
    strengths: str = option(
        "",
        "Strengths",
        "textbox",
        "Leave it empty to compare steps. -1, -0.5, 0, 0.5, 1, 1.5 shows the best step at these strengths: (word:0.5)"
        " in the prompt, below 0 in the negative prompt.",
        takes_number=True,
    )
    trained_prompt: bool = option(
        True,
        "With a prompt of the training",
        "checkbox",
        "The first row shows what the run was trained on.",
    )
    photos: bool = option(
        True,
        "With the training photos",
        "checkbox",
        "A first row of photos, to compare the pictures with.",
    )
    prompts: str = option(
        "a sketch of [name]",
        "Prompts",
        "textbox",
        "One prompt a line; [name] stands for the embedding. (word:1.2) makes a word stronger.",
        lines=3,
    )
    seeds: str = option(
        "1, 2",
        "Seeds",
        "textbox",
        "Whole numbers, separated by commas. The same seed paints the same scene with every step.",
        required=True,
        takes_number=True,
    )
    sampling_steps: int = steps_option()
    cfg_scale: float = cfg_scale_option()

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and seeds and prompts that cannot be used."""
        found = super().problems(own_px)
        if self.seeds.strip() and not re.fullmatch(
            rf"{_BETWEEN}*(\d{{1,10}}{_BETWEEN}+)*\d{{1,10}}{_BETWEEN}*", self.seeds
        ):
            sentence = f"Seeds are '{self.seeds}'. Type whole numbers separated by commas, such as 1, 2, 3."
            found.append(Problem(sentence, "seeds"))
        try:
            if len(self.strength_numbers) > MOST_STRENGTHS or any(
                not abs(each) <= 10 for each in self.strength_numbers
            ):
                raise ValueError
        except ValueError:
            sentence = (
                f"Strengths are '{self.strengths[:60]}'. Type up to {MOST_STRENGTHS} numbers from -10 to 10, such as"
            )
            found.append(Problem(f"{sentence} -1, 0, 1.", "strengths"))
        if not self.prompt_lines:
            sentence = "Prompts is empty. Write one with [name], or tick With a prompt of the training."
            found.append(Problem(sentence, "prompts"))
        for line in self.prompt_lines:
            if line != AS_TRAINED and "[name]" not in line:
                sentence = f"Prompt '{line}' does not contain [name], so all steps would paint the same. Add [name]."
                found.append(Problem(sentence, "prompts"))
        return found

    @property
    def prompt_lines(self) -> list[str]:
        """The prompts, without empty lines; AS_TRAINED is first where it is ticked."""
        typed = text_lines(self.prompts)
        return [AS_TRAINED, *typed] if self.trained_prompt and AS_TRAINED not in typed else typed

    @property
    def strength_numbers(self) -> list[float]:
        """The strengths that are the columns, in their order, each once; none where steps are compared. ValueError for
        a text in which `problems` finds something.
        """
        pieces = [piece for piece in re.split(_BETWEEN, self.strengths) if piece]
        return list(dict.fromkeys(float(piece) + 0.0 for piece in pieces))

    @property
    def seed_numbers(self) -> list[int]:
        """The seeds as numbers; ValueError for a text in which `problems` finds something."""
        return [int(piece) for piece in re.split(_BETWEEN, self.seeds) if piece]
