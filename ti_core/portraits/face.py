"""The face: skin, wrinkles, nose, eyes, glasses, mouth, freckles and moles."""

from __future__ import annotations

import numpy as np

from ti_core.portraits.canvas import Canvas, smooth
from ti_core.portraits.hair import draw_beard
from ti_core.portraits.head import Head
from ti_core.portraits.palette import EYES, INK, WHITE, mix, scaled


def draw_face(c: Canvas, head: Head) -> None:
    person, w, h, turn = head.person, head.w, head.h, head.turn
    for side in (-1, 1):
        x = side * w * 0.985 - turn * 0.5
        p = c.at(x - 0.05, head.eye_y - 0.03, x + 0.05, head.eye_y + 0.1)
        p.paint(p.ellipse(x, head.eye_y + 0.03, 0.034, 0.052), head.skin, 0.84 + side * 0.12 * head.lean + 0 * p.x)
        p.shade(p.cover(p.ellipse(x, head.eye_y + 0.032, 0.016, 0.03), 0.02), 0.8)
        if person.gender == "woman":
            p = c.at(x - 0.02, head.eye_y + 0.06, x + 0.02, head.eye_y + 0.12)
            p.paint(p.ellipse(x, head.eye_y + 0.09, 0.014, 0.014), (250, 236, 190), 1 - 6 * (p.x - x))
    p = c.at(-w - 0.02, -h - 0.02, w + 0.02, h + 0.02)
    u, v = (p.x - turn * 0.6) * (1 / w), p.y * (1 / h)
    u2 = u * u
    tone = 1.05 - 0.2 * u2 * u2 - 0.1 * u2 - 0.07 * v - 0.09 * v * v * v * v + 0.22 * head.lean * u
    skin = head.shape(p)
    p.paint(skin, head.skin, tone)
    within = p.cover(skin)
    blush = (224, 92, 92) if sum(head.skin) > 330 else (150, 60, 48)
    strength = {"woman": 0.34, "man": 0.12}[person.gender] + (0.12 if person.age == "child" else 0.0)
    for side in (-1, 1):
        x = side * w * 0.56 + turn
        p.blend(
            np.exp(-np.square((p.x - x) * 19) - np.square((p.y - head.eye_y - 0.105) * 24)) * (strength * within), blush
        )
    if person.gender == "man" and person.age != "child" and person.beard != "full beard":
        jaw = smooth(p.y + 0.12 * u2, h * 0.42, h * 0.75)
        p.blend(jaw * within * 0.3, mix(scaled(head.skin, 0.62), (74, 78, 92), 0.35))
    p.blend(np.exp(-np.square(p.x * 13 - head.lean) - np.square((p.y + h * 0.5) * 13)) * 0.16 * within, WHITE)
    if person.age == "elderly":
        _draw_wrinkles(c, head)


def _draw_wrinkles(c: Canvas, head: Head) -> None:
    """Lines on the forehead, beside and below the eyes, from the nose to the mouth, and around the mouth."""
    w, h, turn, dark = head.w, head.h, head.turn, scaled(head.skin, 0.5)
    for y, half in ((-h * 0.5, 0.52), (-h * 0.4, 0.6), (-h * 0.3, 0.5)):
        p = c.at(-w, y - 0.03, w, y + 0.03)
        line = p.bow(turn * 0.7, y, w * half, 0.014, 0.0075)
        p.paint(line, dark, opacity=0.7, line=0.0)
        p.stroke(line, dark, 0.7)
    for side in (-1, 1):
        eye = head.eye(side)
        p = c.at(-w, head.eye_y - 0.06, w, h)
        lines = [p.bow(eye, head.eye_y + rise, 0.05, -0.016, 0.0075) for rise in (0.052, 0.072)]
        lines += [
            p.capsule(
                eye + side * 0.064, head.eye_y + 0.004 * k, eye + side * 0.095, head.eye_y + 0.022 * k, 0.0065, 0.003
            )
            for k in (-1, 0, 1)
        ]
        lines += [
            p.capsule(turn * 1.2 + side * 0.052, 0.075, turn + side * 0.088, head.mouth_y - 0.015, 0.008, 0.0065),
            p.capsule(
                turn + side * 0.088, head.mouth_y - 0.015, turn + side * 0.09, head.mouth_y + 0.035, 0.0065, 0.003
            ),
        ]
        line = np.minimum.reduce(lines)
        p.paint(line, dark, opacity=0.72, line=0.0, soft=0.002)
        p.stroke(line, dark, 0.7)


def draw_nose(c: Canvas, head: Head) -> None:
    person, x, top = head.person, head.turn * 1.45, head.eye_y + 0.02
    wide, long = (0.066, 0.106) if person.nose == "big" else (0.02, 0.064)
    if person.age == "child":
        wide, long = wide * 0.92, long * 0.86
    y = top + long
    p = c.at(x - 0.1, top - 0.06, x + 0.1, y + 0.05)
    shadow_side = -1 if head.lean > 0 else 1
    side = p.capsule(x + shadow_side * 0.012, top, x + shadow_side * wide * 0.8, y - 0.012, 0.006, wide * 0.36)
    p.shade(p.cover(side, 0.022), 0.84)
    tip = p.ellipse(x, y - wide * 0.42, wide * 0.95, wide * 0.62)
    p.paint(
        tip,
        head.skin,
        1.06 - (p.y - y) * 4 * (p.y > y - wide * 0.6) - 0.5 * np.square((p.x - x) * (1 / wide)) * 0.3,
        opacity=0.9,
        soft=0.008,
        line=0.0,
    )
    below = p.bow(x, y - 0.004, wide * 1.08, -wide * 0.3, 0.0055 + wide * 0.05)
    for k in (-1, 1):
        wing = p.capsule(
            x + k * wide * 0.9,
            y - wide * 0.62,
            x + k * wide * 1.06,
            y - wide * 0.12,
            0.002 + wide * 0.05,
            0.003 + wide * 0.07,
        )
        below = np.minimum(below, wing)
    p.paint(below, scaled(head.skin, 0.5), opacity=0.9, line=0.0, soft=0.003)
    for k in (-1, 1):
        p.paint(
            p.ellipse(x + k * wide * 0.42, y - 0.004, wide * 0.24, wide * 0.15),
            scaled(head.skin, 0.4),
            opacity=0.9,
            line=0.0,
        )
    p.blend(np.exp(-np.square((p.x - x) * 90) - np.square((p.y - y + wide * 0.7) * 60)) * 0.4, WHITE)
    p.stroke(
        np.minimum(below, p.capsule(x + wide * 0.3, top + 0.01, x + wide, y - wide * 0.4, 0.004, 0.005)),
        scaled(head.skin, 0.6),
    )


def draw_eyes(c: Canvas, head: Head) -> None:
    person, scene, y = head.person, head.scene, head.eye_y
    woman, surprised = person.gender == "woman", scene.expression == "surprised"
    rx, ry = (
        min(0.058 * head.eye_size, head.w * 0.31),
        (0.049 if surprised else 0.032 if scene.expression == "smiling" else 0.038) * head.eye_size,
    )
    iris, colour = 0.0345 * head.eye_size, EYES[person.eyes]
    for side in (-1, 1):
        x = head.eye(side)
        p = c.at(x - rx - 0.04, y - ry - 0.05, x + rx + 0.04, y + ry + 0.03)
        p.shade(p.cover(p.ellipse(x, y - 0.006, rx * 1.28, ry * 1.6), 0.05), 0.9)
        white = p.ellipse(x, y, rx, ry)
        p.paint(white, (246, 246, 244), 1.0 - 0.3 * smooth(p.y, y, y - ry), line=0.8)
        within, gaze = p.cover(white), x + head.turn * 0.5
        away = (np.square(p.x - gaze) + np.square(p.y - y)) * (1 / iris**2)
        disc = (np.sqrt(away) - 1) * iris
        p.paint(disc, colour, 1.18 - 0.55 * away * away + 0.4 * smooth(p.y, y, y + iris), within=within)
        p.paint(p.ellipse(gaze, y, iris * 0.44, iris * 0.44), INK, within=within)
        p.stroke(np.maximum(np.abs(disc) - 0.004, white), colour)
        p.stroke(p.ellipse(gaze, y, iris * 0.5, iris * 0.5), INK)
        glint = p.ellipse(gaze - 0.013 + 0.008 * head.lean, y - 0.014, 0.0115, 0.0115)
        p.paint(glint, (255, 255, 255), line=0.0)
        p.paint(p.ellipse(gaze + 0.013, y + 0.013, 0.006, 0.006), (255, 255, 255), opacity=0.6, within=within, line=0.0)
        lid = p.bow(
            x,
            y - ry * 0.1,
            rx * 1.06,
            ry * 0.92,
            0.0145 if woman else 0.0085,
            slant=-side * 0.06 if person.age != "elderly" else side * 0.14,
        )
        p.paint(lid, (34, 24, 26) if woman else mix(INK, head.skin, 0.25), line=0.0)
        p.stroke(lid, INK)
        if woman:
            lash = np.minimum(
                p.capsule(x + side * rx * 0.8, y - ry * 0.5, x + side * (rx + 0.026), y - ry * 0.95, 0.009, 0.002),
                p.capsule(
                    x + side * rx * 0.45, y - ry * 0.85, x + side * (rx * 0.45 + 0.022), y - ry - 0.026, 0.007, 0.002
                ),
            )
            p.paint(lash, (34, 24, 26), line=0.0)
            p.stroke(lash, INK)
        elif person.age != "child":
            p.paint(p.bow(x, y - ry - 0.012, rx, ry * 0.5, 0.003), scaled(head.skin, 0.6), opacity=0.6, line=0.0)


def draw_glasses(c: Canvas, head: Head) -> None:
    kind, y = head.person.glasses, head.eye_y
    if kind == "none":
        return
    p = c.at(-head.w - 0.1, y - 0.1, head.w + 0.1, y + 0.12)
    left, right = head.eye(-1), head.eye(1)
    bridge = p.bow((left + right) / 2, y - 0.008, max(0.012, (right - left) / 2 - 0.055), 0.012, 0.0085)
    p.paint(bridge, INK, line=0.0)
    for side in (-1, 1):
        x = head.eye(side)
        arm = p.capsule(x + side * 0.07, y - 0.015, side * head.w, y - 0.01, 0.007, 0.007)
        p.paint(arm, INK, line=0.0)
        if kind == "round glasses":
            lens, rim = p.ellipse(x, y, 0.075, 0.075), 0.0095
        elif kind == "square glasses":
            lens, rim = p.box(x - 0.078, y - 0.056, x + 0.078, y + 0.062, 0.012), 0.0115
        else:
            lens, rim = p.box(x - 0.084, y - 0.056, x + 0.084, y + 0.066, 0.042), 0.008
        if kind == "sunglasses":
            p.paint(lens, (30, 30, 40), 1 + 4.0 * smooth(p.y, y + 0.06, y - 0.07) * 0.35)
            shine = np.abs(p.x - x + 0.4 * (p.y - y) + 0.02) - 0.014
            p.paint(np.maximum(shine, lens + 0.012), (190, 200, 220), opacity=0.5, line=0.0, soft=0.006)
            p.stroke(np.maximum(lens, np.abs((p.x + p.y) % 0.03 - 0.015) - 0.009), (90, 110, 190))
            p.stroke(lens, (60, 70, 120), 0.75)
        else:
            p.blend(p.cover(lens) * (0.07 + 0.16 * smooth(p.x - p.y - x + y, 0.02, -0.06)), (235, 244, 255))
        ring = np.abs(lens) - rim
        p.paint(ring, (20, 20, 26), 1 + 1.5 * smooth(p.y, y, y - 0.08), line=0.0)
        p.stroke(ring, INK)


def draw_mouth(c: Canvas, head: Head) -> None:
    person, expression = head.person, head.scene.expression
    x, y, small = head.turn, head.mouth_y, 0.8 if person.age == "child" else 1.0
    _draw_marks(c, head)
    if person.beard != "none":
        draw_beard(c, head)
    p = c.at(x - 0.12, y - 0.06, x + 0.12, y + 0.09)
    full = 0.0155 if person.gender == "woman" else 0.0095
    if person.age == "elderly":
        full *= 0.75
    if expression == "smiling":
        half = 0.082 * small
        u = np.square((p.x - x) * (1 / half))
        lower, upper = p.y - (y - 0.02 + 0.066 * small * (1 - u)), (y - 0.02 + 0.01 * (1 - u)) - p.y
        mouth = np.maximum(np.maximum(lower, upper) * 0.8, np.abs(p.x - x) - half)
        p.paint(mouth - full * 0.75, head.lip, 1.05 - 2 * (p.y - y))
        p.paint(mouth, (112, 24, 34), line=0.3)
        p.paint(np.maximum(mouth, p.y - (y + 0.014 * small)), (250, 250, 246), line=0.0)
    elif expression == "surprised":
        hole = p.ellipse(x, y + 0.008, 0.036 * small, 0.044 * small)
        p.paint(hole - full, head.lip, 1.05 - 2 * (p.y - y))
        p.paint(hole, (74, 14, 22), 1 - 3 * (p.y - y))
    else:
        sad = expression == "sad"
        half, rise = (0.066 * small, 0.046) if sad else (0.064 * small, 0.0)
        lips = p.bow(x, y + 0.022 if sad else y, half, rise, full * 1.15)
        p.paint(lips, head.lip, 1.0 - 3 * (p.y - y))
        seam = p.bow(x, y + 0.022 if sad else y, half * 1.04, rise, 0.0042)
        p.paint(seam, scaled(head.lip, 0.5), line=0.0)
        p.stroke(seam, INK)
        p.shade(p.cover(p.ellipse(x, y + 0.04 + full, 0.035, 0.009), 0.016), 0.86)


def _draw_marks(c: Canvas, head: Head) -> None:
    person, w, turn, y = head.person, head.w, head.turn, head.eye_y
    light_skin = sum(head.skin) > 330
    if person.freckles == "freckles":
        p = c.at(-w, y, w, y + 0.16)
        spots = [
            (0.3, 0.078),
            (0.42, 0.106),
            (0.5, 0.07),
            (0.6, 0.1),
            (0.68, 0.066),
            (0.52, 0.13),
            (0.73, 0.12),
            (0.36, 0.138),
        ]
        radii = [
            p.ellipse(side * a * w * (0.8 if side * turn > 0 else 1) + turn, y + b, 0.0105, 0.0095)
            for side in (-1, 1)
            for a, b in spots
        ]
        radii += [
            p.ellipse(turn * 1.4 - 0.015, y + 0.045, 0.009, 0.009),
            p.ellipse(turn * 1.4 + 0.014, y + 0.06, 0.009, 0.009),
        ]
        freckle = np.minimum.reduce(radii)
        colour = (170, 92, 52) if light_skin else scaled(head.skin, 0.5) if sum(head.skin) > 230 else (158, 96, 62)
        p.paint(freckle, colour, opacity=0.85, line=0.0)
        p.stroke(freckle, colour, 0.8)


def draw_mole(c: Canvas, head: Head) -> None:
    if head.person.mole == "mole":
        light_skin = sum(head.skin) > 330
        x, y = head.w * 0.62 * (0.85 if head.turn > 0 else 1.0) + head.turn, head.eye_y + 0.098
        p = c.at(x - 0.05, y - 0.05, x + 0.05, y + 0.05)
        p.paint(
            p.ellipse(x, y, 0.03, 0.03),
            scaled(head.skin, 1.18 if not light_skin else 0.86),
            opacity=0.6,
            soft=0.01,
            line=0.0,
        )
        spot = p.ellipse(x, y, 0.0215, 0.0205)
        p.paint(spot, (50, 26, 22) if light_skin else (22, 10, 10), 1 - 14 * (p.x - x) - 14 * (p.y - y), line=0.0)
        p.stroke(spot, (70, 40, 34))
