"""The measures and the outline of one person's head in one scene."""

from __future__ import annotations

import numpy as np

from ti_core.portraits.canvas import Array, Colour, Patch
from ti_core.portraits.palette import FACES, HAIR, SKIN, mix
from ti_core.portraits.world import Person, Scene


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
