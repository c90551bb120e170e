"""Swin Transformer V2 (Liu et al. 2021, arXiv 2111.09883) whose parameters carry timm's names, so that timm's files
load without timm.

transformers' own class keeps other names and lays out its stages differently, so a mapping would be longer than this.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

_EPSILON = 1e-5
_HIDDEN_OF_BIAS = 512
"""Width of the small network that gives each distance in a window its bias."""
_NOT_OF_ONE_REGION = -100.0


class _Block(NamedTuple):
    """What a block needs to know. `window` and `shift` are in positions, `distance` is the window at its first
    training.
    """

    width: int
    heads: int
    hidden: int
    window: int
    shift: int
    distance: int
    tanh_gelu: bool


class SwinTransformer(nn.Module):
    """Pixels [n, 3, size, size] -> scores [n, classes], before the sigmoid."""

    def __init__(self, state: dict[str, torch.Tensor], config: dict[str, Any], size_px: int) -> None:
        """Sizes are those of the tensors of a file; the window is what its config.json says. Raises KeyError for
        another kind of model.
        """
        super().__init__()
        model = config.get("model_args", {})
        width, _, patch_px, _ = state["patch_embed.proj.weight"].shape
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, width, patch_px, patch_px), "norm": nn.LayerNorm(width, _EPSILON)}
        )
        count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
        window = _window(config)
        distances = model.get("pretrained_window_sizes", (0,) * count)
        side = size_px // patch_px
        self.layers = nn.ModuleList()
        for stage in range(count):
            merges = f"layers.{stage}.downsample.reduction.weight" in state
            side = (side + 1) // 2 if merges else side
            self.layers.append(
                _Stage(state, f"layers.{stage}.", side, window, int(distances[stage]), _is_tanh(model), merges)
            )
        features = state["norm.weight"].shape[0]
        self.norm = nn.LayerNorm(features, _EPSILON)
        self.head = nn.ModuleDict({"fc": nn.Linear(features, state["head.fc.weight"].shape[0])})

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of pixels [n, 3, height, width]."""
        grid = self.patch_embed["norm"](self.patch_embed["proj"](pixels).permute(0, 2, 3, 1))
        for stage in self.layers:
            grid = stage(grid)
        return self.head["fc"](self.norm(grid).mean(dim=(1, 2)))


def _is_tanh(model: dict[str, Any]) -> bool:
    return model.get("act_layer") == "gelu_tanh"


def _window(config: dict[str, Any]) -> int:
    """Of model_args, else of the architecture's name, such as swinv2_base_window8_256."""
    given = config.get("model_args", {}).get("window_size")
    if given is None:
        found = re.search(r"window(\d+)(?!\d*to)", config.get("architecture", ""))
        if found is None:
            raise KeyError("window_size")
        given = found[1]
    return int(given[0] if isinstance(given, (list, tuple)) else given)


class _Stage(nn.Module):
    def __init__(
        self,
        state: dict[str, torch.Tensor],
        prefix: str,
        side: int,
        window: int,
        distance: int,
        tanh_gelu: bool,
        merges: bool,
    ) -> None:
        super().__init__()
        hidden, width = state[f"{prefix}blocks.0.mlp.fc1.weight"].shape
        heads = state[f"{prefix}blocks.0.attn.logit_scale"].shape[0]
        self.downsample = _Merging(state[f"{prefix}downsample.reduction.weight"]) if merges else nn.Identity()
        depth = 1 + max(int(name.split(".")[3]) for name in state if name.startswith(f"{prefix}blocks."))
        near = min(window, side)
        self.blocks = nn.ModuleList(
            _SwinBlock(
                _Block(width, heads, hidden, near, window // 2 if i % 2 and near < side else 0, distance, tanh_gelu)
            )
            for i in range(depth)
        )

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """[n, rows, columns, width], half as many of both after merging."""
        grid = self.downsample(grid)
        for block in self.blocks:
            grid = block(grid)
        return grid


class _Merging(nn.Module):
    """Four neighbours become one position."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.reduction = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.norm = nn.LayerNorm(weight.shape[0], _EPSILON)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        grid = F.pad(grid, (0, 0, 0, grid.shape[2] % 2, 0, grid.shape[1] % 2))
        columns = [grid[:, :, 0::2], grid[:, :, 1::2]]
        return self.norm(self.reduction(torch.cat([part[:, row::2] for part in columns for row in (0, 1)], dim=-1)))


class _SwinBlock(nn.Module):
    def __init__(self, block: _Block) -> None:
        super().__init__()
        self.block = block
        self.attn = _WindowAttention(block)
        self.norm1 = nn.LayerNorm(block.width, _EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(block.width, block.hidden), "fc2": nn.Linear(block.hidden, block.width)}
        )
        self.norm2 = nn.LayerNorm(block.width, _EPSILON)
        self.gelu = "tanh" if block.tanh_gelu else "none"

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """[n, rows, columns, width] to the same; each norm comes after its part."""
        grid = grid + self.norm1(self._attended(grid))
        return grid + self.norm2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](grid), approximate=self.gelu)))

    def _attended(self, grid: torch.Tensor) -> torch.Tensor:
        """Attention within windows, which are moved by half of their side in every second block."""
        window, shift = self.block.window, self.block.shift
        _, rows, columns, width = grid.shape
        moved = torch.roll(grid, (-shift, -shift), (1, 2)) if shift else grid
        moved = F.pad(moved, (0, 0, 0, -columns % window, 0, -rows % window))
        size = moved.shape[1:3]
        mask = _regions_apart(size[0], size[1], window, shift, grid.device) if shift else None
        attended = self.attn(_windows(moved, window), mask)
        back = attended.view(-1, size[0] // window, size[1] // window, window, window, width)
        back = back.transpose(2, 3).reshape(-1, *size, width)[:, :rows, :columns]
        return torch.roll(back, (shift, shift), (1, 2)) if shift else back


def _windows(grid: torch.Tensor, window: int) -> torch.Tensor:
    """[n, rows, columns, width] -> [n * windows, window * window, width]."""
    count, rows, columns, width = grid.shape
    parts = grid.view(count, rows // window, window, columns // window, window, width).transpose(2, 3)
    return parts.reshape(-1, window * window, width)


def _regions_apart(rows: int, columns: int, window: int, shift: int, device: torch.device) -> torch.Tensor:
    """[windows, window * window, window * window]: what rolled in from the other side is not attended to."""

    def bands(length: int) -> torch.Tensor:
        at = torch.arange(length, device=device)
        return (at >= length - window).int() + (at >= length - shift).int()

    number = (3 * bands(rows)[:, None] + bands(columns)[None])[None, :, :, None]
    inside = _windows(number, window)[:, :, 0]
    return (inside[:, :, None] != inside[:, None]) * _NOT_OF_ONE_REGION


class _WindowAttention(nn.Module):
    """Cosine attention with a bias that a small network gives to each distance."""

    distances: torch.Tensor
    pairs: torch.Tensor

    def __init__(self, block: _Block) -> None:
        super().__init__()
        self.heads = block.heads
        self.logit_scale = nn.Parameter(torch.zeros(block.heads, 1, 1))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, _HIDDEN_OF_BIAS), nn.ReLU(), nn.Linear(_HIDDEN_OF_BIAS, block.heads, bias=False)
        )
        self.qkv = nn.Linear(block.width, 3 * block.width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(block.width))
        self.v_bias = nn.Parameter(torch.zeros(block.width))
        self.proj = nn.Linear(block.width, block.width)
        self.register_buffer("distances", _log_distances(block.window, block.distance), persistent=False)
        self.register_buffer("pairs", _pairs(block.window), persistent=False)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[n * windows, positions, width] to the same."""
        count, length, width = tokens.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        q, k, v = F.linear(tokens, self.qkv.weight, bias).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * self.logit_scale.clamp(max=math.log(100)).exp()
        near = self.cpb_mlp(self.distances)[self.pairs].permute(2, 0, 1)
        scores = scores + 16 * torch.sigmoid(near)
        if mask is not None:
            scores = (scores.view(-1, len(mask), self.heads, length, length) + mask[None, :, None]).view(scores.shape)
        return self.proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(count, length, width))


def _log_distances(window: int, first_window: int) -> torch.Tensor:
    """[(2 * window - 1) ** 2, 2]: all distances down and right within a window, on a logarithmic scale."""
    steps = torch.arange(1 - window, window, dtype=torch.float32) * 8 / max((first_window or window) - 1, 1)
    scaled = steps.sign() * torch.log2(steps.abs() + 1) / math.log2(8)
    return torch.cartesian_prod(scaled, scaled)


def _pairs(window: int) -> torch.Tensor:
    """[window ** 2, window ** 2]: which of the distances lies between two positions."""
    at = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    down, right = (at[:, None] - at[None] + window - 1).unbind(-1)
    return down * (2 * window - 1) + right
