"""EVA-02 (Fang et al. 2023, arXiv 2303.11331): a vision transformer with turned positions and gated layers. Its
parameters carry timm's names, so that timm's files load without timm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ti_core.data.vision_transformer import EPSILON, Shape, VisionTransformer, read_shape

_FIRST_GRID = 16
"""Patches a side at its first training, 224 px of 14; positions are counted on that scale at every size."""
_TEMPERATURE = 10_000.0


class Eva(VisionTransformer):
    """Pixels [n, 3, size, size] -> scores [n, classes], before the sigmoid."""

    def __init__(self, state: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        """Sizes are those of the tensors of a file. Raises KeyError for another kind of model."""
        model = config.get("model_args", {})
        shape = read_shape(state, config, first_layer="fc1_g", projection="q_proj", usual_pool="avg")
        side = round((shape.positions - shape.class_token) ** 0.5)
        first = model.get("ref_feat_shape") or _FIRST_GRID
        sines, cosines = _turns(shape.width // shape.heads, side, first[0] if isinstance(first, list) else int(first))
        scaled = "blocks.0.mlp.norm.weight" in state
        super().__init__(shape, lambda: _Block(shape, scaled, sines, cosines))


def _turns(width: int, side: int, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines and cosines [side * side, width] by which channels are turned: half of them by the row, half by the
    column, two neighbours by the same angle.
    """
    count = width // 4
    speeds = _TEMPERATURE ** -(torch.arange(count, dtype=torch.float32) / count)
    at = torch.arange(side, dtype=torch.float32) / side * first
    angles = (torch.cartesian_prod(at, at)[:, :, None] * speeds).flatten(1).repeat_interleave(2, dim=-1)
    return angles.sin(), angles.cos()


class _Block(nn.Module):
    def __init__(self, shape: Shape, scaled: bool, sines: torch.Tensor, cosines: torch.Tensor) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, EPSILON)
        self.attn = _Attention(shape, sines, cosines)
        self.norm2 = nn.LayerNorm(shape.width, EPSILON)
        self.mlp = nn.ModuleDict(
            {
                "fc1_g": nn.Linear(shape.width, shape.hidden),
                "fc1_x": nn.Linear(shape.width, shape.hidden),
                "norm": nn.LayerNorm(shape.hidden, EPSILON) if scaled else nn.Identity(),
                "fc2": nn.Linear(shape.hidden, shape.width),
            }
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] to the same."""
        tokens = tokens + self.attn(self.norm1(tokens))
        given = self.norm2(tokens)
        gated = F.silu(self.mlp["fc1_g"](given)) * self.mlp["fc1_x"](given)
        return tokens + self.mlp["fc2"](self.mlp["norm"](gated))


class _Attention(nn.Module):
    sines: torch.Tensor
    cosines: torch.Tensor

    def __init__(self, shape: Shape, sines: torch.Tensor, cosines: torch.Tensor) -> None:
        super().__init__()
        self.heads = shape.heads
        self.untouched = int(shape.class_token)
        self.q_proj = nn.Linear(shape.width, shape.width, bias=shape.qkv_bias)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width, bias=shape.qkv_bias)
        self.proj = nn.Linear(shape.width, shape.width)
        self.register_buffer("sines", sines, persistent=False)
        self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] to the same."""
        count, length, width = tokens.shape
        q, k, v = (
            project(tokens).view(count, length, self.heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(self._turned(q), self._turned(k), v)
        return self.proj(attended.transpose(1, 2).reshape(count, length, width))

    def _turned(self, heads: torch.Tensor) -> torch.Tensor:
        """[n, heads, tokens, channels]; the class token has no place."""
        first, placed = heads[:, :, : self.untouched], heads[:, :, self.untouched :]
        across = torch.stack([-placed[..., 1::2], placed[..., ::2]], dim=-1).flatten(-2)
        return torch.cat([first, placed * self.cosines + across * self.sines], dim=2)
