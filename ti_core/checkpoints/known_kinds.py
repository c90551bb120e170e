"""What people take for a checkpoint: files that work on top of one, and models of other families, each with the names
of tensors by which it is known.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def not_a_checkpoint(kind: str, title: str, hint: str) -> WeightKind:
    """Something else than a checkpoint."""
    return WeightKind(kind, problem=f"is {title}, not a checkpoint", hint=hint)


def other_family(title: str) -> WeightKind:
    """A model whose text encoder or noise is another one."""
    return WeightKind("other", problem=f"is a model of {title}, which cannot be trained here", hint=FAMILY_HINT)


_ON_TOP = "It works on top of a checkpoint; choose the checkpoint that it was made for."
EMBEDDING = not_a_checkpoint("embedding", "an embedding", "Put it into embeddings/, and choose a checkpoint here.")
KNOWN: tuple[tuple[WeightKind, tuple[str, ...]], ...] = (
    (EMBEDDING, ("\nstring_to_param", "\nemb_params\n")),
    (
        not_a_checkpoint("lora", "a LoRA", _ON_TOP),
        (".lora_up.", ".lora_down.", ".lora_A.", ".lora_B.", ".lora.", "\nlora_", ".hada_w1", ".lokr_w", ".oft_"),
    ),
    (not_a_checkpoint("other", "a ControlNet", _ON_TOP), ("\ncontrol_model.", "input_hint_block.", "\ncontrolnet_")),
    (not_a_checkpoint("other", "an IP-Adapter", _ON_TOP), ("\nimage_proj.", "\nip_adapter.")),
    (not_a_checkpoint("other", "a motion module of AnimateDiff", _ON_TOP), (".motion_modules.",)),
    (
        not_a_checkpoint("other", "an upscaler", "It enlarges finished pictures; choose a checkpoint."),
        ("\nconv_first.weight", "\nmodel.1.sub.", "\nparams_ema."),
    ),
    (not_a_checkpoint("other", "a hypernetwork", _ON_TOP), ("\n768.0.linear", "\n1024.0.linear")),
    # Of two families that share a mark, the one with a mark of its own comes first.
    (other_family("Stable Diffusion 3"), ("joint_blocks.0.context_block.",)),
    (other_family("Stable Video Diffusion"), (".time_stack.", ".time_mixer.", ".temporal_transformer_blocks.")),
    (other_family("Zero123"), ("\ncc_projection.",)),
    (other_family("LTX Video"), ("patchify_proj.",)),
    (other_family("Sana"), ("attention_y_norm.", ".mlp.inverted_conv.", ".ff.conv_inverted.")),
    (other_family("HiDream"), ("double_stream_blocks.0.block.", "caption_projection.0.linear.")),
    (other_family("Anima"), ("llm_adapter.blocks.",)),
    (
        other_family("Cosmos"),
        ("blocks.block0.blocks.0.block.", ".adaln_modulation_cross_attn.", ".adaln_modulation_self_attn."),
    ),
    (other_family("Mochi"), ("t5_yproj.", "blocks.0.attn.qkv_x.")),
    (other_family("Hunyuan Video"), (".individual_token_refiner.", "txt_in.t_embedder.")),
    (other_family("Chroma"), ("distilled_guidance_layer.",)),
    (other_family("Flux 2"), ("double_stream_modulation_img.", "single_stream_modulation.lin.")),
    (other_family("Flux 3"), ("early_stream_modulations.",)),
    (other_family("Flux"), ("double_blocks.0.img_attn.", "single_transformer_blocks.0.proj_mlp.")),
    (other_family("AuraFlow"), ("double_layers.0.attn.w1q.",)),
    (other_family("Z-Image"), ("cap_pad_token", "x_pad_token")),
    (other_family("OmniGen"), ("time_caption_embed.timestep_embedder.",)),
    (other_family("Lumina"), ("cap_embedder.0.", "cap_embedder.1.")),
    (other_family("ACE-Step"), ("genre_embedder.",)),
    (other_family("Krea"), ("txtfusion.",)),
    (other_family("PixArt"), ("adaln_single.", "t_block.1.weight")),
    (other_family("Hunyuan-DiT"), ("mlp_t5.0.", "text_embedder.linear_1.")),
    (other_family("Wan"), ("blocks.0.cross_attn.norm_k.", "head.modulation\n")),
    (other_family("Qwen Image"), ("transformer_blocks.0.img_mod.", "txt_in.text_norm.")),
    (other_family("CogVideoX"), ("patch_embed.text_proj.",)),
    (other_family("Kolors"), ("encoder_hid_proj.",)),
    (other_family("Stable Audio"), ("transformer.rotary_pos_emb.",)),
    (
        other_family("Stable Cascade"),
        ("\nclip_txt_mapper.", "\nclip_txt_pooled_mapper.", "effnet_mapper.", "down_blocks.1.0.channelwise."),
    ),
    (
        other_family("Kandinsky"),
        ("add_embedding.image_norm.", "time_embeddings.in_layer.", "prior.positional_embedding"),
    ),
    (
        other_family("Playground 2.5 or CosXL (Stable Diffusion XL with another noise)"),
        ("\nedm_mean\n", "\nedm_vpred.sigma_max\n"),
    ),
)
"""Tried in this order. A mark is a part of all names in one text, with a line break before and after each."""
