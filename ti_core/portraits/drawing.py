"""Paints one person, or one dog, in one scene. About 10 ms at 128 px, and any other size."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from ti_core.portraits.canvas import Canvas, Patch, noise, smooth
from ti_core.portraits.face import draw_eyes, draw_face, draw_glasses, draw_mole, draw_mouth, draw_nose
from ti_core.portraits.hair import draw_back_hair, draw_brows, draw_front_hair
from ti_core.portraits.head import Head
from ti_core.portraits.objects import draw_cup, draw_dog, draw_hat, draw_somebody_behind
from ti_core.portraits.palette import BACKGROUND, SHIRT, scaled
from ti_core.portraits.styles import LINE_STYLES, in_style
from ti_core.portraits.world import Person, Pet, Scene


def render_portrait(person: Person, scene: Scene, size_px: int = 128) -> Image.Image:
    """The portrait as an RGB picture of `size_px` x `size_px`."""
    canvas, chance = _prepare(scene, size_px)
    head = Head(person, scene)
    if scene.beside == "somebody behind":
        draw_somebody_behind(canvas, chance)
    draw_back_hair(canvas, head)
    _draw_body(canvas, head)
    draw_face(canvas, head)
    draw_eyes(canvas, head)
    draw_mouth(canvas, head)
    draw_nose(canvas, head)  # over a mustache
    draw_front_hair(canvas, head)
    draw_brows(canvas, head)
    draw_mole(canvas, head)
    draw_glasses(canvas, head)
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


def _finish(c: Canvas, scene: Scene) -> Image.Image:
    """The light over all of it, then the art style."""
    lean = {"even": 0.0, "light from the left": -0.24, "light from the right": 0.24}[scene.light]
    if lean:
        c.colour *= 1 + lean * np.linspace(-1, 1, c.size_px, dtype=np.float32)
    return in_style(c, scene.style)
