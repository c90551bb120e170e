"""Checkpoints of full size that take little room: their weights are the holes of sparse files, which read as zeros.
Only the tables of tokens have numbers, because a training looks at the lengths of words.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, PreTrainedModel

from bench.random_models import KINDS, text_encoders
from ti_core.models.families.family import Family
from ti_core.models.tokenizers import load_tokenizers

BYTES = 2
"""All weights are bfloat16, as a downloaded model's are half precision."""


def save_zeros(family: Family, folder: Path) -> None:
    """A diffusers folder of the family's real architecture."""
    shutil.copytree(family.configs, folder, dirs_exist_ok=True)
    for tokenizer, part in zip(load_tokenizers(family), text_encoders(family), strict=True):
        tokenizer.save_pretrained(folder / part.replace("text_encoder", "tokenizer"))
    for part in (*text_encoders(family), "unet", "vae"):
        config = json.loads((family.configs / part / "config.json").read_text(encoding="utf-8"))
        with torch.device("meta"):
            is_text = issubclass(KINDS[part], PreTrainedModel)
            made = KINDS[part](CLIPTextConfig.from_dict(config)) if is_text else KINDS[part].from_config(config)
        name = "model.safetensors" if is_text else "diffusion_pytorch_model.safetensors"
        _save_holes({name: list(t.shape) for name, t in made.state_dict().items()}, folder / part / name)


def _save_holes(shapes: dict[str, list[int]], file: Path) -> None:
    """A safetensors file with these tensors, whose content is never written."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + BYTES * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + end)
        for name, shape in shapes.items():
            if name.endswith("token_embedding.weight"):
                out.seek(8 + len(text) + header[name]["data_offsets"][0])
                out.write(torch.randn(shape).mul_(0.01).bfloat16().view(torch.int16).numpy().tobytes())
