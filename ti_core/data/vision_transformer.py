"""A plain vision transformer (Dosovitskiy et al. 2020) whose parameters carry timm's names, so that timm's files
load without timm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_HEAD_WIDTH = 64
EPSILON = 1e-6


@dataclass(frozen=True)
class Shape:
    """What a file's tensors and its config.json say of the model."""

    width: int
    depth: int
    heads: int
    hidden: int
    patch_px: int
    positions: int
    classes: int
    class_token: bool
    norm_after_pool: bool
    qkv_bias: bool
    tanh_gelu: bool
    average_pool: bool


def read_shape(
    state: dict[str, torch.Tensor],
    config: dict[str, Any],
    first_layer: str = "fc1",
    projection: str = "qkv",
    usual_pool: str = "",
) -> Shape:
    """Raises KeyError for a file of another kind of model. `first_layer` of the MLP and `projection` of the attention
    are its tensors' names; `usual_pool` is what timm takes unasked, by default whether there is a class token.
    """
    model = config.get("model_args", {})
    width = state["pos_embed"].shape[-1]
    class_token = "cls_token" in state
    return Shape(
        width=width,
        depth=_depth_of(state),
        heads=int(model.get("num_heads", width // _HEAD_WIDTH)),
        hidden=state[f"blocks.0.mlp.{first_layer}.weight"].shape[0],
        patch_px=state["patch_embed.proj.weight"].shape[-1],
        positions=state["pos_embed"].shape[1],
        classes=state["head.weight"].shape[0],
        class_token=class_token,
        norm_after_pool="fc_norm.weight" in state,
        qkv_bias=f"blocks.0.attn.{projection}.bias" in state,
        tanh_gelu=model.get("act_layer") == "gelu_tanh",
        average_pool=_pools_average(config, usual_pool or ("token" if class_token else "avg")),
    )


def _depth_of(state: dict[str, torch.Tensor]) -> int:
    """How many blocks there are in a file."""
    return 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))


def _pools_average(config: dict[str, Any], usual: str) -> bool:
    """Whether the answer is that of all patches, not of the class token; `usual` is what timm takes unasked."""
    return config.get("global_pool", config.get("model_args", {}).get("global_pool", usual)) == "avg"


class VisionTransformer(nn.Module):
    """Pixels [n, 3, size, size] -> scores [n, classes], before the sigmoid."""

    def __init__(self, shape: Shape, make_block: Callable[[], nn.Module] | None = None) -> None:
        """`make_block` makes blocks of another kind, which take tokens [n, tokens, width] and give the same."""
        super().__init__()
        self.shape = shape
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, shape.width, shape.patch_px, shape.patch_px)})
        if shape.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.positions, shape.width))
        self.blocks = nn.ModuleList(make_block() if make_block else _Block(shape) for _ in range(shape.depth))
        self.norm = nn.Identity() if shape.norm_after_pool else nn.LayerNorm(shape.width, EPSILON)
        self.fc_norm = nn.LayerNorm(shape.width, EPSILON) if shape.norm_after_pool else nn.Identity()
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of pixels [n, 3, height, width]."""
        tokens = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        if self.shape.class_token:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        pooled = tokens[:, int(self.shape.class_token) :].mean(dim=1) if self.shape.average_pool else tokens[:, 0]
        return self.head(self.fc_norm(pooled))


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, EPSILON)
        self.attn = _Attention(shape)
        self.norm2 = nn.LayerNorm(shape.width, EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(shape.width, shape.hidden), "fc2": nn.Linear(shape.hidden, shape.width)}
        )
        self.gelu = "tanh" if shape.tanh_gelu else "none"

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] to the same."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(tokens)), approximate=self.gelu))


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.qkv_bias)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width]; the rows of qkv are ordered by part, head, channel."""
        count, length, width = tokens.shape
        q, k, v = self.qkv(tokens).view(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count, length, width))
