"""Paints one person, or one dog, in one scene. About 10 ms at 128 px, and any other size."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image

from ti_core.portraits.next.canvas import Array, Canvas, Colour, Patch, noise, smooth
from ti_core.portraits.next.objects import draw_cup, draw_dog, draw_hat, draw_somebody_behind
from ti_core.portraits.next.palette import BACKGROUND, EYES, FACES, HAIR, INK, SHIRT, SKIN, WHITE, mix, scaled
from ti_core.portraits.next.styles import LINE_STYLES, in_style
from ti_core.portraits.next.world import Person, Pet, Scene


class Head:
    """The measures of one person's head in one scene, in heads."""

    def __init__(self, person: Person, scene: Scene) -> None:
        child, woman = person.age == "child", person.gender == "woman"
        self.person, self.scene = person, scene
        self.w, self.h, self.power, chin = FACES[person.face]
        self.w *= person.jaw * (0.96 if child else 1.0)
        self.h *= 0.93 if child else 1.0
        self.chin = chin + (0.08 if woman else 0.05 if child else 0.0)
        self.turn = {"front": 0.0, "looking left": -1.0, "looking right": 1.0}[scene.pose] * min(0.038, self.w * 0.2)
        self.skin, self.hair = SKIN[person.skin], HAIR[person.hair]
        self.eye_x = min(0.094, self.w * 0.52) * person.eye_gap
        self.eye_y = 0.032 if child else -0.008
        self.eye_size = (1.2 if child else 1.0) * (1.04 if woman else 0.97)
        self.mouth_y = self.h * (0.68 if child else 0.66)
        self.lean = {"even": 0.0, "light from the left": -1.0, "light from the right": 1.0}[scene.light]
        self.lip: Colour = mix((205, 40, 62), self.skin, 0.12) if woman else mix((168, 62, 56), self.skin, 0.5)
        if child:
            self.lip = mix((222, 92, 104), self.skin, 0.2 if woman else 0.6)

    def eye(self, side: int) -> float:
        """Where the eye of that side (-1 or 1) lies across; the far one of a turned head is nearer to the nose."""
        return self.turn + side * self.eye_x * (0.86 if side * self.turn > 0 else 1.0)

    def shape(self, p: Patch, grow: float = 0.0) -> Array:
        """The outline of the head: an ellipse or a rounder square that narrows towards the chin."""
        w, h = self.w + grow, self.h + grow
        v = p.y * (1 / h)
        below = np.maximum(v, 0)
        u = p.x * (1 / w) / (1 - self.chin * below * below).clip(0.3)
        u, v = u * u, v * v
        if self.power == 4:
            u, v = u * u, v * v
            return (np.sqrt(np.sqrt(u + v)) - 1) * min(w, h)
        return (np.sqrt(u + v) - 1) * min(w, h) * 1.05


def render_portrait(person: Person, scene: Scene, size_px: int = 128) -> Image.Image:
    """The portrait as an RGB picture of `size_px` x `size_px`."""
    canvas, chance = _prepare(scene, size_px)
    head = Head(person, scene)
    if scene.beside == "somebody behind":
        draw_somebody_behind(canvas, chance)
    _draw_back_hair(canvas, head)
    _draw_body(canvas, head)
    _draw_face(canvas, head)
    _draw_nose(canvas, head)
    _draw_eyes(canvas, head)
    _draw_mouth(canvas, head)
    _draw_front_hair(canvas, head)
    _draw_brows(canvas, head)
    _draw_mole(canvas, head)
    _draw_glasses(canvas, head)
    draw_hat(canvas, scene.hat, head.w, head.h)
    if scene.beside == "a cup":
        draw_cup(canvas, chance)
    elif scene.beside == "a dog":
        draw_dog(canvas, chance.choice((-0.29, 0.29)), 0.25, 0.5, _any_pet(chance), "none")
    return _finish(canvas, scene)


def render_pet(pet: Pet, scene: Scene, size_px: int = 128) -> Image.Image:
    """The dog's portrait; the scene's shirt is the colour of its collar."""
    canvas, _ = _prepare(scene, size_px)
    draw_dog(canvas, 0.0, 0.0, 1.0, pet, scene.hat, SHIRT[scene.shirt])
    return _finish(canvas, scene)


def _any_pet(chance: random.Random) -> Pet:
    return Pet(chance.choice(("black", "brown", "golden", "white")), chance.choice(("floppy", "pointed")), "none")


def _prepare(scene: Scene, size_px: int) -> tuple[Canvas, random.Random]:
    canvas = Canvas(size_px, scene.dx, scene.dy, scene.scale, scene.tilt_deg, scene.style in LINE_STYLES)
    chance = random.Random(f"{scene.dx:.9f} {scene.tilt_deg:.9f}")
    _draw_wall(canvas, scene, chance.randrange(16))
    return canvas, chance


def _draw_wall(c: Canvas, scene: Scene, seed: int) -> None:
    """A wall with a soft spot of light behind the head and a little cloudiness; brick has joints."""
    size = c.size_px
    places = np.linspace(-1, 1, size, dtype=np.float32)
    fall = (places * places)[None, :] + np.square(places + 0.3)[:, None]
    tone = 1.05 - 0.1 * fall + 0.022 * noise(size, 7, 7, seed)
    if scene.background == "brick":
        row = np.floor((places + 1) * 6)
        offset = (row % 2) * 0.5
        across = np.abs(((places[None, :] + 1) * 3 + offset[:, None]) % 1 - 0.5)
        down = np.abs(((places + 1) * 6) % 1 - 0.5)
        joint = np.maximum(smooth(across, 0.44, 0.48), smooth(down, 0.38, 0.46)[:, None])
        tone = tone * (1 - 0.2 * joint) + 0.05 * noise(size, 6, 12, seed + 1)
    c.blend(np.ones((), np.float32), BACKGROUND[scene.background], tone)


def _finish(c: Canvas, scene: Scene) -> Image.Image:
    """The light over all of it, then the art style."""
    lean = {"even": 0.0, "light from the left": -0.24, "light from the right": 0.24}[scene.light]
    if lean:
        c.colour *= 1 + lean * np.linspace(-1, 1, c.size_px, dtype=np.float32)
    return in_style(c, scene.style)


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


def _draw_back_hair(c: Canvas, head: Head) -> None:
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
        tail = np.minimum.reduce([
            p.capsule(w * 0.6, -h * 0.86, w + 0.06, -h * 0.66, 0.05, 0.062), p.capsule(w + 0.06, -h * 0.66, w + 0.105, -0.02, 0.062, 0.066),
            p.capsule(w + 0.105, -0.02, w + 0.075, 0.27, 0.066, 0.012),
        ])  # fmt: skip
        p.paint(tail, colour, 1 + 0.14 * np.sin(p.x * 160 + 6 * p.y) + 0.1 * np.sin(p.x * 290))
    elif style == "bun" and head.scene.hat == "none":
        p = c.at(-0.13, -h - 0.2, 0.13, -h + 0.05)
        swirl = np.sin(14 * np.sqrt(np.square(p.x * 1.2 + 0.02) + np.square(p.y + h + 0.1)) * 10 + 2 * np.arctan2(p.x, p.y + h + 0.08))
        p.paint(p.ellipse(0, -h - 0.085, 0.1, 0.09), head.hair, 1.08 + 0.12 * swirl - 1.6 * np.square(p.x) * 10 - 2 * (p.y + h + 0.085))
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
        p.paint(p.ellipse(x, y, radius, radius), colour, 1.14 - 0.32 * away - 0.16 * v + 0.14 * head.lean * u + ring, line=0.7)


def _draw_body(c: Canvas, head: Head) -> None:
    person, shirt = head.person, SHIRT[head.scene.shirt]
    woman, child = person.gender == "woman", person.age == "child"
    half, neck = (0.32, 0.058) if child else (0.37, 0.066) if woman else (0.45, 0.092)
    p = c.at(-half - 0.05, 0.1, half + 0.05, 0.75)
    top = 0.3 if not child else 0.285
    slope = np.abs(p.x) * (0.22 if woman or child else 0.16)
    body = Patch(p.x, p.y - slope, p.colour, p.px, None, None).box(-half, top - 0.02, half, 1.4, 0.12)
    folds = 0.06 * np.sin(p.x * 17 + 5 * p.y) * smooth(p.y, 0.34, 0.5)
    weave = 0.025 * np.sin(p.x * 190) * np.sin(p.y * 190)
    round_ = -0.3 * np.square(p.x * (1 / half)) + 0.2 * head.lean * p.x * (1 / half)
    tone = 1.06 + folds + weave + round_ * (0.7 if sum(shirt) > 150 else 0.0)
    if sum(shirt) <= 150:  # black cloth shows its folds as light, not as shade
        tone = tone + 0.7 * smooth(folds, 0.0, 0.06)
    p.paint(body, shirt, tone)
    wide, deep = (0.115, 0.085) if woman else (0.1, 0.05)
    neckline = p.ellipse(0, top - 0.005, wide, deep)
    p.paint(neckline - 0.016, scaled(shirt, 0.72), line=0.6)
    throat = np.minimum(p.box(-neck, 0.05, neck, top + 0.03, 0.03), neckline)
    shadow = 0.66 + 0.26 * smooth(p.y, head.h, head.h + 0.13) - 0.12 * np.square(p.x * (1 / neck)).clip(0, 1)
    p.paint(throat, head.skin, shadow + 0.1 * head.lean * p.x * (1 / neck), line=0.8)
    if not woman:
        p.paint(p.bow(0, top + 0.012, 0.07, -0.012, 0.004), scaled(head.skin, 0.62), opacity=0.5, line=0.0)


def _draw_face(c: Canvas, head: Head) -> None:
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
        p.blend(np.exp(-np.square((p.x - x) * 19) - np.square((p.y - head.eye_y - 0.105) * 24)) * (strength * within), blush)
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
        lines += [p.capsule(eye + side * 0.064, head.eye_y + 0.004 * k, eye + side * 0.095, head.eye_y + 0.022 * k, 0.0065, 0.003) for k in (-1, 0, 1)]
        lines += [
            p.capsule(turn * 1.2 + side * 0.052, 0.075, turn + side * 0.088, head.mouth_y - 0.015, 0.008, 0.0065),
            p.capsule(turn + side * 0.088, head.mouth_y - 0.015, turn + side * 0.09, head.mouth_y + 0.035, 0.0065, 0.003),
        ]
        line = np.minimum.reduce(lines)
        p.paint(line, dark, opacity=0.72, line=0.0, soft=0.002)
        p.stroke(line, dark, 0.7)


def _draw_nose(c: Canvas, head: Head) -> None:
    person, x, top = head.person, head.turn * 1.45, head.eye_y + 0.02
    wide, long = (0.058, 0.104) if person.nose == "big" else (0.021, 0.066)
    if person.age == "child":
        wide, long = wide * 0.86, long * 0.84
    y = top + long
    p = c.at(x - 0.1, top - 0.06, x + 0.1, y + 0.05)
    shadow_side = -1 if head.lean > 0 else 1
    side = p.capsule(x + shadow_side * 0.012, top, x + shadow_side * wide * 0.8, y - 0.012, 0.006, wide * 0.36)
    p.shade(p.cover(side, 0.022), 0.84)
    tip = p.ellipse(x, y - wide * 0.42, wide * 0.95, wide * 0.62)
    p.paint(tip, head.skin, 1.06 - (p.y - y) * 4 * (p.y > y - wide * 0.6) - 0.5 * np.square((p.x - x) * (1 / wide)) * 0.3, opacity=0.9, soft=0.008, line=0.0)
    below = p.bow(x, y - 0.004, wide * 1.08, -wide * 0.3, 0.0055 + wide * 0.05)
    for k in (-1, 1):
        wing = p.capsule(x + k * wide * 0.9, y - wide * 0.62, x + k * wide * 1.06, y - wide * 0.12, 0.002 + wide * 0.05, 0.003 + wide * 0.07)
        below = np.minimum(below, wing)
    p.paint(below, scaled(head.skin, 0.5), opacity=0.9, line=0.0, soft=0.003)
    for k in (-1, 1):
        p.paint(p.ellipse(x + k * wide * 0.42, y - 0.004, wide * 0.24, wide * 0.15), scaled(head.skin, 0.4), opacity=0.9, line=0.0)
    p.blend(np.exp(-np.square((p.x - x) * 90) - np.square((p.y - y + wide * 0.7) * 60)) * 0.4, WHITE)
    p.stroke(np.minimum(below, p.capsule(x + wide * 0.3, top + 0.01, x + wide, y - wide * 0.4, 0.004, 0.005)), scaled(head.skin, 0.6))


def _draw_eyes(c: Canvas, head: Head) -> None:
    person, scene, y = head.person, head.scene, head.eye_y
    woman, surprised = person.gender == "woman", scene.expression == "surprised"
    rx, ry = min(0.058 * head.eye_size, head.w * 0.31), (0.049 if surprised else 0.032 if scene.expression == "smiling" else 0.038) * head.eye_size
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
        lid = p.bow(x, y - ry * 0.1, rx * 1.06, ry * 0.92, 0.0145 if woman else 0.0085, slant=-side * 0.06 if person.age != "elderly" else side * 0.14)
        p.paint(lid, (34, 24, 26) if woman else mix(INK, head.skin, 0.25), line=0.0)
        p.stroke(lid, INK)
        if woman:
            lash = np.minimum(p.capsule(x + side * rx * 0.8, y - ry * 0.5, x + side * (rx + 0.026), y - ry * 0.95, 0.009, 0.002),
                              p.capsule(x + side * rx * 0.45, y - ry * 0.85, x + side * (rx * 0.45 + 0.022), y - ry - 0.026, 0.007, 0.002))  # fmt: skip
            p.paint(lash, (34, 24, 26), line=0.0)
            p.stroke(lash, INK)
        elif person.age != "child":
            p.paint(p.bow(x, y - ry - 0.012, rx, ry * 0.5, 0.003), scaled(head.skin, 0.6), opacity=0.6, line=0.0)


def _draw_brows(c: Canvas, head: Head) -> None:
    person, expression = head.person, head.scene.expression
    colour = (150, 148, 152) if person.hair == "white" else mix(scaled(head.hair, 0.6), (40, 28, 24), 0.2)
    thick = 0.026 if person.brows == "thick" else 0.0065
    lift = 0.034 if expression == "surprised" else 0.008 if expression == "sad" else 0.0
    slant = {"sad": 0.5, "serious": -0.16}.get(expression, 0.05)
    for side in (-1, 1):
        x, y = head.eye(side) + side * 0.003, head.eye_y - 0.066 - lift - thick * 0.45
        p = c.at(x - 0.085, y - 0.06, x + 0.085, y + 0.06)
        brow = p.bow(x, y, 0.068, 0.02 if person.gender == "woman" else 0.011, thick, slant=side * slant)
        p.paint(brow, colour, 1 + 0.18 * np.sin(p.x * 300 * side + p.y * 120), opacity=0.96, line=0.5)
        p.stroke(brow, colour)


def _draw_glasses(c: Canvas, head: Head) -> None:
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


def _draw_mouth(c: Canvas, head: Head) -> None:
    person, expression = head.person, head.scene.expression
    x, y, small = head.turn, head.mouth_y, 0.8 if person.age == "child" else 1.0
    _draw_marks(c, head)
    if person.beard != "none":
        _draw_beard(c, head)
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
        spots = [(0.3, 0.078), (0.42, 0.106), (0.5, 0.07), (0.6, 0.1), (0.68, 0.066), (0.52, 0.13), (0.73, 0.12), (0.36, 0.138)]
        radii = [p.ellipse(side * a * w * (0.8 if side * turn > 0 else 1) + turn, y + b, 0.0105, 0.0095) for side in (-1, 1) for a, b in spots]
        radii += [p.ellipse(turn * 1.4 - 0.015, y + 0.045, 0.009, 0.009), p.ellipse(turn * 1.4 + 0.014, y + 0.06, 0.009, 0.009)]
        freckle = np.minimum.reduce(radii)
        colour = (170, 92, 52) if light_skin else scaled(head.skin, 0.5) if sum(head.skin) > 230 else (158, 96, 62)
        p.paint(freckle, colour, opacity=0.85, line=0.0)
        p.stroke(freckle, colour, 0.8)


def _draw_mole(c: Canvas, head: Head) -> None:
    if head.person.mole == "mole":
        light_skin = sum(head.skin) > 330
        x, y = head.w * 0.62 * (0.85 if head.turn > 0 else 1.0) + head.turn, head.eye_y + 0.098
        p = c.at(x - 0.05, y - 0.05, x + 0.05, y + 0.05)
        p.paint(p.ellipse(x, y, 0.03, 0.03), scaled(head.skin, 1.18 if not light_skin else 0.86), opacity=0.6, soft=0.01, line=0.0)
        spot = p.ellipse(x, y, 0.0215, 0.0205)
        p.paint(spot, (50, 26, 22) if light_skin else (22, 10, 10), 1 - 14 * (p.x - x) - 14 * (p.y - y), line=0.0)
        p.stroke(spot, (70, 40, 34))


def _draw_beard(c: Canvas, head: Head) -> None:
    person, x, y = head.person, head.turn, head.mouth_y
    colour = scaled(head.hair, 0.86)
    p = c.at(-head.w - 0.05, -0.02, head.w + 0.05, head.h + 0.07)
    tone = 0.98 + 0.14 * np.sin(p.x * 150 + 20 * p.y) * np.sin(p.y * 70 + p.x * 60) + 0.16 * head.lean * p.x / head.w - 1.2 * np.square(p.x)
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


def _draw_front_hair(c: Canvas, head: Head) -> None:
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
        p.paint(p.box(-0.056, -h - 0.15, 0.056, -h * 0.5, 0.035) + 0.012 * np.sin(p.y * 90 + p.x * 40), head.hair, _hair_tone(p, head) + 0.1)
        return
    if style == "curly":
        _draw_curls(c, head, [(math.pi * (1.06 + 0.88 * i / 7), -0.012, 0.066) for i in range(8)], head.hair)
        _draw_curls(c, head, [(math.pi * (1.2 + 0.6 * i / 4), -0.06, 0.045) for i in range(5)], scaled(head.hair, 0.94))
        return
    p = c.at(-w - 0.06, -h - 0.06, w + 0.06, h * 0.7)
    u2, part = np.square(p.x * (1 / w)), 0.25 * w * (1 if person.eye_gap > 1 else -1)
    if style == "long":  # parted in the middle, like curtains
        across = np.abs(p.x) * (1 / w)
        edge = p.y - h * (-0.86 + 0.34 * np.minimum(across * 1.8, 1) + 1.5 * smooth(across, 0.72, 1.05))
    elif style == "bob":  # a straight fringe
        edge = p.y - (-h * 0.5 + 0.008 * np.sin(p.x * 90) + 0.9 * h * smooth(np.abs(p.x), w * 0.82, w * 1.02))
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
