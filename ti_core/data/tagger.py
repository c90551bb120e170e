"""The booru taggers: the WD v3 family, which stands where A1111 has deepbooru (A1111 1.10.1, modules/interrogate.py
and deepbooru.py).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ti_core.data.convnext import ConvNext
from ti_core.data.eva import Eva
from ti_core.data.model_files import ModelFiles, find_model
from ti_core.data.swin_transformer import SwinTransformer
from ti_core.data.vision_transformer import VisionTransformer, read_shape
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

RATING = 9
"""Category of the tags that judge a picture (general, sensitive, ...) and say nothing of what it shows."""
CHARACTER = 4
"""Category of the names of characters."""

_FACE_OF_SIGNS = 3
"""Tags of up to so many letters, such as ^_^ and o_o, are faces made of signs and keep their underscore."""


class Tag(NamedTuple):
    name: str
    category: int


class Thresholds(NamedTuple):
    """From which probability on a tag counts."""

    general: float
    character: float

    def admit(self, tag: Tag, score: float) -> bool:
        """Whether the tag is written; ratings never are."""
        return tag.category != RATING and score >= (self.character if tag.category == CHARACTER else self.general)


def tagger_files(name: str, workspace: Workspace) -> ModelFiles:
    """What a tagger of the family needs, and where it lies in the workspace."""
    wanted = ("config.json", "model.safetensors", "selected_tags.csv")
    return ModelFiles(f"The tagger {name}", f"SmilingWolf/{name}", workspace.root / "models" / "tagger" / name, wanted)


def read_network(state: dict[str, torch.Tensor], config: dict[str, Any], size_px: int) -> nn.Module:
    """The network of a file of timm, whichever of the family it is by its tensors, with its weights in float32.

    Raises KeyError or RuntimeError for a file of another kind of model.
    """
    network: nn.Module
    if "layers.0.blocks.0.attn.logit_scale" in state:
        network = SwinTransformer(state, config, size_px)
    elif "stages.0.blocks.0.conv_dw.weight" in state:
        network = ConvNext(state, config)
    elif "blocks.0.mlp.fc1_g.weight" in state:
        network = Eva(state, config)
    else:
        network = VisionTransformer(read_shape(state, config))
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return network


class Tagger:
    """A loaded tagger. Raises UserError if its files are missing or do not fit together."""

    def __init__(self, settings: PreprocessSettings, workspace: Workspace) -> None:
        files = tagger_files(settings.booru_model, workspace)
        folder = find_model(files, workspace)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            state = load_file(folder / "model.safetensors")
            self.tags = read_tags(folder / "selected_tags.csv")
            pretrained = config.get("pretrained_cfg", {})
            self.size = int(pretrained.get("input_size", (3, 448, 448))[-1])
            self.model = read_network(state, config, self.size)
            self.mean, self.std = (
                np.array(pretrained.get(name, (0.5, 0.5, 0.5)), np.float32) for name in ("mean", "std")
            )
            classes = next(len(state[name]) for name in ("head.weight", "head.fc.weight") if name in state)
            if len(self.tags) != classes:
                raise ValueError(f"the list has {len(self.tags)} tags, the model {classes}")
        except (OSError, SafetensorError, LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise UserError(
                f"{files.title} in {workspace.shown(folder)} cannot be read: {error}.",
                "Download its files anew; only taggers of the WD v3 family are known.",
            ) from error
        self.device = PartialState().device
        self.model.to(self.device).eval()
        self.thresholds = Thresholds(settings.booru_threshold, settings.booru_character_threshold)

    def describe(self, image: Image.Image) -> str:
        """The tags whose probability reaches their threshold, with commas between."""
        with torch.inference_mode():
            scores = torch.sigmoid(self.model(self._pixels(image)))[0].tolist()
        return tag_caption(zip(self.tags, scores, strict=True), self.thresholds)

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


def tag_caption(scored: Iterable[tuple[Tag, float]], thresholds: Thresholds) -> str:
    """The tags that reach their threshold, sorted by name, as text: spaces for underscores, brackets and backslashes
    escaped.
    """
    kept = sorted(tag.name for tag, score in scored if thresholds.admit(tag, score))
    return ", ".join(
        re.sub(r"([\\()])", r"\\\1", name if len(name) <= _FACE_OF_SIGNS else name.replace("_", " ")) for name in kept
    )
