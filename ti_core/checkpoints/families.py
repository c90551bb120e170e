"""How the files of each family of Stable Diffusion are recognised, and what they leave unsaid: facts of files, known
without torch. What is done differently with a loaded model is in models/families/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN_SIZE_PX = 512
"""Of what is no checkpoint of a known family."""


@dataclass(frozen=True)
class FamilyMarks:
    """`text_encoders`: part -> prefix of its tensors in a single file, in the layout of Stability AI's own files; a
    prefix that is in the file tells the family.

    `size_px` is the side of the pictures that it was trained on, `epsilon_size_px` of its models that predict the
    noise. `unsaid_prediction` is what a file predicts that does not say; empty where the family's models differ, so
    that it is measured. `epsilon_global_step` is the `global_step` in the metadata of the family's own model that
    predicts the noise. `has_label_embedding`: its UNet takes a vector beside the timestep (`label_emb`).
    """

    text_encoders: Mapping[str, str]
    size_px: int
    epsilon_size_px: int
    unsaid_prediction: str = "epsilon"
    epsilon_global_step: str = ""
    has_label_embedding: bool = False


FAMILY_MARKS = {
    "sd1": FamilyMarks({"text encoder": "cond_stage_model.transformer."}, 512, 512),
    "sd2": FamilyMarks(
        {"text encoder": "cond_stage_model.model."},
        768,
        512,
        unsaid_prediction="",
        epsilon_global_step="875000",  # Stability AI's 512-base-ema.ckpt; their 768 px models predict v
    ),
    "sdxl": FamilyMarks(
        {
            "first text encoder": "conditioner.embedders.0.transformer.",
            "second text encoder": "conditioner.embedders.1.",
        },
        1024,
        1024,
        has_label_embedding=True,
    ),
}
"""Keys are those of models/families/. Where two families share a prefix, the later one must not match the other."""


def family_of_tensors(text: str) -> str:
    """Of a single file, by its tensors' names, one a line with a line break before each; empty for none."""
    return next(
        (
            family
            for family, marks in reversed(FAMILY_MARKS.items())
            if any(f"\n{prefix}" in text for prefix in marks.text_encoders.values())
        ),
        "",
    )


def family_of_folder(pipeline: str, unet: dict[str, Any]) -> str:
    """Of a diffusers folder, by the class in its model_index.json and its unet/config.json.

    Stable Diffusion 1 projects with convolutions, 2 with linear layers; so small models of 2 are known too.
    """
    if "StableDiffusionXL" in pipeline:
        return "sdxl"
    return "sd2" if unet.get("cross_attention_dim") == 1024 or unet.get("use_linear_projection") else "sd1"


def predicts_epsilon(family: str, inpainting: bool, global_step: str | None) -> bool:
    """Whether a single file of a family whose models differ is one that predicts the noise: the only inpainting
    model, or the one with that `global_step`.
    """
    marks = FAMILY_MARKS.get(family)
    if marks is None or marks.unsaid_prediction:
        return False
    return inpainting or global_step == marks.epsilon_global_step
