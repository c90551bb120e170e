"""The drawn pictures that the Portraits model is trained on: which person and scene picture number i shows, and its
pixels.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.world import Caption, Person, Scene, caption, draw_person, draw_scene, known_people

SIZE_PX = 64


@dataclass(frozen=True)
class Picture:
    """What one training picture shows; `name` is the name of the person, if it is one of the known ones."""

    person: Person
    scene: Scene
    name: str | None

    def caption(self, rng: random.Random) -> Caption:
        """A caption for it; those of people with a name use the name."""
        return caption(self.person, self.scene, rng, self.name)


class PictureBook:
    """Pictures by number, each a pure function of (seed, number). Half of them show a known person."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.people = known_people()
        self.names = list(self.people)

    def __getitem__(self, number: int) -> Picture:
        rng = random.Random(f"{self.seed} {number}")
        name = rng.choice(self.names) if rng.random() < 0.5 else None
        person = self.people[name] if name else draw_person(rng)
        return Picture(person, draw_scene(rng), name)

    def render(self, number: int) -> np.ndarray:
        """uint8 [64, 64, 3]"""
        picture = self[number]
        return np.asarray(render_portrait(picture.person, picture.scene, SIZE_PX))


def open_pixels(path: Path, count: int) -> np.memmap:
    """The pixel file, uint8 [count, 64, 64, 3]; made (with zeros) if it is not there or has another size."""
    shape = (count, SIZE_PX, SIZE_PX, 3)
    if not path.exists() or path.stat().st_size != int(np.prod(shape)):
        with path.open("wb") as file:
            file.truncate(int(np.prod(shape)))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def render_missing(book: PictureBook, pixels: np.memmap, numbers: Iterable[int]) -> int:
    """Render those pictures that are still all zero; returns how many that were."""
    made = 0
    for number in numbers:
        if not pixels[number].any():
            pixels[number] = book.render(number)
            made += 1
    pixels.flush()
    return made
