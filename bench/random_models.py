"""Checkpoints of the real architectures with random weights, in memory or as a folder, so that a measurement needs
no download.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ti_core.checkpoints.library import CheckpointFile
from ti_core.models.device import autocast_dtype
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import Family
from ti_core.models.noise_schedule import KEYS
from ti_core.models.recompute import save_memory
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.tokenizers import load_tokenizers

KINDS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}


def random_checkpoint(family_name: str, tiny: bool) -> StableDiffusion:
    """As the loader would give it, on accelerate's device."""
    family, device = FAMILIES[family_name], PartialState().device
    dtype = autocast_dtype(device)
    weights = dtype or torch.float32

    unet = random_network(family, "unet", weights, device, tiny)
    vae = random_network(family, "vae", weights, device, tiny)
    encoders = tuple(random_network(family, part, torch.float32, device, tiny) for part in text_encoders(family))
    scheduler = DDPMScheduler.from_pretrained(family.configs / "scheduler", local_files_only=True)
    save_memory(unet)
    return StableDiffusion(
        CheckpointFile("random", Path("random")),
        "0" * 10,
        family,
        load_tokenizers(family),
        encoders,
        unet,
        vae,
        {key: scheduler.config[key] for key in KEYS},
        scheduler.alphas_cumprod.to(device, torch.float32),
        scheduler.config.prediction_type,
        device,
        dtype,
        encoder_device=device,
    )


def _tiny_changes(config: dict[str, Any]) -> dict[str, Any]:
    """The same blocks, a few channels wide; widths that meet stay equal (32 for each text encoder)."""
    if "cross_attention_dim" in config:
        count = len(config["block_out_channels"])
        pooled = (
            {"projection_class_embeddings_input_dim": 32 + 6 * 8, "addition_time_embed_dim": 8}
            if config.get("addition_embed_type")
            else {}
        )
        return {
            "block_out_channels": [32] * count,
            "cross_attention_dim": 64 if pooled else 32,
            "attention_head_dim": 4,
            "layers_per_block": 1,
            "transformer_layers_per_block": 1,
            **pooled,
        }
    if "block_out_channels" in config:
        return {"block_out_channels": [32] * len(config["block_out_channels"]), "layers_per_block": 1}
    return {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 32,
    }


def random_network(family: Family, part: str, dtype: torch.dtype, device: torch.device, tiny: bool = False) -> Any:
    """One network of the family, frozen. Made without memory and filled once; the usual initialisation of a billion
    numbers takes minutes.
    """
    config = dict(json.loads((family.configs / part / "config.json").read_text(encoding="utf-8")))
    config |= _tiny_changes(config) if tiny else {}
    kind = KINDS[part]
    with torch.device("meta"):
        made = kind(CLIPTextConfig.from_dict(config)) if part.startswith("text_encoder") else kind.from_config(config)
    made = made.to(dtype).to_empty(device=device).requires_grad_(False).eval()
    for name, tensor in (*made.named_parameters(), *made.named_buffers()):
        if name.endswith("position_ids"):
            tensor.copy_(torch.arange(tensor.shape[-1]).expand(tensor.shape))
        elif tensor.ndim < 2:
            tensor.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            tensor.uniform_(-1, 1).mul_((3 / tensor[0].numel()) ** 0.5)
    return made


def save_random_checkpoint(family: Family, folder: Path, tiny: bool = False) -> None:
    """A diffusers folder of the family's real architecture, or of a few channels, in bfloat16; one network is in memory
    at a time.
    """
    shutil.copytree(family.configs, folder, dirs_exist_ok=True)
    for tokenizer, part in zip(load_tokenizers(family), text_encoders(family), strict=True):
        tokenizer.save_pretrained(folder / part.replace("text_encoder", "tokenizer"))
    for part in (*text_encoders(family), "unet", "vae"):
        random_network(family, part, torch.bfloat16, torch.device("cpu"), tiny).save_pretrained(folder / part)


def text_encoders(family: Family) -> tuple[str, ...]:
    """Their folders."""
    return tuple(f"text_encoder{suffix}" for suffix in family.folder_suffixes)
