"""Options of the Train tab: the length of the vectors, evaluation and early stop."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Group, Settings, option

NORM_CONTROLS = ("none", "soft pull", "direction only")
QUALITY = Group("quality", "Vector length, evaluation, early stop")
WITH_EACH_PREVIEW = -1


@dataclass(frozen=True)
class QualityTrainOptions(Settings):
    """How good the result is, and when it is best."""

    norm_control: str = option(
        "none",
        "Length of the vectors",
        "dropdown",
        "Keep none for the face recipe. direction only keeps the word from overruling a prompt; soft pull is gentler.",
        choices=NORM_CONTROLS,
        reset_by_presets=True,
        group=QUALITY,
    )
    average_decay: float = option(
        0.0,
        "Average of the vectors (EMA)",
        "slider",
        "Keep 0. 0.9 saves the average of about the last ten steps, which calms a training that jumps.",
        minimum=0,
        maximum=0.999,
        step=0.001,
        reset_by_presets=True,
    )
    evaluate_every: int = option(
        WITH_EACH_PREVIEW,
        "Evaluate every N steps, 0 to disable",
        "number",
        "Keep -1: a test looks for the best step with each preview, or more rarely where that takes too long.",
        minimum=WITH_EACH_PREVIEW,
        step=1,
        reset_by_presets=True,
        other_ranks=0,
    )
    held_out: int = option(
        0,
        "Photos held out for the evaluation",
        "number",
        "So many photos are kept for the test alone. Choose a tenth if you have 40 or more, else 0.",
        minimum=0,
        step=1,
        changes_plan=True,
        reset_by_presets=True,
    )
    early_stop: int = option(
        0,
        "Stop after N evaluations without a better one, 0 to disable",
        "number",
        "Keep 0 with the face recipe. 2 ends the training when two tests in a row were no better than the best.",
        minimum=0,
        step=1,
        reset_by_presets=True,
    )
