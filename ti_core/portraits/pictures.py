"""The drawn pictures that the Portraits model is trained on: what picture number i shows, what it is called, and
its pixels.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from ti_core.portraits.drawing import render_pet, render_portrait
from ti_core.portraits.world import (
    Caption,
    Person,
    Pet,
    Scene,
    caption,
    draw_person,
    draw_pet,
    draw_scene,
    made_up_names,
    pet_caption,
)

SIZE_PX = 128
NAMED_SHARE, PET_SHARE = 0.4, 0.04
SLOT = made_up_names(1)[0]
"""The name that captions of training pictures use for everybody; the text encoder puts the right person's row in
its place.
"""


@dataclass(frozen=True)
class Picture:
    """What one training picture shows. `named`: its captions use a name instead of a description."""

    sitter: Person | Pet
    scene: Scene
    named: bool
    number: int

    def caption(self, rng: random.Random) -> Caption:
        if isinstance(self.sitter, Pet):
            return pet_caption(self.sitter, self.scene, rng)
        return caption(self.sitter, self.scene, rng, SLOT if self.named else None)

    def render(self) -> np.ndarray:
        """uint8 [128, 128, 3]"""
        draw = render_pet if isinstance(self.sitter, Pet) else render_portrait
        return np.asarray(draw(self.sitter, self.scene, SIZE_PX))  # type: ignore[arg-type]


class PictureBook:
    """Pictures by number, each a pure function of (seed, number), without end. Everybody in it is somebody else."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, number: int) -> Picture:
        rng = random.Random(f"{self.seed} {number}")
        if rng.random() < PET_SHARE:
            return Picture(draw_pet(rng), draw_scene(rng), False, number)
        return Picture(draw_person(rng), draw_scene(rng), rng.random() < NAMED_SHARE, number)

    def render(self, number: int) -> np.ndarray:
        """uint8 [128, 128, 3]"""
        return self[number].render()
