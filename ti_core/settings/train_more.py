"""Options of the Train tab: seed, tables of losses, and previews."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ti_core.settings.option import Group, Settings, option
from ti_core.settings.shared import (
    MAX_SIZE_PX,
    OWN_SIZE,
    cfg_scale_option,
    rescale_option,
    sampler_option,
    seed_option,
    steps_option,
)

MORE = Group("more", "Seed, loss table and previews")
OF_THE_RUN, OF_EACH_STEP = "same for the whole run", "the prompt of the step (A1111)"
MOST_PREVIEW_PROMPTS = 4


def _preview_size(side: str) -> Any:
    return option(
        OWN_SIZE,
        f"Preview {side.lower()}",
        "number",
        f"In pixels. Keep 0: the {side} of the training. Larger previews take longer and need more memory.",
        minimum=0,
        maximum=MAX_SIZE_PX,
        step=8,
    )


@dataclass(frozen=True)
class MoreTrainOptions(Settings):
    """Seed, what is written down, and what previews show. A1111 has most of these in its Settings tab."""

    seed: int = seed_option(
        0,
        "The same seed gives the same embedding again. Any whole number from 0 on will do.",
        group=MORE,
        evaluation_field=1,
    )
    csv_every: int = option(
        1,
        "Save an csv containing the loss to log directory every N steps, 0 to disable",
        "number",
        "How often a row is added to textual_inversion_loss.csv. Keep 1.",
        minimum=0,
        step=1,
        other_ranks=0,
    )
    tensorboard: bool = option(
        False,
        "Enable tensorboard logging.",
        "checkbox",
        "Leave it off if you do not use the program TensorBoard.",
        other_ranks=False,
    )
    tensorboard_images: bool = option(
        False,
        "Save generated images within tensorboard.",
        "checkbox",
        "Also shows the previews there. Only with tensorboard logging.",
    )
    tensorboard_flush_s: int = option(
        120,
        "How often, in seconds, to flush the pending tensorboard events and summaries to disk.",
        "number",
        "Smaller numbers show new points in TensorBoard earlier. Keep 120.",
        minimum=1,
        step=1,
    )
    save_optimizer_state: bool = option(
        True,
        "Saves Optimizer state as separate *.optim file. Training of embedding can be resumed with the matching optim"
        " file.",
        "checkbox",
        "Keep it ticked: training on later then continues exactly where it ended.",
    )
    filename_word_regex: str = option(
        "",
        "Filename word regex",
        "textbox",
        "Leave it empty. A regular expression says which parts of a file name are words, such as [a-z]+.",
        changes_plan=True,
    )
    filename_join_string: str = option(
        " ",
        "Filename join string",
        "textbox",
        "What stands between the words found by the field above. Keep the space.",
        changes_plan=True,
    )
    preview_prompt: str = option(
        "",
        "Preview prompts",
        "textbox",
        "Leave it empty, or write what previews show: one prompt a line, 4 at most, each with [name] for the embedding."
        " Every preview paints all of them.",
        lines=2,
    )
    preview_prompts: str = option(
        OF_THE_RUN,
        "Where Preview prompts is empty",
        "radio",
        "Keep same for the whole run: a plain prompt of the training, drawn by the Seed, and one that asks for"
        " something new (a santa hat with Portraits, else a sketch), which shows whether the model still obeys. The"
        " other takes a new prompt of the training each time.",
        choices=(OF_THE_RUN, OF_EACH_STEP),
    )
    preview_negative_prompt: str = option(
        "", "Preview negative prompt", "textbox", "What previews should not show. May stay empty."
    )
    preview_sampler: str = sampler_option("Preview sampling method", "previews are")
    preview_steps: int = steps_option(
        12,
        "Preview sampling steps",
        "12 shows what there is to see; more paint a little finer and take longer.",
    )
    preview_cfg_scale: float = cfg_scale_option("Preview CFG Scale", "previews")
    preview_guidance_rescale: float = rescale_option("Preview guidance rescale")
    preview_seed: int = seed_option(
        1,
        "The same seed each time, so that only the training changes the picture. -1 draws a new one for each preview.",
        "Preview seed",
        least=-1,
    )
    preview_width: int = _preview_size("Width")
    preview_height: int = _preview_size("Height")
