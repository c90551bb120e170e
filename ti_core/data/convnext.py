"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) whose parameters carry timm's names, so that timm's files load without
timm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_EPSILON = 1e-6


class ConvNext(nn.Module):
    """Pixels [n, 3, size, size] -> scores [n, classes], before the sigmoid."""

    def __init__(self, state: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        """Sizes are those of the tensors of a file. Raises KeyError for another kind of model."""
        super().__init__()
        model = config.get("model_args", {})
        epsilon = float(model.get("norm_eps") or _EPSILON)
        width, _, patch_px, _ = state["stem.0.weight"].shape
        self.stem = nn.Sequential(nn.Conv2d(3, width, patch_px, patch_px), _ChannelNorm(width, epsilon))
        count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("stages."))
        self.stages = nn.Sequential(
            *(_Stage(state, f"stages.{i}.", epsilon, model.get("act_layer") == "gelu_tanh") for i in range(count))
        )
        classes, features = state["head.fc.weight"].shape
        self.head = nn.ModuleDict({"norm": nn.LayerNorm(features, epsilon), "fc": nn.Linear(features, classes)})

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of pixels [n, 3, height, width]."""
        pooled = self.stages(self.stem(pixels)).mean(dim=(2, 3))
        return self.head["fc"](self.head["norm"](pooled))


class _ChannelNorm(nn.LayerNorm):
    """Over the channels of [n, channels, rows, columns]."""

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        return super().forward(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Stage(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor], prefix: str, epsilon: float, tanh_gelu: bool) -> None:
        super().__init__()
        self.downsample = nn.Sequential()
        if (halves := state.get(f"{prefix}downsample.1.weight")) is not None:
            wider, width, side, _ = halves.shape
            self.downsample = nn.Sequential(_ChannelNorm(width, epsilon), nn.Conv2d(width, wider, side, side))
        depth = 1 + max(int(name.split(".")[3]) for name in state if name.startswith(f"{prefix}blocks."))
        self.blocks = nn.Sequential(*(_Block(state, f"{prefix}blocks.{i}.", epsilon, tanh_gelu) for i in range(depth)))

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """[n, width, rows, columns], half as many rows and columns in all stages but the first."""
        return self.blocks(self.downsample(grid))


class _Block(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor], prefix: str, epsilon: float, tanh_gelu: bool) -> None:
        super().__init__()
        width, _, side, _ = state[f"{prefix}conv_dw.weight"].shape
        hidden = state[f"{prefix}mlp.fc1.weight"].shape[0]
        self.conv_dw = nn.Conv2d(width, width, side, padding=side // 2, groups=width)
        self.norm = nn.LayerNorm(width, epsilon)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.gamma = nn.Parameter(torch.ones(width)) if f"{prefix}gamma" in state else None
        self.gelu = "tanh" if tanh_gelu else "none"

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """[n, width, rows, columns] to the same."""
        inner = self.norm(self.conv_dw(grid).permute(0, 2, 3, 1))
        inner = self.mlp["fc2"](F.gelu(self.mlp["fc1"](inner), approximate=self.gelu))
        if self.gamma is not None:
            inner = inner * self.gamma
        return grid + inner.permute(0, 3, 1, 2)
