"""What we use of diffusers that is not part of its documented interface; tests/models/test_private.py names the
version.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from diffusers.loaders.single_file_utils import (
    SingleFileComponentError,
    create_diffusers_clip_model_from_ldm,
    load_single_file_checkpoint,
)
from transformers import CLIPTextModel

__all__ = ["SingleFileComponentError", "load_old_text_encoder"]


def load_old_text_encoder(path: Path, configs: Path, prefix: str) -> CLIPTextModel:
    """The text encoder of a single file that calls its weights without `text_model`, as the first checkpoints and
    merges of them do, which diffusers does not know. float32; `prefix` stands before their names.
    """
    new = f"{prefix}text_model."
    tensors = {
        new + name.removeprefix(prefix) if name.startswith(prefix) else name: tensor
        for name, tensor in load_single_file_checkpoint(str(path)).items()
    }
    encoder = create_diffusers_clip_model_from_ldm(
        CLIPTextModel,
        tensors,
        subfolder="text_encoder",
        config=str(configs),
        torch_dtype=torch.float32,
        local_files_only=True,
    )
    return cast(CLIPTextModel, encoder)
