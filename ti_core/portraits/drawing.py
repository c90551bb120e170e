"""Paints one person in one scene with Pillow, at three times the size, then reduces it. About 5 ms at 64 px.

Lengths are in "heads": parts of the picture's size at scale 1, from the middle of the face, x to the right, y down.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ti_core.portraits.world import Person, Scene

Colour = tuple[int, int, int]

SKIN: dict[str, Colour] = {
    "pale": (255, 228, 212),
    "tan": (226, 168, 118),
    "olive": (184, 150, 92),
    "brown": (140, 88, 56),
    "dark": (78, 48, 36),
}
HAIR: dict[str, Colour] = {
    "black": (28, 24, 28),
    "brown": (104, 64, 36),
    "blonde": (240, 208, 110),
    "red": (200, 64, 24),
    "white": (240, 240, 246),
    "blue": (48, 96, 220),
    "pink": (244, 116, 184),
    "green": (56, 164, 80),
}
EYES: dict[str, Colour] = {
    "brown": (96, 56, 28),
    "blue": (48, 116, 232),
    "green": (48, 168, 84),
    "amber": (236, 156, 28),
}
SHIRT: dict[str, Colour] = {
    "red": (208, 36, 40),
    "blue": (40, 72, 208),
    "green": (36, 156, 68),
    "yellow": (244, 216, 44),
    "purple": (132, 52, 176),
    "orange": (244, 132, 24),
    "black": (28, 28, 34),
    "white": (244, 244, 248),
}
BACKGROUND: dict[str, Colour] = {
    "gray": (150, 150, 154),
    "sky blue": (140, 196, 244),
    "cream": (248, 236, 204),
    "teal": (32, 140, 140),
    "lavender": (200, 176, 240),
    "dark blue": (24, 34, 88),
    "brick": (164, 76, 56),
    "pink": (248, 168, 196),
}
FACE_HALF_SIZE = {"round": (0.2, 0.2), "oval": (0.175, 0.23), "square": (0.188, 0.205), "long": (0.15, 0.25)}
WHITE, INK, LIP = (250, 250, 250), (16, 16, 22), (176, 52, 60)
SUPERSAMPLING = 3


def _shade(colour: Colour, factor: float) -> Colour:
    r, g, b = (max(0, min(255, round(c * factor))) for c in colour)
    return (r, g, b)


class Canvas:
    """A transparent layer on which shapes are drawn in heads."""

    def __init__(self, size_px: int, scene: Scene) -> None:
        self.image = Image.new("RGBA", (size_px, size_px), (0, 0, 0, 0))
        self.pen = ImageDraw.Draw(self.image)
        self.unit = size_px * scene.scale
        self.centre = (size_px * (0.5 + scene.dx), size_px * (0.47 + scene.dy))

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.centre[0] + x * self.unit, self.centre[1] + y * self.unit

    def frame(self, x: float, y: float, rx: float, ry: float) -> list[float]:
        return [*self.point(x - rx, y - ry), *self.point(x + rx, y + ry)]

    def width(self, heads: float) -> int:
        return max(1, round(heads * self.unit))

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        line: float = 0.0,
    ) -> None:
        self.pen.ellipse(self.frame(x, y, rx, ry), fill=fill, outline=outline, width=self.width(line) if outline else 0)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        radius: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        line: float = 0.0,
    ) -> None:
        self.pen.rounded_rectangle(
            [*self.point(x0, y0), *self.point(x1, y1)],
            radius * self.unit,
            fill=fill,
            outline=outline,
            width=self.width(line) if outline else 0,
        )

    def polygon(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self.pen.polygon([self.point(*p) for p in points], fill=fill)

    def line(self, points: list[tuple[float, float]], line: float, fill: Colour) -> None:
        self.pen.line([self.point(*p) for p in points], fill=fill, width=self.width(line))

    def chord(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour) -> None:
        """The part of an ellipse between two angles in degrees, clockwise from the right."""
        self.pen.chord(self.frame(x, y, rx, ry), start, end, fill=fill)

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, line: float, fill: Colour
    ) -> None:
        self.pen.arc(self.frame(x, y, rx, ry), start, end, fill=fill, width=self.width(line))


def _draw_back_hair(c: Canvas, person: Person, w: float, h: float) -> None:
    colour = _shade(HAIR[person.hair], 0.8)
    style = person.hairstyle
    if style == "long":
        c.box(-w - 0.065, -h - 0.02, w + 0.065, 0.42, 0.14, fill=colour)
    elif style == "bob":
        c.box(-w - 0.07, -h - 0.02, w + 0.07, 0.15, 0.12, fill=colour)
    elif style == "curly":
        for i in range(11):
            angle = math.pi * (0.9 + 1.2 * i / 10)
            c.ellipse(math.cos(angle) * (w + 0.045), math.sin(angle) * (h + 0.03), 0.08, 0.08, fill=colour)
    elif style == "ponytail":
        c.polygon([(0.08, -h), (w + 0.17, -h * 0.8), (w + 0.2, 0.22), (w + 0.1, 0.3), (w + 0.06, -0.05)], fill=colour)
    elif style == "bun":
        c.ellipse(0, -h - 0.08, 0.09, 0.085, fill=colour)


def _draw_body(c: Canvas, person: Person, scene: Scene) -> None:
    neck = _shade(SKIN[person.skin], 0.82)
    c.box(-0.4, 0.28, 0.4, 1.0, 0.13, fill=SHIRT[scene.shirt])
    c.box(-0.07, 0.12, 0.07, 0.33, 0.03, fill=neck)
    c.polygon([(-0.09, 0.28), (0.09, 0.28), (0, 0.37)], fill=neck)


def _draw_head(c: Canvas, person: Person, w: float, h: float) -> None:
    skin = SKIN[person.skin]
    for side in (-1, 1):
        c.ellipse(side * w, 0.01, 0.035, 0.05, fill=_shade(skin, 0.82))
    if person.face == "square":
        c.box(-w, -h, w, h, 0.075, fill=skin)
    else:
        c.ellipse(0, 0, w, h, fill=skin)


def _draw_front_hair(c: Canvas, person: Person, w: float, h: float) -> None:
    colour, style = HAIR[person.hair], person.hairstyle
    if style == "mohawk":
        c.box(-0.05, -h - 0.13, 0.05, -h * 0.45, 0.035, fill=colour)
    elif style == "curly":
        for i in range(7):
            c.ellipse(-w + i * w / 3, -h * 0.78 - 0.02 * math.sin(i * 2.0), 0.062, 0.062, fill=colour)
    elif style != "bald":
        fringe = -h * (0.3 if style in ("bob", "long") else 0.42)
        c.chord(0, -0.02, w + 0.025, h + 0.035, 180, 360, fill=colour)
        c.ellipse(0, (fringe + h) / 2, w * 0.88, (h - fringe) / 2, fill=SKIN[person.skin])
        if style in ("bob", "ponytail", "bun"):
            c.chord(0, fringe - 0.02, w * 0.86, 0.07, 0, 180, fill=colour)


def _draw_eyes(c: Canvas, person: Person, w: float, turn: float) -> None:
    gap, y = min(0.09, w * 0.52) * person.eye_gap, -0.02
    brow = _shade(HAIR[person.hair], 0.7) if person.hair != "white" else (170, 170, 176)
    for side in (-1, 1):
        x = side * gap + turn
        c.ellipse(x, y, 0.05, 0.038, fill=WHITE)
        c.ellipse(x + turn * 0.4, y, 0.033, 0.035, fill=EYES[person.eyes])
        c.ellipse(x + turn * 0.4, y, 0.014, 0.015, fill=INK)
        c.line([(x - 0.05, y - 0.062), (x + 0.05, y - 0.066)], 0.03 if person.brows == "thick" else 0.012, fill=brow)
    if person.glasses == "none":
        return
    for side in (-1, 1):
        x = side * gap + turn
        if person.glasses == "round glasses":
            c.ellipse(x, y, 0.068, 0.068, outline=INK, line=0.016)
        elif person.glasses == "square glasses":
            c.box(x - 0.07, y - 0.055, x + 0.07, y + 0.055, 0.01, outline=INK, line=0.018)
        else:
            c.box(x - 0.078, y - 0.05, x + 0.078, y + 0.055, 0.035, fill=INK)
    c.line([(turn - gap + 0.06, y), (turn + gap - 0.06, y)], 0.016, fill=INK)


def _draw_marks(c: Canvas, person: Person, w: float, turn: float) -> None:
    skin = SKIN[person.skin]
    wide, long = (0.042, 0.085) if person.nose == "big" else (0.02, 0.06)
    c.polygon([(turn * 1.3, 0.005), (turn * 1.3 - wide, long), (turn * 1.3 + wide, long)], fill=_shade(skin, 0.78))
    if person.freckles == "freckles":
        for side in (-1, 1):
            for x, y in ((0.42, 0.06), (0.58, 0.05), (0.5, 0.09), (0.66, 0.085)):
                c.ellipse(side * x * w + turn, y, 0.01, 0.01, fill=_shade(skin, 0.62))
    if person.mole == "mole":
        c.ellipse(w * 0.55 + turn, 0.125, 0.018, 0.018, fill=(52, 28, 24))


def _draw_mouth(c: Canvas, person: Person, scene: Scene, w: float, h: float, turn: float) -> None:
    hair, y = _shade(HAIR[person.hair], 0.8), h * 0.62
    if person.beard == "full beard":
        c.chord(0, 0, w, h + 0.02, 18, 162, fill=hair)
        c.ellipse(turn, y, 0.07, 0.035, fill=SKIN[person.skin])
    elif person.beard == "goatee":
        c.ellipse(turn, y + 0.075, 0.05, 0.05, fill=hair)
    if person.beard in ("mustache", "full beard"):
        c.box(turn - 0.085, y - 0.052, turn + 0.085, y - 0.022, 0.014, fill=hair)
    if scene.expression == "smiling":
        c.chord(turn, y - 0.015, 0.075, 0.05, 5, 175, fill=WHITE)
        c.arc(turn, y - 0.015, 0.075, 0.05, 5, 175, 0.014, fill=LIP)
    elif scene.expression == "serious":
        c.line([(turn - 0.05, y), (turn + 0.05, y)], 0.018, fill=LIP)
    elif scene.expression == "surprised":
        c.ellipse(turn, y + 0.005, 0.036, 0.042, fill=(84, 16, 24), outline=LIP, line=0.012)
    else:
        c.arc(turn, y + 0.035, 0.06, 0.045, 200, 340, 0.018, fill=LIP)


def _draw_hat(c: Canvas, scene: Scene, w: float, h: float) -> None:
    if scene.hat == "cap":
        c.chord(0, -h * 0.42, w + 0.035, h * 0.78, 180, 360, fill=(36, 68, 176))
        c.box(-0.04, -h * 0.52, w + 0.15, -h * 0.36, 0.025, fill=(24, 44, 124))
    elif scene.hat == "beanie":
        c.chord(0, -h * 0.42, w + 0.035, h * 0.82, 180, 360, fill=(222, 104, 28))
        c.box(-w - 0.04, -h * 0.58, w + 0.04, -h * 0.32, 0.03, fill=(160, 66, 16))
        c.ellipse(0, -h * 1.26, 0.045, 0.045, fill=(160, 66, 16))
    elif scene.hat == "santa hat":
        c.polygon([(-w - 0.01, -h * 0.42), (w + 0.01, -h * 0.42), (w + 0.12, -h - 0.15)], fill=(216, 24, 36))
        c.ellipse(w + 0.12, -h - 0.13, 0.05, 0.05, fill=WHITE)
        c.box(-w - 0.04, -h * 0.6, w + 0.04, -h * 0.32, 0.04, fill=WHITE)
    elif scene.hat == "top hat":
        c.box(-w * 0.8, -h - 0.17, w * 0.8, -h * 0.4, 0.01, fill=INK)
        c.box(-w * 0.8, -h * 0.72, w * 0.8, -h * 0.55, 0.0, fill=(172, 28, 40))
        c.box(-w - 0.08, -h * 0.55, w + 0.08, -h * 0.38, 0.015, fill=INK)


def _in_style(image: Image.Image, style: str) -> Image.Image:
    """The picture redrawn in an art style."""
    if style == "sketch":
        grey = image.convert("L")
        blurred = np.asarray(ImageChops.invert(grey).filter(ImageFilter.GaussianBlur(image.width / 50)), np.float32)
        tone = np.asarray(grey, np.float32)
        dodged = np.clip(tone * 255 / (256 - blurred), 0, 255)
        return Image.fromarray((dodged * 0.85 + tone * 0.15).astype(np.uint8)).convert("RGB")
    if style == "neon":
        colour = np.asarray(image, np.float32)
        edges = np.abs(np.diff(colour, axis=0, append=colour[-1:])) + np.abs(
            np.diff(colour, axis=1, append=colour[:, -1:])
        )
        return Image.fromarray(np.clip(edges * 3 + colour * 0.12 + np.array([10, 0, 30]), 0, 255).astype(np.uint8))
    if style == "painting":
        brushed = image.filter(ImageFilter.ModeFilter(max(3, image.width // 24 * 2 + 1)))
        return Image.fromarray(np.clip((np.asarray(brushed, np.float32) - 118) * 1.12 + 128, 0, 255).astype(np.uint8))
    return image


def render_portrait(person: Person, scene: Scene, size_px: int = 64) -> Image.Image:
    """The portrait as an RGB picture of `size_px` x `size_px`."""
    large = size_px * SUPERSAMPLING
    canvas = Canvas(large, scene)
    w, h = FACE_HALF_SIZE[person.face]
    w *= person.jaw
    turn = {"front": 0.0, "looking left": -0.03, "looking right": 0.03}[scene.pose]
    _draw_back_hair(canvas, person, w, h)
    _draw_body(canvas, person, scene)
    _draw_head(canvas, person, w, h)
    _draw_front_hair(canvas, person, w, h)
    _draw_eyes(canvas, person, w, turn)
    _draw_marks(canvas, person, w, turn)
    _draw_mouth(canvas, person, scene, w, h, turn)
    _draw_hat(canvas, scene, w, h)
    figure = canvas.image.rotate(scene.tilt_deg, Image.Resampling.BILINEAR, center=canvas.point(0, 0.3))

    fade = np.linspace(1.06, 0.88, large, dtype=np.float32)[:, None, None]
    wall = np.broadcast_to(np.asarray(BACKGROUND[scene.background], np.float32) * fade, (large, large, 3))
    picture = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8))
    picture.paste(figure, (0, 0), figure)
    lean = {"even": 0.0, "light from the left": -0.18, "light from the right": 0.18}[scene.light]
    if lean:
        ramp = 1 + lean * np.linspace(-1, 1, large, dtype=np.float32)[None, :, None]
        picture = Image.fromarray(np.clip(np.asarray(picture, np.float32) * ramp, 0, 255).astype(np.uint8))
    half_way = picture.resize((size_px * 2, size_px * 2), Image.Resampling.LANCZOS)
    return _in_style(half_way, scene.style).resize((size_px, size_px), Image.Resampling.LANCZOS)
