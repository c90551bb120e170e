"""What kind of weights a file holds, by the names of its tensors, never by their widths: a checkpoint of some family, a
LoRA, a VAE, another model.
"""

from __future__ import annotations

from ti_core.checkpoints.families import FAMILY_MARKS, FamilyMarks, family_of_tensors
from ti_core.checkpoints.known_kinds import (
    EMBEDDING,
    FAMILY_HINT,
    KNOWN,
    WeightKind,
    not_a_checkpoint,
    other_family,
)
from ti_core.checkpoints.tensor_headers import TensorHeader

UNET = "model.diffusion_model."
VAE = "first_stage_model."
FIRST_CONVOLUTION = f"{UNET}input_blocks.0.0.weight"
_SENTINELS = {
    "UNet": (FIRST_CONVOLUTION, f"{UNET}time_embed.0.weight", f"{UNET}out.2.weight"),
    "VAE": (f"{VAE}encoder.conv_in.weight", f"{VAE}decoder.conv_out.weight"),
}
"""If some of these are there and others are not, the part is damaged; the loader compares every name later."""
_TEXT_ENCODER_STARTS = ("cond_stage_model.", "conditioner.", "text_encoder", "te.", "te1.", "te2.")
"""What the tensors of a text encoder begin with, whatever it is, in a file that has a UNet too."""
FULL_WIDTH = 320
"""Output channels of the first convolution of every family's own UNet."""


_NONE_OF_OURS = "that is none of Stable Diffusion 1, 2 or XL, so it cannot be trained here"
_CONVOLUTION_OF = {
    8: "an instruct-pix2pix model, which changes pictures by an order",
    7: "an upscaler of Stable Diffusion",
    5: "a depth-to-image model",
}
"""Input channels of the UNet; 4 are ordinary, 9 are inpainting."""


def kind_of(header: TensorHeader) -> WeightKind:
    """What a file with this header is."""
    # All names in one text, so that "\n" in a mark stands for the beginning or the end of a name.
    text = "\n".join(["", *header.shapes, ""])
    for known, marks in KNOWN:
        if any(mark in text for mark in marks):
            return known
    if f"\n{UNET}" in text:
        return _of_checkpoint(header, text)
    if any(
        mark in text for mark in ("\ninput_blocks.0.0.", "\ndiffusion_model.input_blocks.", "\ndown_blocks.0.resnets.")
    ):
        return WeightKind(
            "checkpoint",
            problem="holds a UNet only",
            hint="Choose a complete checkpoint, with text encoder and VAE inside.",
            missing=("text encoder", "VAE"),
        )
    if "encoder.conv_in.weight\n" in text and "decoder.conv_out.weight\n" in text:
        return not_a_checkpoint(
            "vae", "a VAE", "Put it into models/VAE and choose it as the VAE; choose a checkpoint here."
        )
    if (
        "text_model.encoder." in text
        or "\ncond_stage_model." in text
        or ".SelfAttention.q." in text
        or "\nconditioner." in text
    ):
        return not_a_checkpoint(
            "text encoder", "a text encoder alone", "Choose a complete checkpoint, with UNet and VAE inside."
        )
    # One to four lists of numbers and nothing else: an embedding under a trainer's own keys.
    if 0 < len(header.shapes) <= 4 and all(
        len(shape) in (1, 2) and shape[-1] >= 32 for shape in header.shapes.values()
    ):
        return EMBEDDING
    return WeightKind("unknown", problem="is no model that is known here", hint=FAMILY_HINT)


def channels_problem(channels: int) -> str:
    """Why a UNet with so many input channels cannot be trained, as the end of a sentence; empty for 4 and 9."""
    if channels in (0, 4, 9):
        return ""
    return (
        f"is {_CONVOLUTION_OF.get(channels, f'a model whose UNet takes {channels} channels')}; that cannot be trained"
        " here"
    )


def _of_checkpoint(header: TensorHeader, text: str) -> WeightKind:
    """The kind of a file with a UNet in Stability AI's layout: its family, and the parts that it lacks."""
    shape = header.shapes.get(FIRST_CONVOLUTION, (0, 0))
    if problem := channels_problem(shape[1] if len(shape) > 1 else 0):
        return WeightKind("other", problem=problem, hint=FAMILY_HINT)
    family = family_of_tensors(text)
    marks = FAMILY_MARKS.get(family)
    has_label_embedding = f"\n{UNET}label_emb." in text
    takes_label_embedding = bool(marks and marks.has_label_embedding)
    if has_label_embedding and "\nconditioner.embedders.0.model." in text and not takes_label_embedding:
        return other_family("Stable Diffusion XL's refiner")
    if marks is None and any(name.startswith(_TEXT_ENCODER_STARTS) for name in header.shapes):
        return WeightKind("other", problem=f"has a text encoder {_NONE_OF_OURS}", hint=FAMILY_HINT)
    if has_label_embedding and not takes_label_embedding:
        return other_family("Stable unCLIP") if family else _missing("", ("text encoders",))
    missing: tuple[str, ...] = ("text encoder",)
    if marks:
        missing = tuple(
            part
            for part, prefixes in marks.text_encoders.items()
            if not any(f"\n{prefix}" in text for prefix in prefixes)
        )
    if f"\n{VAE}" not in text:
        missing += ("VAE",)
    if missing:
        return _missing(family, missing)
    for part, names in _SENTINELS.items():
        if lost := next((name for name in names if name not in header.shapes), ""):
            return WeightKind(
                "checkpoint",
                family,
                f"is incomplete: its {part} lacks {lost}",
                "Download it again, or choose another checkpoint.",
                (part,),
            )
    if marks and _is_pruned(header, marks):
        return WeightKind(
            "other",
            problem="is a pruned model (such as SSD-1B or Segmind Vega), and one file does not tell how it was pruned",
            hint="Take the model's diffusers folder, which tells it, or choose a complete checkpoint.",
        )
    return WeightKind("checkpoint", family)


def _is_pruned(header: TensorHeader, marks: FamilyMarks) -> bool:
    """Whether blocks of the family's UNet were left out, so that its config does not describe this one."""
    is_wide = header.shapes[FIRST_CONVOLUTION][0] == FULL_WIDTH
    ends = marks.unet_ends + (marks.deep_ends if is_wide else ())
    return any(f"{UNET}{end}" not in header.shapes for end in ends)


def _missing(family: str, missing: tuple[str, ...]) -> WeightKind:
    hint = (
        "Choose a separate VAE, or a complete checkpoint."
        if missing == ("VAE",)
        else "Choose a complete checkpoint; this is a part of one."
    )
    return WeightKind("checkpoint", family, f"has no {' and no '.join(missing)} inside", hint, missing)
