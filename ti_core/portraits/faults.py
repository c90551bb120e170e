"""Faults drawn into portraits: what a bad picture of the Portraits world looks like. bench/quality.py trains negative
words from them and a classifier that sees them.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

FAULTS = ("blur", "noise", "wrong colours", "doubled features", "cut head")
"""In the order of the classifier's outputs."""


def with_fault(picture: Image.Image, fault: str, rng: random.Random) -> Image.Image:
    """The picture, RGB and square, with one of FAULTS drawn into it, in a strength that `rng` draws."""
    return _DRAW[fault](picture, rng)


def _blur(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(picture.width * rng.uniform(0.022, 0.045)))


def _noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Grain of single pixels or of small blotches."""
    size, cell = picture.width, rng.choice((1, 2, 4))
    draw = np.random.default_rng(rng.getrandbits(32))
    grain = draw.normal(0, rng.uniform(28, 60), (-(-size // cell), -(-size // cell), 3)).repeat(cell, 0).repeat(cell, 1)
    return Image.fromarray((np.asarray(picture) + grain[:size, :size]).clip(0, 255).astype(np.uint8))


def _wrong_colours(picture: Image.Image, rng: random.Random) -> Image.Image:
    """All hues turned, and too strong, as with too much guidance."""
    hue, saturation, value = (np.asarray(band).astype(int) for band in picture.convert("HSV").split())
    turned = (hue + rng.randint(60, 190)) % 256
    strong = (saturation * rng.uniform(1.2, 1.8) + 30).clip(0, 255)
    return Image.fromarray(np.stack([turned, strong, value], -1).astype(np.uint8), "HSV").convert("RGB")


def _doubled_features(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The face's middle once more, beside itself, half transparent."""
    size = picture.width
    dx, dy = rng.choice((-1, 1)) * rng.uniform(0.08, 0.16), rng.choice((-1, 1)) * rng.uniform(0.05, 0.14)
    moved = Image.new("RGB", picture.size)
    moved.paste(picture, (0, 0))
    moved.paste(picture, (round(dx * size), round(dy * size)))
    return Image.blend(picture, moved, rng.uniform(0.4, 0.6))


def _cut_head(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The head's upper third to half lies above the picture; what is missing below is the last row once more."""
    size, cut = picture.width, round(picture.width * rng.uniform(0.3, 0.48))
    rows = np.minimum(np.arange(size) + cut, size - 1)
    return Image.fromarray(np.asarray(picture)[rows])


_DRAW: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = dict(
    zip(FAULTS, (_blur, _noise, _wrong_colours, _doubled_features, _cut_head), strict=True)
)
