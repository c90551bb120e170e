"""What a portrait shows beside the person: hats, a cup, a dog, somebody behind."""

from __future__ import annotations

import random

import numpy as np

from ti_core.portraits.canvas import Canvas, Colour, Patch, smooth
from ti_core.portraits.palette import HAIR, INK, SHIRT, SKIN, WHITE, mix, scaled
from ti_core.portraits.world import Pet

COAT: dict[str, Colour] = {
    "black": (48, 44, 48),
    "brown": (122, 76, 44),
    "golden": (222, 168, 92),
    "gray": (142, 142, 150),
    "white": (236, 232, 226),
}


def draw_hat(c: Canvas, hat: str, w: float, h: float) -> None:
    """A hat on a head of half width `w` and half height `h`."""
    if hat == "none":
        return
    p = c.at(-w - 0.2, -h - 0.3, w + 0.24, -h * 0.05)
    p = Patch(p.x, p.y + (0.36 if hat in ("beanie", "santa hat") else 0.28) * h, p.colour, p.px, p.ink, p.glow)
    side = p.x * (1 / (w + 0.05))
    tone = 1.08 - 0.26 * side * side
    shadow = p.ellipse(0, -h * 0.36, w, 0.05)
    p.shade(p.cover(shadow, 0.05), 0.8)
    if hat == "cap":
        crown = np.maximum(p.ellipse(0, -h * 0.42, w + 0.04, h * 0.8), p.y + h * 0.4)
        p.paint(crown, (40, 74, 180), tone)
        seam = (
            np.abs(np.abs(p.x) - (w * 0.45) * np.sqrt(np.clip(1 - np.square((p.y + h * 0.42) / (h * 0.8)), 0, 1)))
            - 0.003
        )
        p.paint(np.maximum(seam, crown), (24, 46, 128), line=0.0)
        p.paint(p.ellipse(0, -h * 1.2, 0.02, 0.012), (24, 46, 128))
        brim = np.maximum(
            p.box(-w * 0.55, -h * 0.55, w + 0.17, -h * 0.34, 0.04), -p.ellipse(w * 0.3, -h * 0.12, w * 1.1, h * 0.26)
        )
        p.paint(brim, (26, 48, 134), 1.2 + 2 * (-h * 0.45 - p.y))
    elif hat == "beanie":
        knit = 0.12 * np.sin(p.x * 170) + 0.05 * np.sin(p.y * 120)
        p.paint(
            p.ellipse(0, -h * 1.26, 0.055, 0.055), (238, 226, 210), 1.05 + 0.12 * np.sin(p.x * 200) * np.sin(p.y * 200)
        )
        p.paint(np.maximum(p.ellipse(0, -h * 0.42, w + 0.042, h * 0.84), p.y + h * 0.42), (222, 108, 32), tone + knit)
        p.paint(p.box(-w - 0.045, -h * 0.6, w + 0.045, -h * 0.32, 0.03), (164, 70, 20), tone + 0.16 * np.sin(p.x * 170))
    elif hat == "santa hat":
        cone = np.minimum(
            p.capsule(0, -h * 0.6, w * 0.55, -h - 0.1, w * 0.92, 0.07),
            p.capsule(w * 0.55, -h - 0.1, w + 0.12, -h - 0.06, 0.07, 0.022),
        )
        p.paint(np.maximum(cone, p.y + h * 0.45), (212, 28, 38), tone + 0.08 * np.sin(p.x * 30 + p.y * 40))
        fluff = 0.006 * np.sin(p.x * 110) * np.sin(p.y * 110 + 1)
        p.paint(p.ellipse(w + 0.13, -h - 0.035, 0.052, 0.052) + fluff, (246, 246, 248), 1.04 - 3 * (p.y + h + 0.05))
        p.paint(
            p.box(-w - 0.05, -h * 0.62, w + 0.05, -h * 0.32, 0.04) + fluff, (246, 246, 248), tone - 0.05 + 6 * fluff
        )
    elif hat == "top hat":
        shine = 1 + 1.2 * np.exp(-np.square((p.x + w * 0.4) * 26))
        p.paint(p.box(-w * 0.82, -h - 0.15, w * 0.82, -h * 0.4, 0.012), (34, 32, 40), shine)
        p.paint(p.box(-w * 0.825, -h * 0.74, w * 0.825, -h * 0.54, 0.0), (176, 32, 44), tone)
        p.paint(p.box(-w - 0.085, -h * 0.56, w + 0.085, -h * 0.4, 0.02), (34, 32, 40), shine * 1.15)


def draw_cup(c: Canvas, chance: random.Random) -> None:
    """A steaming mug in a lower corner."""
    x, colour = (
        chance.choice((-0.3, 0.3)),
        chance.choice(((238, 238, 232), (206, 58, 52), (52, 110, 190), (240, 190, 60))),
    )
    away = 1 if x > 0 else -1
    p = c.at(x - 0.2, 0.02, x + 0.2, 0.45)
    handle = np.abs(p.ellipse(x + away * 0.1, 0.29, 0.045, 0.05)) - 0.014
    p.paint(handle, scaled(colour, 0.86))
    u = (p.x - x) * (1 / 0.1)
    p.paint(p.box(x - 0.1, 0.2, x + 0.1, 0.38, 0.025), colour, 1.06 - 0.22 * u * u - 0.12 * u)
    p.paint(p.ellipse(x, 0.205, 0.1, 0.026), scaled(colour, 0.9))
    p.paint(p.ellipse(x, 0.208, 0.084, 0.019), (78, 46, 30))
    for k in (-0.035, 0.03):
        steam = np.abs(p.x - x - k - 0.016 * np.sin(p.y * 50 + k * 90)) - 0.007
        p.paint(np.maximum(steam, np.abs(p.y - 0.125) - 0.055), WHITE, opacity=0.6, soft=0.012, line=0.6)


def draw_somebody_behind(c: Canvas, chance: random.Random) -> None:
    """A smaller second person, out of focus, half hidden behind the first."""
    side = chance.choice((-1, 1))
    skin, hair, shirt = (chance.choice(list(palette.values())) for palette in (SKIN, HAIR, SHIRT))
    long_hair, x, y = chance.random() < 0.5, side * 0.36, -0.06
    p = c.at(x - 0.28, y - 0.2, x + 0.28, 0.6)
    if long_hair:
        p.paint(p.box(x - 0.14, y - 0.15, x + 0.14, y + 0.17, 0.08), scaled(hair, 0.75), soft=0.01)
    p.paint(p.box(x - 0.22, y + 0.2, x + 0.22, 0.9, 0.1), shirt, 0.84 - 2.5 * np.square(p.x - x), soft=0.01)
    p.paint(p.box(x - 0.04, y + 0.08, x + 0.04, y + 0.22, 0.02), scaled(skin, 0.66), soft=0.01)
    u, v = (p.x - x) * 8, (p.y - y) * 7
    p.paint(p.ellipse(x, y, 0.112, 0.134), skin, 0.92 - 0.16 * u * u - 0.08 * v, soft=0.008)
    for k in (-0.045, 0.045):
        p.paint(p.ellipse(x + k, y - 0.005, 0.017, 0.014), INK, soft=0.008, line=0.4)
    p.paint(p.bow(x, y + 0.07, 0.045, -0.018, 0.009), (160, 50, 54), soft=0.006, line=0.5)
    p.paint(
        np.maximum(p.ellipse(x, y - 0.01, 0.124, 0.15), p.y - (y - 0.05 + 3 * np.square(p.x - x))),
        hair,
        0.92 + 0.1 * np.sin(p.x * 90),
        soft=0.008,
    )


def draw_dog(c: Canvas, x: float, y: float, size: float, pet: Pet, hat: str, collar: Colour = (196, 40, 44)) -> None:
    """A dog's head and chest; `size` 1 fills the picture as a person does."""
    p = c.at(x - 0.42 * size, y - 0.36 * size, x + 0.42 * size, y + 0.6 * size)
    # a patch of its own, in which the dog's head has size 1 and lies in the middle
    p = Patch((p.x - x) * (1 / size), (p.y - y) * (1 / size), p.colour, p.px / size, p.ink, p.glow)
    coat = COAT[pet.coat]
    light, dark = mix(coat, (250, 244, 236), 0.5), scaled(coat, 0.68)
    fur = 0.05 * np.sin(p.x * 95 + 20 * p.y) * np.sin(p.y * 80)
    tone = 1.06 - 1.5 * np.square(p.x) - 0.25 * p.y + fur
    p.paint(p.box(-0.24, 0.2, 0.24, 1.0, 0.18), coat, tone - 0.14)
    p.paint(p.ellipse(0, 0.46, 0.13, 0.2), light, tone - 0.06, soft=0.03, line=0.0)
    p.paint(p.bow(0, 0.27, 0.2, -0.05, 0.035), collar, 1.05 - 2 * np.square(p.x))
    p.paint(p.ellipse(0, 0.36, 0.03, 0.03), (240, 200, 80), 1 - 6 * p.x)
    if pet.ears == "pointed":
        for s in (-1, 1):
            ear = np.maximum(p.capsule(s * 0.13, -0.12, s * 0.19, -0.3, 0.085, 0.012), -p.y - 0.36)
            p.paint(ear, coat, tone)
            p.paint(
                p.capsule(s * 0.14, -0.14, s * 0.182, -0.25, 0.045, 0.008), mix(dark, (210, 130, 120), 0.5), line=0.4
            )
    p.paint(p.ellipse(0, -0.01, 0.215, 0.2), coat, tone)
    if pet.patch != "none":
        p.paint(
            p.ellipse(-0.09, -0.045, 0.085, 0.095),
            (250, 246, 240) if pet.coat in ("black", "brown", "gray") else (96, 62, 44),
            tone,
            soft=0.02,
            line=0.5,
        )
    p.paint(
        p.ellipse(0, 0.1, 0.125, 0.1), light, 1.08 - 3 * np.square(p.x) - 0.6 * (p.y - 0.1) + fur, soft=0.02, line=0.6
    )
    for s in (-1, 1):
        p.paint(p.ellipse(s * 0.088, -0.035, 0.042, 0.044), (236, 232, 226), line=0.4)
        p.paint(p.ellipse(s * 0.086, -0.033, 0.036, 0.038), (74, 44, 26), 1.3 - 12 * np.square(p.y + 0.02))
        p.paint(p.ellipse(s * 0.086, -0.033, 0.02, 0.021), INK, line=0.0)
        p.paint(p.ellipse(s * 0.086 - 0.013, -0.048, 0.012, 0.012), WHITE, line=0.0)
    p.paint(np.maximum(p.ellipse(0, 0.165, 0.042, 0.06), 0.14 - p.y), (226, 104, 116), 1.1 - 8 * np.square(p.x))
    p.paint(p.ellipse(0, 0.055, 0.05, 0.036), (30, 26, 30), 1 + 2.5 * smooth(p.y, 0.05, 0.02))
    mouth = np.minimum(p.bow(-0.045, 0.135, 0.05, -0.02, 0.008), p.bow(0.045, 0.135, 0.05, -0.02, 0.008))
    mouth = np.minimum(mouth, p.capsule(0, 0.08, 0, 0.135, 0.006, 0.006))
    p.paint(mouth, (50, 34, 34), line=0.0)
    p.stroke(mouth, INK)
    if pet.ears == "floppy":
        for s in (-1, 1):
            ear = np.minimum(
                p.capsule(s * 0.17, -0.13, s * 0.25, 0.06, 0.055, 0.075),
                p.capsule(s * 0.12, -0.15, s * 0.19, -0.1, 0.04, 0.055),
            )
            p.paint(ear, dark, tone + 0.14 - 0.6 * (p.y + 0.05))
    if hat != "none":
        draw_hat(c, hat, 0.19, 0.21)
