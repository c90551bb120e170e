"""Loads a Stable Diffusion checkpoint, with every weight frozen, from a diffusers folder. Nothing is fetched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from ti_core.errors import UserError
from ti_core.library import CheckpointFile, find_checkpoint
from ti_core.workspace import Workspace


@dataclass
class StableDiffusion:
    """A loaded checkpoint. Networks are frozen and in eval mode on `device`; `signal` is alphas_cumprod, float32 [1000]."""

    file: CheckpointFile
    hash: str
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler_config: dict[str, Any]
    signal: Tensor
    prediction_type: str
    device: torch.device
    autocast_dtype: torch.dtype | None

    @property
    def width(self) -> int:
        """Length of one vector."""
        return int(self.text_encoder.get_input_embeddings().weight.shape[1])

    @property
    def latent_factor(self) -> int:
        """Pixels to one latent."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def autocast(self) -> torch.autocast:
        """Mixed precision for the UNet and the autoencoder, where the device has it."""
        return torch.autocast(self.device.type, self.autocast_dtype or torch.bfloat16, enabled=self.autocast_dtype is not None)


def load_checkpoint(choice: str, workspace: Workspace) -> StableDiffusion:
    """Load a checkpoint by title or path on accelerate's device; raises UserError if it is none or is damaged.

    The text encoder stays in float32, because the vectors are trained through it; UNet and VAE have weights of the autocast's precision:
    on a CPU a pass was 10% faster than with float32 weights that autocast copies, with the same gradient error (1.3% and 1.2%).
    """
    file = find_checkpoint(choice, workspace)
    device = PartialState().device
    dtype = autocast_dtype(device)
    weights = dtype or torch.float32
    try:
        tokenizer = _load_tokenizer(file.path)
        text_encoder = CLIPTextModel.from_pretrained(file.path / "text_encoder", dtype=torch.float32, local_files_only=True)
        unet = UNet2DConditionModel.from_pretrained(file.path / "unet", torch_dtype=weights, local_files_only=True)
        vae = AutoencoderKL.from_pretrained(file.path / "vae", torch_dtype=weights, local_files_only=True)
        scheduler = DDPMScheduler.from_pretrained(file.path / "scheduler", local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(file, error) from error
    for network in (text_encoder, unet, vae):
        network.requires_grad_(False).eval().to(device)
    return StableDiffusion(
        file, short_hash(file.path), tokenizer, text_encoder, unet, vae,
        scheduler_config=dict(scheduler.config), signal=scheduler.alphas_cumprod.to(device, torch.float32),
        prediction_type=scheduler.config.prediction_type, device=device, autocast_dtype=dtype,
    )  # fmt: skip


def load_token_table(choice: str, workspace: Workspace) -> tuple[CLIPTokenizer, Tensor]:
    """The tokenizer and the token table [tokens, width] alone, without the networks: enough to create an embedding."""
    file = find_checkpoint(choice, workspace)
    try:
        tokenizer = _load_tokenizer(file.path)
        weights = load_file(file.path / "text_encoder" / "model.safetensors")
        table = next(tensor for name, tensor in weights.items() if name.endswith("token_embedding.weight"))
    except (OSError, ValueError, SafetensorError, StopIteration) as error:
        raise _damaged(file, error) from error
    return tokenizer, table


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Checked, because a missing tokenizer folder gives an empty one without a word (stack notes 2)."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    if len(tokenizer) < 512 or tokenizer.model_max_length > 1024:
        raise ValueError("its tokenizer folder is missing or incomplete")
    return tokenizer


def _damaged(file: CheckpointFile, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return UserError(f"Checkpoint '{file.title}' cannot be loaded: {reason.rstrip('.')}.", "Choose another checkpoint, or put a complete copy in its place.")


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """bf16 where the hardware multiplies it natively, fp16 on other GPUs, None (float32) elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None
    return torch.float16 if device.type == "mps" else None


def short_hash(folder: Path) -> str:
    """First 10 hex digits of the SHA-256 of the UNet's weights file: what tells one checkpoint from another in A1111's files."""
    digest = hashlib.sha256()
    for weights in sorted((folder / "unet").glob("*.safetensors")):
        with weights.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:10]
