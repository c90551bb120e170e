"""The art styles: what makes a sketch, a neon picture, a painting, a comic or a watercolor of a painted canvas."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ti_core.portraits.canvas import Array, Canvas, noise

LINE_STYLES = ("sketch", "neon", "comic", "watercolor")
"""The styles that need the canvas's outlines."""


def in_style(c: Canvas, style: str) -> Image.Image:
    """The canvas as an RGB picture in that style; photo is the canvas as it is."""
    draw = {"sketch": _sketch, "neon": _neon, "painting": _painting, "comic": _comic, "watercolor": _watercolor}.get(
        style
    )
    planes = c.colour if draw is None else draw(c)
    return Image.fromarray(np.clip(planes, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _grey(planes: Array) -> Array:
    return planes[0] * 0.3 + planes[1] * 0.59 + planes[2] * 0.11


def _blurred(values: Array, radius: float) -> Array:
    return np.asarray(
        Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius)), np.float32
    )


def _ink(c: Canvas) -> Array:
    assert c.ink is not None
    return c.ink


def _sketch(c: Canvas) -> Array:
    """Dark pencil lines on paper, with soft tone and hatching where the picture is dark."""
    size, grey = c.size_px, _grey(c.colour) * (1 / 255)
    places = np.linspace(0, 1, size, dtype=np.float32)
    hatch = 0.5 + 0.5 * np.sin((places[None, :] + places[:, None]) * 150)
    paper = 246 + 3 * noise(size, 40, 40, 3)
    tone = 1 - (0.16 + 0.3 * hatch) * np.clip(0.62 - grey, 0, 0.5) * 1.6
    page = paper * tone * (1 - 0.88 * _ink(c))
    return np.stack([page, page, page * 0.985])


def _neon(c: Canvas) -> Array:
    """Glowing lines in the colours of what they surround, on a dark wall."""
    assert c.glow is not None
    ink, size = _ink(c), c.size_px
    peak = np.maximum(c.glow.max(0), 60)
    bright = c.glow * (225 / peak) + 30
    wide, near = _blurred(ink * 255, size / 26) / 255, _blurred(ink * 255, size / 90) / 255
    halo = np.stack([_blurred(plane * ink, size / 26) for plane in bright])
    night = np.array([12, 6, 30], np.float32)[:, None, None] + c.colour * 0.06
    return night + halo * 0.85 + bright * np.maximum(ink, 0.5 * near) * 0.95 + 50 * ink * wide


def _painting(c: Canvas) -> Array:
    """Blots of saturated colour with the ridges of brush strokes."""
    size = c.size_px
    picture = Image.fromarray(np.clip(c.colour, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    smeared = np.asarray(picture.filter(ImageFilter.MedianFilter(max(3, size // 64 * 2 + 1))), np.float32).transpose(
        2, 0, 1
    )
    smeared = smeared + 0.4 * (c.colour - smeared)
    stroke = noise(size, 48, 18, 8)
    ridge = (stroke - np.roll(stroke, max(1, size // 64), 1)) * noise(size, 5, 5, 4)
    grey = _grey(smeared)
    return (grey + (smeared - grey) * 1.3 - 110) * 1.12 + 116 + 11 * ridge + 5 * stroke


def _comic(c: Canvas) -> Array:
    """Flat saturated colours in few steps, dots in the shade, bold black lines."""
    size, planes = c.size_px, c.colour
    grey = _grey(planes)
    level = np.floor(grey * (1 / 42)) * 42 + 26
    flat = planes * (level / np.maximum(grey, 8)).clip(0.4, 1.8)
    mean = _grey(flat)
    flat = mean + (flat - mean) * 1.35
    places = np.arange(size, dtype=np.float32) * (np.pi * 32 / size)
    dots = (np.sin(places)[None, :] * np.sin(places)[:, None]) > 0.35
    flat = flat * np.where(dots & (grey < 150), 0.84, 1.0)
    bold = np.clip(_ink(c) * 1.1, 0, 1)
    return flat * (1 - bold) + 10 * bold


def _watercolor(c: Canvas) -> Array:
    """Pale washes that bleed, on white paper that stays bare at the border, with thin brown lines."""
    size = c.size_px
    places = np.linspace(-1, 1, size, dtype=np.float32)
    border = np.maximum(np.abs(places)[None, :], np.abs(places)[:, None]) + 0.1 * noise(size, 9, 9, 2)
    wash = np.clip((0.98 - border) * 5, 0, 1)
    soft = np.stack([_blurred(plane, size / 160) for plane in c.colour])
    pale = 255 - (255 - soft) * (0.72 + 0.09 * noise(size, 12, 12, 6))
    lines = _ink(c) * 0.5
    brown = np.array([96, 70, 62], np.float32)[:, None, None]
    page = 252 + (pale - 252) * wash + 2 * noise(size, 44, 44, 9)
    return page + (brown - page) * lines
