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
    """`text_encoders`: part -> prefixes that its tensors may have in a single file, in the layout of Stability AI's own
    files; one that is in the file tells the family.

    `size_px` is the side of the pictures that it was trained on, `epsilon_size_px` of its models that predict the
    noise. `unsaid_prediction` is what a file predicts that does not say; empty where the family's models differ, so
    that it is measured. `epsilon_global_step` is the `global_step` in the metadata of the family's own model that
    predicts the noise. `has_label_embedding`: its UNet takes a vector beside the timestep (`label_emb`).
    `unet_ends` are tensors of its UNet, without "model.diffusion_model.", that every unpruned one has;
    `deep_ends` those that one of full width has besides.
    """

    text_encoders: Mapping[str, tuple[str, ...]]
    size_px: int
    epsilon_size_px: int
    unsaid_prediction: str = "epsilon"
    epsilon_global_step: str = ""
    has_label_embedding: bool = False
    unet_ends: tuple[str, ...] = ()
    deep_ends: tuple[str, ...] = ()


_ATTENTION = "transformer_blocks.{}.attn2.to_k.weight"
_ENDS_OF_4_LEVELS = (
    "input_blocks.11.0.in_layers.2.weight",
    f"middle_block.1.{_ATTENTION.format(0)}",
    f"output_blocks.11.1.{_ATTENTION.format(0)}",
)
FAMILY_MARKS = {
    "sd1": FamilyMarks({"text encoder": ("cond_stage_model.transformer.",)}, 512, 512, unet_ends=_ENDS_OF_4_LEVELS),
    "sd2": FamilyMarks(
        {"text encoder": ("cond_stage_model.model.", "conditioner.embedders.0.model.")},  # the second: SD Turbo's
        768,
        512,
        unet_ends=_ENDS_OF_4_LEVELS,
        unsaid_prediction="",
        epsilon_global_step="875000",  # Stability AI's 512-base-ema.ckpt; their 768 px models predict v
    ),
    "sdxl": FamilyMarks(
        {
            "first text encoder": ("conditioner.embedders.0.transformer.",),
            "second text encoder": ("conditioner.embedders.1.",),
        },
        1024,
        1024,
        has_label_embedding=True,
        unet_ends=(
            "input_blocks.8.0.in_layers.2.weight",
            f"middle_block.1.{_ATTENTION.format(0)}",
            f"output_blocks.5.1.{_ATTENTION.format(0)}",
            "output_blocks.8.0.in_layers.2.weight",
        ),
        deep_ends=(
            f"input_blocks.8.1.{_ATTENTION.format(9)}",
            f"middle_block.1.{_ATTENTION.format(9)}",
            f"output_blocks.2.1.{_ATTENTION.format(9)}",
            f"output_blocks.5.1.{_ATTENTION.format(1)}",
        ),
    ),
}
"""Keys are those of models/families/. Where two families share a prefix, the later one must not match the other."""


def family_of_tensors(text: str) -> str:
    """Of a single file, by its tensors' names, one a line with a line break before each; empty for none."""
    return next(
        (
            family
            for family, marks in reversed(FAMILY_MARKS.items())
            if any(f"\n{prefix}" in text for prefixes in marks.text_encoders.values() for prefix in prefixes)
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
