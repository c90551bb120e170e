"""A canvas on which shapes are painted by their signed distance: smooth edges without supersampling, soft shade,
and outlines.

Lengths are in "heads": parts of the picture's size at scale 1, from the middle of the face, x to the right, y down.
A shape is a float32 array [height, width] of distances in heads, negative inside (Quilez, "2D distance functions").
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image

Colour = tuple[float, float, float]
"""Red, green and blue in 0..255."""
Array = np.ndarray

ZOOM = 1.2
TURN_CENTRE_Y = 0.3
"""Where a tilted figure turns about: its neck."""
OUTLINE = 0.0075
"""Half the width of an outline, in heads."""
_SHADE_OF_CHANNEL = (0.92, 1.0, 1.04)
"""Shade is a little warm: red changes less than blue."""


class Patch:
    """A rectangle of a canvas: views of its pixels and their places. Painting on a patch paints the canvas."""

    def __init__(self, x: Array, y: Array, colour: Array, px: float, ink: Array | None, glow: Array | None) -> None:
        self.x, self.y, self.colour, self.px, self.ink, self.glow = x, y, colour, px, ink, glow

    # Shapes: arrays of distances

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> Array:
        u, v = (self.x - x) * (1 / rx), (self.y - y) * (1 / ry)
        return _scaled_radius(u * u, v * v, rx, ry)

    def box(self, x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Array:
        across = np.abs(self.x - (x0 + x1) / 2) - ((x1 - x0) / 2 - radius)
        down = np.abs(self.y - (y0 + y1) / 2) - ((y1 - y0) / 2 - radius)
        outside = np.sqrt(np.square(np.maximum(across, 0)) + np.square(np.maximum(down, 0)))
        return outside + np.minimum(np.maximum(across, down), 0) - radius

    def capsule(self, x0: float, y0: float, x1: float, y1: float, r0: float, r1: float) -> Array:
        """A stroke whose radius goes from r0 to r1."""
        dx, dy = x1 - x0, y1 - y0
        x, y = self.x - x0, self.y - y0
        along = np.clip((x * dx + y * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
        return np.sqrt(np.square(x - along * dx) + np.square(y - along * dy)) - (r0 + along * (r1 - r0))

    def bow(self, x: float, y: float, half: float, rise: float, thick: float, slant: float = 0.0) -> Array:
        """A curved stroke of half-length `half`, tapered to its ends; the middle lies `rise` above them (below, if
        negative).
        """
        u = (self.x - x) * (1 / half)
        taper = 1 - u * u
        middle = y + slant * u * half - rise * taper
        slope = math.hypot(1.0, rise / half)
        return (np.abs(self.y - middle) - thick * np.sqrt(np.maximum(taper, 0))) / slope + np.maximum(
            np.abs(u) - 1, 0
        ) * half

    # Painting

    def cover(self, shape: Array, soft: float = 0.0) -> Array:
        """How much of each pixel the shape covers, 0..1; `soft` widens its edge (in heads)."""
        return np.clip(0.5 - shape * (1 / (self.px + soft)), 0, 1)

    def paint(
        self,
        shape: Array,
        colour: Colour,
        tone: Array | None = None,
        opacity: float = 1.0,
        soft: float = 0.0,
        within: Array | None = None,
        line: float = 1.0,
    ) -> None:
        """Fill a shape with a colour, times the shade `tone` (1: as it is), `within` a cover. `line` is its
        outline's strength.
        """
        cover = self.cover(shape, soft)
        if opacity != 1.0:
            cover *= opacity
        if within is not None:
            cover *= within
        self.blend(cover, colour, tone)
        if self.ink is not None:
            self._outline(shape, cover, colour, line if within is None else 0.0)

    def blend(self, cover: Array, colour: Colour, tone: Array | None = None) -> None:
        for channel, value, weight in zip(self.colour, colour, _SHADE_OF_CHANNEL, strict=True):
            if tone is None:
                channel += (value - channel) * cover
            else:
                channel += ((tone - 1) * (value * weight) + value - channel) * cover

    def shade(self, cover: Array, factor: float) -> None:
        """Darken (below 1) or lighten what is there."""
        for channel, weight in zip(self.colour, _SHADE_OF_CHANNEL, strict=True):
            channel *= 1 + cover * ((factor - 1) * weight)

    def stroke(self, shape: Array, colour: Colour, strength: float = 1.0) -> None:
        """Ink without a fill, for the styles that are drawn in lines."""
        if self.ink is not None:
            self._lay_ink(self.cover(shape) * strength, colour)

    def _outline(self, shape: Array, cover: Array, colour: Colour, line: float) -> None:
        assert self.ink is not None
        self.ink *= 1 - cover
        if line:
            self._lay_ink(np.clip(0.5 + (OUTLINE - np.abs(shape)) * (1 / self.px), 0, 1) * line, colour)

    def _lay_ink(self, ink: Array, colour: Colour) -> None:
        assert self.ink is not None and self.glow is not None
        np.maximum(self.ink, ink, out=self.ink)
        for channel, value in zip(self.glow, colour, strict=True):
            channel += (value - channel) * ink


class Canvas(Patch):
    """The whole picture, `size_px` wide and high, seen with a shift, a scale and a tilt. `lines` keeps the outlines
    as well.
    """

    def __init__(self, size_px: int, dx: float, dy: float, scale: float, tilt_deg: float, lines: bool) -> None:
        unit = size_px * scale * ZOOM
        places = np.arange(size_px, dtype=np.float32) + 0.5
        self.size_px = size_px
        self._cos, self._sin = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
        self._left, self._top, self._unit = size_px * (0.5 + dx), size_px * (0.53 + dy), unit
        across, down = (places - self._left) / unit, (places - self._top) / unit - TURN_CENTRE_Y
        x = (self._cos * across)[None, :] + (self._sin * down)[:, None]
        y = (-self._sin * across)[None, :] + (self._cos * down + TURN_CENTRE_Y)[:, None]
        colour = np.zeros((3, size_px, size_px), np.float32)
        ink, glow = (np.zeros((size_px, size_px), np.float32), np.zeros_like(colour)) if lines else (None, None)
        super().__init__(x, y, colour, 1 / unit, ink, glow)

    def at(self, x0: float, y0: float, x1: float, y1: float) -> Patch:
        """The patch that holds a box of the figure, with a little margin."""
        corners = [(x, y - TURN_CENTRE_Y) for x in (x0, x1) for y in (y0, y1)]
        across = [self._left + self._unit * (self._cos * x - self._sin * y) for x, y in corners]
        down = [self._top + self._unit * (self._sin * x + self._cos * y + TURN_CENTRE_Y) for x, y in corners]
        margin = 2 + round(OUTLINE * self._unit)
        rows = slice(*(max(0, min(self.size_px, round(v))) for v in (min(down) - margin, max(down) + margin)))
        columns = slice(*(max(0, min(self.size_px, round(v))) for v in (min(across) - margin, max(across) + margin)))
        ink, glow = (
            (None, None)
            if self.ink is None or self.glow is None
            else (self.ink[rows, columns], self.glow[:, rows, columns])
        )
        return Patch(self.x[rows, columns], self.y[rows, columns], self.colour[:, rows, columns], self.px, ink, glow)


def _scaled_radius(u2: Array, v2: Array, rx: float, ry: float) -> Array:
    """The distance to an ellipse to first order, from the squares of its scaled coordinates."""
    radius = np.sqrt(u2 + v2)
    slope = np.sqrt(u2 * (1 / (rx * rx)) + v2 * (1 / (ry * ry)))
    return radius * (radius - 1) / np.maximum(slope, 1e-6)


def smooth(values: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, an S between; falls where low > high."""
    t = np.clip((values - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


@cache
def _noise_bank() -> Array:
    return np.random.default_rng(12).standard_normal((16, 48, 48)).astype(np.float32)


def noise(size_px: int, cells_x: int, cells_y: int, seed: int) -> Array:
    """Smooth noise [size_px, size_px] of mean 0 and about unit size, `cells` bumps along each side (48 at most)."""
    bank = _noise_bank()[seed % 16][:cells_y, :cells_x]
    return np.asarray(Image.fromarray(bank).resize((size_px, size_px), Image.Resampling.BICUBIC))
