"""What kind of weights a file holds, by the names of its tensors, never by their widths: a checkpoint of some family, a
LoRA, a VAE, another model.
"""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.checkpoints.families import FAMILY_MARKS, family_of_tensors
from ti_core.checkpoints.tensor_headers import TensorHeader

UNET = "model.diffusion_model."
VAE = "first_stage_model."
FIRST_CONVOLUTION = f"{UNET}input_blocks.0.0.weight"
_SENTINELS = {
    "UNet": (FIRST_CONVOLUTION, f"{UNET}time_embed.0.weight", f"{UNET}out.2.weight"),
    "VAE": (f"{VAE}encoder.conv_in.weight", f"{VAE}decoder.conv_out.weight"),
}
"""If some of these are there and others are not, the part is damaged; the loader compares every name later."""
FAMILY_HINT = "Choose a checkpoint of Stable Diffusion 1, 2 or XL."


@dataclass(frozen=True)
class WeightKind:
    """`kind` is checkpoint, lora, vae, embedding, text encoder, other or unknown; `problem` is the end of a sentence
    that begins with the file's name.

    `missing` names the parts that a checkpoint lacks; `family` is a key of models/families/ or empty.
    """

    kind: str
    family: str = ""
    problem: str = ""
    hint: str = ""
    missing: tuple[str, ...] = ()


def _not_a_checkpoint(kind: str, title: str, hint: str) -> WeightKind:
    return WeightKind(kind, problem=f"is {title}, not a checkpoint", hint=hint)


def _other_family(title: str) -> WeightKind:
    return WeightKind("other", problem=f"is a model of {title}, which cannot be trained here", hint=FAMILY_HINT)


_ON_TOP = "It works on top of a checkpoint; choose the checkpoint that it was made for."
_KNOWN: tuple[tuple[WeightKind, tuple[str, ...]], ...] = (
    (
        _not_a_checkpoint("embedding", "an embedding", "Put it into embeddings/, and choose a checkpoint here."),
        ("\nstring_to_param", "\nemb_params\n"),
    ),
    (
        _not_a_checkpoint("lora", "a LoRA", _ON_TOP),
        (".lora_up.", ".lora_down.", ".lora_A.", ".lora_B.", ".lora.", "\nlora_", ".hada_w1", ".lokr_w", ".oft_"),
    ),
    (_not_a_checkpoint("other", "a ControlNet", _ON_TOP), ("\ncontrol_model.", "input_hint_block.", "\ncontrolnet_")),
    (_not_a_checkpoint("other", "an IP-Adapter", _ON_TOP), ("\nimage_proj.", "\nip_adapter.")),
    (_not_a_checkpoint("other", "a motion module of AnimateDiff", _ON_TOP), (".motion_modules.",)),
    (
        _not_a_checkpoint("other", "an upscaler", "It enlarges finished pictures; choose a checkpoint."),
        ("\nconv_first.weight", "\nmodel.1.sub.", "\nparams_ema."),
    ),
    (_not_a_checkpoint("other", "a hypernetwork", _ON_TOP), ("\n768.0.linear", "\n1024.0.linear")),
    (_other_family("Stable Diffusion 3"), ("joint_blocks.0.context_block.",)),
    (_other_family("Hunyuan Video"), (".individual_token_refiner.", "txt_in.t_embedder.")),
    (_other_family("Flux"), ("double_blocks.0.img_attn.", "single_transformer_blocks.0.proj_mlp.")),
    (_other_family("AuraFlow"), ("double_layers.0.attn.w1q.",)),
    (_other_family("PixArt"), ("adaln_single.", "t_block.1.weight")),
    (_other_family("Hunyuan-DiT"), ("mlp_t5.0.", "text_embedder.linear_1.")),
    (_other_family("Wan"), ("blocks.0.cross_attn.norm_k.", "head.modulation\n")),
    (_other_family("Qwen Image"), ("transformer_blocks.0.img_mod.",)),
    (_other_family("Lumina"), ("cap_embedder.0.",)),
    (_other_family("LTX Video"), ("patchify_proj.",)),
    (_other_family("Stable Cascade"), ("\nclip_txt_mapper.", "\nclip_txt_pooled_mapper.")),
    (
        _other_family("Kandinsky"),
        ("add_embedding.image_norm.", "time_embeddings.in_layer.", "prior.positional_embedding"),
    ),
    (
        _other_family("Playground 2.5 or CosXL (Stable Diffusion XL with another noise)"),
        ("\nedm_mean\n", "\nedm_vpred.sigma_max\n"),
    ),
)
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
    for known, marks in _KNOWN:
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
        return _not_a_checkpoint(
            "vae", "a VAE", "Put it into models/VAE and choose it as the VAE; choose a checkpoint here."
        )
    if (
        "text_model.encoder." in text
        or "\ncond_stage_model." in text
        or ".SelfAttention.q." in text
        or "\nconditioner." in text
    ):
        return _not_a_checkpoint(
            "text encoder", "a text encoder alone", "Choose a complete checkpoint, with UNet and VAE inside."
        )
    # One to four lists of numbers and nothing else: an embedding under a trainer's own keys.
    if 0 < len(header.shapes) <= 4 and all(
        len(shape) in (1, 2) and shape[-1] >= 32 for shape in header.shapes.values()
    ):
        return _KNOWN[0][0]
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
    if "\nconditioner.embedders.0.model." in text and "\nconditioner.embedders.1." not in text:
        return _other_family("Stable Diffusion XL's refiner")
    family = family_of_tensors(text)
    marks = FAMILY_MARKS.get(family)
    if not (marks and marks.has_label_embedding) and f"\n{UNET}label_emb." in text:
        return _other_family("Stable unCLIP") if family else _missing("", ("text encoders",))
    missing: tuple[str, ...] = ("text encoder",)
    if marks:
        missing = tuple(part for part, prefix in marks.text_encoders.items() if f"\n{prefix}" not in text)
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
    return WeightKind("checkpoint", family)


def _missing(family: str, missing: tuple[str, ...]) -> WeightKind:
    hint = (
        "Choose a separate VAE, or a complete checkpoint."
        if missing == ("VAE",)
        else "Choose a complete checkpoint; this is a part of one."
    )
    return WeightKind("checkpoint", family, f"has no {' and no '.join(missing)} inside", hint, missing)
