"""Tiny random checkpoints of every family, in every layout of real ones: the same classes, blocks, names and
tokens, only narrow.

`tiny_families` is the fixture that a test needs when it loads a single file: it puts the configs of these in the
place of the shipped ones.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.models.ldm_layout import clip_to_ldm, open_clip_to_ldm, unet_to_ldm, vae_to_ldm
from ti_core.models.families import FAMILIES, family
from ti_core.models.tokenizers import load_tokenizers

KINDS = ("sd1", "sd2_eps", "sd2_v", "sdxl", "sd1_inpainting")
"""Family, and what is special."""
SIZE_PX = 64
SHIPPED = family.CONFIGS
ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "projection_dim": 32,
}
UNET = {
    "block_out_channels": [32, 32, 64, 64],
    "norm_num_groups": 8,
    "sample_size": SIZE_PX // 8,
    "cross_attention_dim": 32,
}
NARROW: dict[str, dict[str, Any]] = {
    "vae": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 4, "layers_per_block": 1, "sample_size": SIZE_PX},
    "sd1/unet": {**UNET, "attention_head_dim": 4},
    "sd2/unet": {**UNET, "attention_head_dim": [2, 2, 4, 4], "cross_attention_dim": 48},
    "sdxl/unet": {
        **UNET,
        "block_out_channels": [32, 32, 64],
        "attention_head_dim": [2, 2, 4],
        "transformer_layers_per_block": [1, 1, 2],
        "cross_attention_dim": 32 + 64,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 64,
    },
    "sd2/text_encoder": {**ENCODER, "hidden_size": 48, "num_hidden_layers": 23},
    "text_encoder": ENCODER,
    "text_encoder_2": {**ENCODER, "hidden_size": 64, "intermediate_size": 128, "projection_dim": 64},
}
"""What differs from the shipped configs. Vectors are 32 (clip_l), 48 (clip_h) and 64 (clip_g) wide, so that
families still differ by width. SD2 keeps its 23 layers: files have 24, of which the last is never used.
"""


def tiny_configs(folder: Path) -> Path:
    """A folder laid out like assets/families, with the configs of the tiny checkpoints."""
    for name in FAMILIES:
        shutil.copytree(SHIPPED / name, folder / name)
        for path in (folder / name).glob("*/config.json"):
            changes = NARROW.get(f"{name}/{path.parent.name}") or NARROW[path.parent.name]
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.fixture(scope="session")
def tiny_configs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_configs(tmp_path_factory.mktemp("configs") / "families")


@pytest.fixture
def tiny_families(tiny_configs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For one test, single files are loaded with the tiny configs; gives their folder."""
    monkeypatch.setattr(family, "CONFIGS", tiny_configs_folder)
    return tiny_configs_folder


def family_of(kind: str) -> str:
    return kind.split("_")[0]


@cache
def tiny_pipeline(kind: str) -> DiffusionPipeline:
    """The checkpoint in memory, float32; the same for the whole session, so leave it as it is."""
    with tempfile.TemporaryDirectory() as temporary:
        return _build(kind, tiny_configs(Path(temporary) / "families") / family_of(kind))


def _build(kind: str, configs: Path) -> DiffusionPipeline:
    torch.manual_seed(KINDS.index(kind))
    channels = {"in_channels": 9} if kind == "sd1_inpainting" else {}
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet"), **channels),
        "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae")),
        "scheduler": DDPMScheduler.from_pretrained(
            configs / "scheduler", **({"prediction_type": "epsilon"} if kind == "sd2_eps" else {})
        ),
    }
    for i, tokenizer in enumerate(load_tokenizers(FAMILIES[family_of(kind)])):
        which = "_2" if i else ""
        network = CLIPTextModelWithProjection if i else CLIPTextModel
        parts |= {
            f"text_encoder{which}": network(CLIPTextConfig.from_pretrained(configs / f"text_encoder{which}")),
            f"tokenizer{which}": tokenizer,
        }
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    if family_of(kind) == "sdxl":
        return StableDiffusionXLPipeline(**parts)
    pipeline = StableDiffusionInpaintPipeline if kind == "sd1_inpainting" else StableDiffusionPipeline
    return pipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def save_folder(kind: str, folder: Path) -> Path:
    """A diffusers folder."""
    tiny_pipeline(kind).save_pretrained(folder)
    return folder


def ldm_tensors(kind: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """All tensors of a single file, by their LDM names, with the schedule and counters that real files of SD1 and
    SD2 carry.
    """
    pipeline = tiny_pipeline(kind)
    tensors = unet_to_ldm(pipeline.unet) | vae_to_ldm(pipeline.vae)
    if family_of(kind) == "sdxl":
        tensors |= clip_to_ldm(pipeline.text_encoder, "conditioner.embedders.0.transformer.")
        tensors |= open_clip_to_ldm(pipeline.text_encoder_2, "conditioner.embedders.1.model.")
    elif family_of(kind) == "sd2":
        tensors |= open_clip_to_ldm(pipeline.text_encoder, "cond_stage_model.model.")
    else:
        tensors |= clip_to_ldm(pipeline.text_encoder, "cond_stage_model.transformer.")
    tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if family_of(kind) == "sdxl":
        return tensors
    signal = pipeline.scheduler.alphas_cumprod
    schedule = {"betas": pipeline.scheduler.betas, "alphas_cumprod": signal, "sqrt_alphas_cumprod": signal.sqrt()}
    return (
        tensors
        | schedule
        | {
            "model_ema.decay": torch.tensor(0.9999),
            "model_ema.num_updates": torch.tensor(470_000, dtype=torch.int32),
        }
    )


def save_single_file(kind: str, path: Path, dtype: torch.dtype = torch.float32) -> Path:
    """One .safetensors, or one .ckpt as Lightning saves it; the ending says which."""
    save_tensors(ldm_tensors(kind, dtype), path)
    return path


def save_zero_snr_file(path: Path, marks: tuple[str, ...] = ("v_pred", "ztsnr")) -> Path:
    """SDXL in one file with the empty tensors by which such files say what they predict and how their noise ends
    (A1111's pull request 16567).
    """
    save_tensors(ldm_tensors("sdxl") | {mark: torch.tensor([]) for mark in marks}, path)
    return path


def change_scheduler(folder: Path, **values: Any) -> Path:
    """Of a diffusers folder; None takes a setting out."""
    path = folder / "scheduler" / "scheduler_config.json"
    said = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))
    return folder


def save_zero_snr_folder(folder: Path, **values: Any) -> Path:
    """The same weights as a diffusers folder whose scheduler says so."""
    return change_scheduler(
        save_folder("sdxl", folder), **{"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, **values}
    )


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"epoch": 0, "global_step": 470_000, "state_dict": tensors}, path)


def save_sd_turbo(path: Path) -> Path:
    """Stable Diffusion 2 under the names of the later code, as sd_turbo.safetensors has them."""
    save_tensors(
        {
            name.replace("cond_stage_model.model.", "conditioner.embedders.0.model."): tensor
            for name, tensor in ldm_tensors("sd2_eps").items()
            if name.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model."))
        },
        path,
    )
    return path


def save_pruned_folder(folder: Path) -> Path:
    """SDXL as SSD-1B and Segmind Vega are pruned: fewer layers, and no attention in the middle of the UNet."""
    save_folder("sdxl", folder)
    config = UNet2DConditionModel.load_config(folder / "unet")
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(
        config,
        transformer_layers_per_block=[1, 1, 1],
        reverse_transformer_layers_per_block=[[1, 1, 2], [1, 1, 1], 1],
        mid_block_type="UNetMidBlock2D",
    )
    unet.save_pretrained(folder / "unet")
    return folder
