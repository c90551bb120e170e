"""BLIP: one sentence about a picture (Li et al. 2022, arXiv 2201.12086)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from safetensors import SafetensorError

from ti_core.data.model_files import ModelFiles, find_model
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

PROMPT = "a picture of "
"""BLIP learned to write on from these words; they are cut off again. They count for the lengths, as in A1111."""

_FEW_TENSORS = 3
"""Files of other versions may lack what is copied from elsewhere, such as the output's bias; more means another
model.
"""

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def blip_files(name: str, workspace: Workspace) -> ModelFiles:
    """What a BLIP model of the hub needs, and where it lies in the workspace."""
    return ModelFiles(
        f"The BLIP model {name}",
        f"Salesforce/{name}",
        workspace.root / "models" / "BLIP" / name,
        ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"),
        ("tokenizer.json", "special_tokens_map.json"),
    )


class Blip:
    """A loaded BLIP. Raises UserError if its files are missing or cannot be read; files that run code are never
    opened.
    """

    def __init__(self, settings: PreprocessSettings, workspace: Workspace) -> None:
        from transformers import AutoTokenizer, BlipForConditionalGeneration

        files = blip_files(settings.blip_model, workspace)
        folder = str(find_model(files, workspace))
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded: Any = BlipForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            model, info = loaded
            if len(info["missing_keys"]) > _FEW_TENSORS:  # transformers fills them with random numbers
                raise ValueError(f"{len(info['missing_keys'])} of its tensors are missing")
        except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                f"{files.title} in {workspace.shown(files.folder)} cannot be read: {error}.", "Download its files anew."
            ) from error
        self.device = PartialState().device
        self.model = model.to(self.device).eval()
        self.lengths = {
            "min_length": settings.blip_min_length,
            "max_length": settings.blip_max_length,
            "num_beams": settings.blip_beams,
        }

    def describe(self, image: Image.Image) -> str:
        """One sentence in lower case, by beam search within the lengths of the settings."""
        prompt = self.tokenizer(PROMPT.strip(), return_tensors="pt").input_ids.to(self.device)
        with torch.inference_mode():
            written = self.model.generate(self._pixels(image), input_ids=prompt, do_sample=False, **self.lengths)
        return self.tokenizer.decode(written[0], skip_special_tokens=True).strip().removeprefix(PROMPT.strip()).strip()

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        """[1, 3, 384, 384], squashed, not cropped."""
        size = self.model.config.vision_config.image_size
        values = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        scaled = (values - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
        return torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self.device)
