"""Hair: behind and over the head, brows and beards."""

from __future__ import annotations

import math

import numpy as np

from ti_core.portraits.canvas import Array, Canvas, Colour, Patch, smooth
from ti_core.portraits.head import Head
from ti_core.portraits.palette import WHITE, mix, scaled


def _strands(x: Array, y: Array, top: float, seed: float) -> Array:
    """Lines of hair that fan out from the crown, about -1..1."""
    angle = np.arctan2(x, np.abs(y - top) + 0.1)
    return 0.6 * np.sin(angle * 46 + 2 * np.sin(angle * 11 + seed)) + 0.4 * np.sin(angle * 83 + seed)


def _hair_tone(p: Patch, head: Head, shine: float = 1.0) -> Array:
    """Strands, a bright band around the crown, darker towards the sides."""
    top = -head.h - 0.06
    strands = _strands(p.x, p.y, top, head.person.eye_gap * 40)
    radius = np.sqrt(np.square(p.x - head.lean * 0.05) + np.square(p.y - top - 0.17))
    band = np.exp(-np.square((radius - 0.145) * 24)) * (p.y < top + 0.17)
    side = p.x * (1 / 0.3)
    tone = 0.98 + 0.13 * strands - 0.16 * side * side + 0.16 * head.lean * side
    return tone + shine * band * (0.3 + 0.22 * strands)


def draw_back_hair(c: Canvas, head: Head) -> None:
    w, h, style = head.w, head.h, head.person.hairstyle
    colour = scaled(head.hair, 0.78)
    if style == "long":
        p = c.at(-w - 0.12, -h - 0.06, w + 0.12, 0.5)
        wave = 0.012 * np.sin(p.y * 22 + 1)
        fall = Patch(p.x + wave, p.y, p.colour, p.px, None, None).box(-w - 0.07, -0.1, w + 0.07, 0.44, 0.1)
        p.paint(np.minimum(fall, p.ellipse(0, -0.04, w + 0.068, h + 0.005)), colour, _hair_tone(p, head, 0.0))
    elif style == "bob":
        p = c.at(-w - 0.12, -h - 0.06, w + 0.12, 0.24)
        flare = np.maximum(p.ellipse(0, 0, w + 0.1, 0.3), p.y - 0.16 - 0.3 * np.square(p.x))
        shape = np.minimum(np.maximum(flare, -0.02 - p.y), p.ellipse(0, -0.03, w + 0.072, h + 0.012))
        p.paint(shape, colour, _hair_tone(p, head, 0.0))
    elif style == "ponytail":
        p = c.at(0, -h - 0.08, w + 0.3, 0.42)
        tail = np.minimum.reduce(
            [
                p.capsule(w * 0.6, -h * 0.86, w + 0.06, -h * 0.66, 0.05, 0.062),
                p.capsule(w + 0.06, -h * 0.66, w + 0.105, -0.02, 0.062, 0.066),
                p.capsule(w + 0.105, -0.02, w + 0.075, 0.27, 0.066, 0.012),
            ]
        )
        p.paint(tail, colour, 1 + 0.14 * np.sin(p.x * 160 + 6 * p.y) + 0.1 * np.sin(p.x * 290))
    elif style == "bun" and head.scene.hat == "none":
        p = c.at(-0.13, -h - 0.2, 0.13, -h + 0.05)
        swirl = np.sin(
            14 * np.sqrt(np.square(p.x * 1.2 + 0.02) + np.square(p.y + h + 0.1)) * 10
            + 2 * np.arctan2(p.x, p.y + h + 0.08)
        )
        p.paint(
            p.ellipse(0, -h - 0.085, 0.1, 0.09),
            head.hair,
            1.08 + 0.12 * swirl - 1.6 * np.square(p.x) * 10 - 2 * (p.y + h + 0.085),
        )
    elif style == "curly":
        _draw_curls(c, head, [(math.pi * (0.86 + 1.28 * i / 12), 0.05, 0.078) for i in range(13)], colour)


def _draw_curls(c: Canvas, head: Head, curls: list[tuple[float, float, float]], colour: Colour) -> None:
    """Round curls around the head: (angle, how far outside, radius)."""
    for angle, out, radius in curls:
        x, y = math.cos(angle) * (head.w + out), math.sin(angle) * (head.h + out * 0.7)
        p = c.at(x - radius, y - radius, x + radius, y + radius)
        u, v = (p.x - x) * (1 / radius), (p.y - y) * (1 / radius)
        away = u * u + v * v
        ring = 0.13 * np.cos(np.sqrt(away) * 9 + angle * 3)
        p.paint(
            p.ellipse(x, y, radius, radius),
            colour,
            1.14 - 0.32 * away - 0.16 * v + 0.14 * head.lean * u + ring,
            line=0.7,
        )


def draw_front_hair(c: Canvas, head: Head) -> None:
    person, w, h = head.person, head.w, head.h
    style = person.hairstyle
    if style == "bald":
        p = c.at(-w, -h, w, -h * 0.4)
        spot = np.exp(-np.square((p.x + w * 0.25 - 0.3 * w * head.lean) * 18) - np.square((p.y + h * 0.74) * 26))
        p.blend(spot * 0.5 * p.cover(head.shape(p, -0.02), 0.03), WHITE)
        return
    if style == "mohawk":
        if head.scene.hat != "none":
            return
        p = c.at(-w, -h - 0.2, w, -h * 0.2)
        p.shade(p.cover(np.maximum(head.shape(p), p.y + h * 0.42 - 0.5 * h * np.square(p.x / w)), 0.02), 0.86)
        p.paint(
            p.box(-0.056, -h - 0.15, 0.056, -h * 0.5, 0.035) + 0.012 * np.sin(p.y * 90 + p.x * 40),
            head.hair,
            _hair_tone(p, head) + 0.1,
        )
        return
    if style == "curly":
        _draw_curls(c, head, [(math.pi * (1.06 + 0.88 * i / 7), 0.0, 0.062) for i in range(8)], head.hair)
        _draw_curls(c, head, [(math.pi * (1.2 + 0.6 * i / 4), -0.05, 0.042) for i in range(5)], scaled(head.hair, 0.94))
        return
    p = c.at(-w - 0.06, -h - 0.06, w + 0.06, h * 0.7)
    u2, part = np.square(p.x * (1 / w)), 0.25 * w * (1 if person.eye_gap > 1 else -1)
    if style == "long":  # parted in the middle, like curtains
        across = np.abs(p.x) * (1 / w)
        edge = p.y - h * (-0.86 + 0.34 * np.minimum(across * 1.8, 1) + 1.5 * smooth(across, 0.72, 1.05))
    elif style == "bob":  # a straight fringe
        edge = p.y - (-h * 0.56 + 0.008 * np.sin(p.x * 90) + 0.9 * h * smooth(np.abs(p.x), w * 0.82, w * 1.02))
    elif style == "short":
        edge = p.y - (-h * 0.56 + 0.55 * h * u2 * u2 + 0.25 * h * np.abs(p.x - part)) + 0.008 * np.sin(p.x * 120)
    else:  # pulled back
        edge = p.y - (-h * 0.62 + 0.5 * h * u2 * u2)
    hair = np.maximum(head.shape(p, 0.034 if style in ("long", "bob") else 0.026), edge)
    skin = p.cover(head.shape(p))
    p.shade(p.cover(hair - 0.02, 0.045) * skin, 0.74)
    tone = _hair_tone(p, head)
    p.paint(hair, head.hair, tone)
    if p.ink is not None:
        p.stroke(np.maximum(hair, np.where(tone > 1.1, -0.01, 0.01)), head.hair, 0.55)


def draw_brows(c: Canvas, head: Head) -> None:
    person, expression = head.person, head.scene.expression
    colour = (150, 148, 152) if person.hair == "white" else mix(scaled(head.hair, 0.6), (40, 28, 24), 0.2)
    thick = 0.026 if person.brows == "thick" else 0.0065
    lift = 0.034 if expression == "surprised" else 0.008 if expression == "sad" else 0.0
    slant = {"sad": 0.5, "serious": -0.16}.get(expression, 0.05)
    for side in (-1, 1):
        x, y = head.eye(side) + side * 0.003, head.eye_y - 0.075 - lift - thick * 0.45
        p = c.at(x - 0.085, y - 0.06, x + 0.085, y + 0.06)
        brow = p.bow(x, y, 0.068, 0.02 if person.gender == "woman" else 0.011, thick, slant=side * slant)
        p.paint(brow, colour, 1 + 0.18 * np.sin(p.x * 300 * side + p.y * 120), opacity=0.96, line=0.5)
        p.stroke(brow, colour)


def draw_beard(c: Canvas, head: Head) -> None:
    person, x, y = head.person, head.turn, head.mouth_y
    colour = scaled(head.hair, 0.86)
    p = c.at(-head.w - 0.05, -0.02, head.w + 0.05, head.h + 0.07)
    tone = (
        0.98
        + 0.14 * np.sin(p.x * 150 + 20 * p.y) * np.sin(p.y * 70 + p.x * 60)
        + 0.16 * head.lean * p.x / head.w
        - 1.2 * np.square(p.x)
    )
    shapes = []
    if person.beard == "full beard":
        edge = 0.035 - p.y + 0.55 * head.h * smooth(np.abs(p.x - x * 0.5), head.w * 0.95, head.w * 0.2)
        shapes.append(np.maximum(head.shape(p, 0.025), edge))
    elif person.beard == "goatee":
        shapes.append(p.ellipse(x, y + 0.076, 0.056, 0.05))
        shapes += [p.capsule(x + s * 0.092, y - 0.005, x + s * 0.05, y + 0.06, 0.008, 0.016) for s in (-1, 1)]
    if person.beard in ("mustache", "full beard"):
        shapes += [p.capsule(x + s * 0.012, y - 0.04, x + s * 0.088, y - 0.018, 0.0215, 0.01) for s in (-1, 1)]
    beard = np.minimum.reduce(shapes)
    p.paint(beard, colour, tone, soft=0.006)
    p.stroke(np.maximum(beard, np.abs((p.x + 0.4 * p.y) % 0.034 - 0.017) - 0.005), colour, 0.8)
