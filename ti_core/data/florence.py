"""Florence-2: a description of a picture, short or long (Xiao et al. 2023, arXiv 2311.06242).

Microsoft's own repositories hold code that would have to be run. These are the same weights (MIT), converted for the
class that transformers brings along.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image

from ti_core.data.model_files import ModelFiles, find_model
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

QUESTIONS = {
    "one sentence": "What does the image describe?",
    "a few sentences": "Describe in detail what is shown in the image.",
    "a paragraph": "Describe with a paragraph what is shown in the image.",
}
"""It learned to answer these, each at its own length."""

SIZE_PX = 768
_BEAMS = 3
_MOST_TOKENS = 256
"""Its paragraphs have about 100."""
_FEW_TENSORS = 3
"""Copies of others may be missing, such as the output's weights; more means another model."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_OPENING = re.compile(
    r"^(?:(?:the|this) (?:image|picture|photo) (?:shows|is of|features|depicts)"
    r"|in (?:the|this) (?:image|picture|photo),? (?:we can see|there (?:is|are))) ",
    re.IGNORECASE,
)
"""Says nothing of the picture, and would be in every caption."""


def florence_files(name: str, workspace: Workspace) -> ModelFiles:
    """What a Florence-2 of the hub needs, and where it lies in the workspace."""
    return ModelFiles(
        f"The model {name}",
        f"florence-community/{name}",
        workspace.root / "models" / "Florence-2" / name,
        ("config.json", "model.safetensors", "tokenizer.json"),
        ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    )


class Florence:
    """A loaded Florence-2. Raises UserError if its files are missing or cannot be read; files that run code are never
    opened.
    """

    def __init__(self, settings: PreprocessSettings, workspace: Workspace) -> None:
        from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

        files = florence_files(settings.florence_model, workspace)
        folder = find_model(files, workspace)
        try:
            self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
            loaded: Any = Florence2ForConditionalGeneration.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            model, info = loaded
            if len(info["missing_keys"]) > _FEW_TENSORS:  # transformers fills them with random numbers
                raise ValueError(f"{len(info['missing_keys'])} of its tensors are missing")
        except Exception as error:  # tokenizers and the config's checks raise Exception itself for a broken file
            raise UserError(
                f"{files.title} in {workspace.shown(files.folder)} cannot be read: {error}.", "Download its files anew."
            ) from error
        self.device = PartialState().device
        self.model = model.to(self.device).eval()
        self.question = QUESTIONS[settings.florence_length]

    def describe(self, image: Image.Image) -> str:
        """A description of the length of the settings, without an opening such as "The image shows"."""
        asked = self._asked()
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=asked,
                attention_mask=torch.ones_like(asked),
                pixel_values=self._pixels(image),
                do_sample=False,
                num_beams=_BEAMS,
                max_new_tokens=_MOST_TOKENS,
            )
        words = self.model.config.text_config
        marks = {words.bos_token_id, words.eos_token_id, words.pad_token_id}
        text = self.tokenizer.decode([token for token in written[0].tolist() if token not in marks])
        return plain_description(text)

    def _asked(self) -> torch.Tensor:
        """[1, tokens]: a place for each part of the picture and one for the whole, then the question."""
        config = self.model.config
        side = SIZE_PX // math.prod(config.vision_config.patch_stride)
        question = self.tokenizer.encode(self.question, add_special_tokens=False)
        words = config.text_config
        tokens = [config.image_token_id] * (side * side + 1) + [words.bos_token_id, *question, words.eos_token_id]
        return torch.tensor([tokens], device=self.device)

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        """[1, 3, 768, 768], squashed, not cropped."""
        small = image.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)
        scaled = (np.asarray(small, dtype=np.float32) / 255 - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
        return torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self.device)


def plain_description(text: str) -> str:
    """One line, without an opening that says nothing and without the full stop at its end."""
    return _OPENING.sub("", " ".join(text.split()), count=1).removesuffix(".").strip()
