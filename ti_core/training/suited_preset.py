"""Which recipe suits a checkpoint's family, and why in one sentence."""

from __future__ import annotations

from ti_core.checkpoints.library import find_checkpoint
from ti_core.embeddings.kind_in_file import kind_of_file
from ti_core.errors import UserError
from ti_core.models.families import FAMILIES
from ti_core.training.kind_presets import PRESET_OF_KIND
from ti_core.training.presets import FAST, GUIDE
from ti_core.workspace import Workspace

GUIDES_FAMILY = "sd1"
"""The guide's rates, which begin at 0.05, were found on Stable Diffusion 1; Portraits is one too."""


def suited_preset(checkpoint: str, workspace: Workspace, embedding: str = "") -> tuple[str, str]:
    """The preset, and why where it is not the guide's, empty else: that of the embedding's kind of word if it is no
    ordinary one. Other families' figures: OneTrainer's preset, invoke-training's sample and DTI's paper (0.0003, 0.002,
    0.01).
    """
    word = kind_of_file(embedding, workspace)
    if word.kind in PRESET_OF_KIND:
        return PRESET_OF_KIND[word.kind], f"The word '{embedding}' is a {word.kind} word, so this is its preset."
    try:
        family = find_checkpoint(checkpoint, workspace).facts.family
    except UserError:
        family = ""
    if family in ("", GUIDES_FAMILY):
        return GUIDE, ""
    return FAST, (
        f"For {FAMILIES[family].title} this is {FAST}, which begins at rate 0.005: others train it at 0.0003 to 0.01,"
        " and the face recipe's 0.05 was found on Stable Diffusion 1."
    )


def recipe_label(preset: str) -> str:
    """What the button says that fills it in."""
    return "Use the face recipe" if preset == GUIDE else f"Use {preset}"
