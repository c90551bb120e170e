"""The colours of the drawn world, and the proportions of its faces."""

from __future__ import annotations

from ti_core.portraits.canvas import Colour

SKIN: dict[str, Colour] = {
    "pale": (255, 226, 208),
    "tan": (228, 172, 124),
    "olive": (188, 156, 96),
    "brown": (144, 90, 58),
    "dark": (86, 54, 42),
}
HAIR: dict[str, Colour] = {
    "black": (34, 30, 34),
    "brown": (104, 64, 36),
    "blonde": (236, 200, 104),
    "red": (196, 68, 28),
    "white": (232, 232, 238),
    "blue": (52, 98, 214),
    "pink": (240, 116, 182),
    "green": (60, 162, 82),
}
EYES: dict[str, Colour] = {
    "brown": (104, 60, 30),
    "blue": (54, 122, 228),
    "green": (52, 164, 86),
    "amber": (232, 152, 30),
}
SHIRT: dict[str, Colour] = {
    "red": (204, 38, 42),
    "blue": (42, 74, 204),
    "green": (38, 152, 68),
    "yellow": (240, 210, 48),
    "purple": (130, 54, 172),
    "orange": (240, 130, 28),
    "black": (34, 34, 40),
    "white": (236, 236, 240),
}
BACKGROUND: dict[str, Colour] = {
    "gray": (150, 150, 154),
    "sky blue": (140, 194, 240),
    "cream": (244, 232, 202),
    "teal": (34, 138, 138),
    "lavender": (198, 176, 236),
    "dark blue": (28, 38, 92),
    "brick": (166, 80, 60),
    "pink": (244, 168, 194),
}
FACES = {
    "round": (0.205, 0.205, 2, 0.0),
    "oval": (0.178, 0.236, 2, 0.12),
    "square": (0.186, 0.208, 4, 0.0),
    "long": (0.152, 0.256, 2, 0.05),
}
"""Half width and half height in heads, the power of its outline, and how much it narrows to the chin."""
WHITE: Colour = (250, 250, 250)
INK: Colour = (20, 18, 24)


def scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = (max(0.0, min(255.0, value * factor)) for value in colour)
    return r, g, b


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour."""
    r, g, b = (a + (z - a) * share for a, z in zip(one, other, strict=True))
    return r, g, b
