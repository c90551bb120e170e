"""The booru tagger: WD tagger v3 (ViT), which stands where A1111 has deepbooru (A1111 1.10.1,
modules/interrogate.py and deepbooru.py).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from ti_core.data.model_files import ModelFiles, find_model
from ti_core.data.vision_transformer import VisionTransformer, read_shape
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

TAGGER = "wd-vit-tagger-v3"
RATING = 9
"""Category of the tags that judge a picture (general, sensitive, ...) and say nothing of what it shows."""

_FACE_OF_SIGNS = 3
"""Tags of up to so many letters, such as ^_^ and o_o, are faces made of signs and keep their underscore."""


class Tag(NamedTuple):
    name: str
    category: int


def tagger_files(workspace: Workspace) -> ModelFiles:
    """What the tagger needs, and where it lies in the workspace."""
    wanted = ("config.json", "model.safetensors", "selected_tags.csv")
    return ModelFiles(
        f"The tagger {TAGGER}", f"SmilingWolf/{TAGGER}", workspace.root / "models" / "tagger" / TAGGER, wanted
    )


class Tagger:
    """A loaded tagger. Raises UserError if its files are missing or do not fit together."""

    def __init__(self, settings: PreprocessSettings, workspace: Workspace) -> None:
        files = tagger_files(workspace)
        folder = find_model(files, workspace)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            state = load_file(folder / "model.safetensors")
            self.model = VisionTransformer(read_shape(state, config))
            self.model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
            self.tags = read_tags(folder / "selected_tags.csv")
            pretrained = config.get("pretrained_cfg", {})
            self.size = int(pretrained.get("input_size", (3, 448, 448))[-1])
            self.mean, self.std = (
                np.array(pretrained.get(name, (0.5, 0.5, 0.5)), np.float32) for name in ("mean", "std")
            )
            if len(self.tags) != self.model.shape.classes:
                raise ValueError(f"the list has {len(self.tags)} tags, the model {self.model.shape.classes}")
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise UserError(
                f"{files.title} in {workspace.shown(folder)} cannot be read: {error}.",
                f"Download its files anew; only {TAGGER} and its like (ViT) are known.",
            ) from error
        self.device = PartialState().device
        self.model.to(self.device).eval()
        self.threshold = settings.booru_threshold

    def describe(self, image: Image.Image) -> str:
        """The tags whose probability is above the threshold, with commas between."""
        with torch.inference_mode():
            scores = torch.sigmoid(self.model(self._pixels(image)))[0].tolist()
        return tag_caption(zip(self.tags, scores, strict=True), self.threshold)

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        """[1, 3, size, size], filled up with white to a square; the model was trained on BGR."""
        side = max(image.size)
        square = Image.new("RGB", (side, side), (255, 255, 255))
        square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
        values = (
            np.asarray(square.resize((self.size, self.size), Image.Resampling.BICUBIC), dtype=np.float32)[:, :, ::-1]
            / 255
        )
        scaled = np.ascontiguousarray((values - self.mean) / self.std)
        return torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self.device)


def read_tags(path: Path) -> list[Tag]:
    """Rows of tag_id, name, category, count. Raises KeyError or ValueError for another kind of table."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Tag(row["name"], int(row["category"])) for row in csv.DictReader(file)]


def tag_caption(scored: Iterable[tuple[Tag, float]], threshold: float) -> str:
    """The tags from `threshold` on, sorted by name, as text: spaces for underscores, brackets and backslashes
    escaped.
    """
    kept = sorted(tag.name for tag, score in scored if tag.category != RATING and score >= threshold)
    return ", ".join(
        re.sub(r"([\\()])", r"\\\1", name if len(name) <= _FACE_OF_SIGNS else name.replace("_", " ")) for name in kept
    )
