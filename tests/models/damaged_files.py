"""Files that are no checkpoint, or no whole one: what people put into models/Stable-diffusion by mistake. Each
function writes one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.models.tiny_families import ldm_tensors, save_single_file, save_tensors

LIGHTNING = "pytorch_lightning.callbacks.model_checkpoint"


def save_lora(path: Path) -> Path:
    """A LoRA as kohya's trainer names it."""
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    save_tensors(
        {
            f"{block}.lora_down.weight": torch.zeros(4, 32),
            f"{block}.lora_up.weight": torch.zeros(32, 4),
            f"{block}.alpha": torch.tensor(4.0),
        },
        path,
    )
    return path


def save_vae(path: Path) -> Path:
    """An autoencoder alone, without a prefix, as vae-ft-mse-840000 has its names."""
    prefix = "first_stage_model."
    save_tensors(
        {name.removeprefix(prefix): tensor for name, tensor in ldm_tensors("sd1").items() if name.startswith(prefix)},
        path,
    )
    return path


def save_without(kind: str, part: str, path: Path) -> Path:
    """A checkpoint that lacks every tensor with `part` in its name: one tensor or, with a prefix, a whole network."""
    tensors = ldm_tensors(kind)
    fewer = {name: tensor for name, tensor in tensors.items() if part not in name}
    assert len(fewer) < len(tensors), f"no tensor of {kind} has '{part}' in its name"
    save_tensors(fewer, path)
    return path


def save_truncated(kind: str, path: Path, keep: float = 0.5) -> Path:
    """A download that broke off after the share `keep`; 0.001 leaves not even the header."""
    save_single_file(kind, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


def save_no_model(path: Path) -> Path:
    """A web page under the name of a checkpoint, as a download behind a login leaves it."""
    path.write_text(
        "<!DOCTYPE html><html><body>Please log in to download this model.</body></html>\n" * 50, encoding="utf-8"
    )
    return path


def save_flux(path: Path) -> Path:
    """A few tensors with the names of Flux."""
    names = [
        "double_blocks.0.img_attn.qkv.weight",
        "double_blocks.0.img_attn.norm.key_norm.scale",
        "single_blocks.0.linear1.weight",
        "img_in.weight",
    ]
    save_tensors(_zeros(names), path)
    return path


def save_sd3(path: Path) -> Path:
    """A few tensors with the names of Stable Diffusion 3, with its own autoencoder and CLIP-L."""
    network = [
        "joint_blocks.0.context_block.adaLN_modulation.1.bias",
        "joint_blocks.0.x_block.attn.qkv.weight",
        "x_embedder.proj.weight",
    ]
    others = [
        "first_stage_model.encoder.conv_in.weight",
        "text_encoders.clip_l.transformer.text_model.embeddings.position_embedding.weight",
    ]
    save_tensors(_zeros([*(f"model.diffusion_model.{name}" for name in network), *others]), path)
    return path


def _zeros(names: list[str]) -> dict[str, Tensor]:
    return {name: torch.zeros(8, 8) for name in names}


def save_lightning(kind: str, path: Path) -> Path:
    """A whole .ckpt that also names a class of PyTorch Lightning, which is not installed; sd-v1-4.ckpt is one."""
    package = ModuleType("pytorch_lightning")
    module = ModuleType(LIGHTNING)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": LIGHTNING})  # type: ignore[attr-defined]
    stubs = {"pytorch_lightning": package, "pytorch_lightning.callbacks": package, LIGHTNING: module}
    with mock.patch.dict(sys.modules, stubs):
        _save_ckpt(
            kind,
            path,
            callbacks={module.ModelCheckpoint: {"best_model_score": torch.tensor(0.0), "best_model_path": ""}},
        )
    return path


class _MakesFolder:
    """Unpickling this creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def save_hostile(kind: str, path: Path, evidence: Path) -> Path:
    """A whole .ckpt whose pickle runs code; the folder `evidence` exists once it ran."""
    _save_ckpt(kind, path, callbacks=_MakesFolder(evidence))
    return path


def _save_ckpt(kind: str, path: Path, **more: Any) -> None:
    torch.save({"state_dict": {name: tensor.clone() for name, tensor in ldm_tensors(kind).items()}, **more}, path)
