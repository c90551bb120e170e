"""The families of Stable Diffusion, a table: which text encoders, which sizes, where the configs that a single file lacks are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ti_core.workspace import ASSETS

CONFIGS = ASSETS / "families"
"""Configs without weights, in diffusers' layout, one folder a family; tokenizers share the vocabulary in `clip_vocabulary`."""


@dataclass(frozen=True)
class Family:
    """`encoders` names the text encoders in the order of their places in the conditioning, by the keys of embedding files."""

    name: str
    title: str
    encoders: tuple[str, ...]
    size_px: int

    @property
    def configs(self) -> Path:
        return CONFIGS / self.name


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("sd1", "Stable Diffusion 1", ("clip_l",), 512),
        Family("sd2", "Stable Diffusion 2", ("clip_h",), 768),
        Family("sdxl", "Stable Diffusion XL", ("clip_l", "clip_g"), 1024),
    )
}
