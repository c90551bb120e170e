"""Draws assets/sample_photos/: two people whom the Portraits model has no name for, as photos that a user would have.

`python -m ti_core.portraits.sample_photos [FOLDER]` writes the same files each time.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ti_core.files import save_atomically, save_text
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.world import (
    BY_NAME,
    NAME_COUNT,
    Person,
    Scene,
    draw_person,
    draw_scene,
    known_people,
    made_up_names,
    phrase_for,
)
from ti_core.workspace import SAMPLE_PHOTOS

PHOTOS_EACH = 12
CAPTIONED = ("expression", "shirt", "background", "hat", "pose", "light")
SIZES_PX = (384, 320, 256, 448, 288, 352)
WIDE, TALL, TURNED = (1, 7), (4,), 9
"""Which photos are landscape, portrait, and saved lying on their side with an EXIF tag; every third is a PNG."""


@dataclass(frozen=True)
class Sitter:
    """`seed` is chosen so that nobody whom the model knows looks alike; `names` is how the camera names its files."""

    name: str
    seed: int
    names: str
    first: int


SITTERS = (Sitter("anna", 2198, "IMG_{:04d}", 2041), Sitter("boris", 482, "DSC{:05d}", 117))

PEOPLE = SITTERS


def sitter(of: Sitter) -> Person:
    """The person, checked to be a stranger to the model: by name, and by the look from afar."""
    person = draw_person(random.Random(f"sample photos {of.seed}"))
    assert of.name not in made_up_names(NAME_COUNT), f"the model knows a person called {of.name}"
    assert is_stranger(person), f"the model knows somebody who looks like {of.name}"
    return person


def scenes(of: str) -> list[Scene]:
    """Scenes for a person's name, of style photo, in which shirts, walls and expressions take turns, and a third of
    the people wear a hat.
    """
    rng = random.Random(f"scenes of {of}")
    turns = {name: _in_turn(BY_NAME[name].values, rng) for name in ("expression", "shirt", "background")}
    hats = ["none"] * 8 + ["cap", "beanie", "santa hat", "top hat"]
    rng.shuffle(hats)
    return [
        replace(
            draw_scene(rng, style="photo"),
            hat=hats[i],
            expression=turns["expression"][i],
            shirt=turns["shirt"][i],
            background=turns["background"][i],
        )
        for i in range(PHOTOS_EACH)
    ]


def caption_of(person: Person, scene: Scene) -> str:
    """What a person would write beside the photo: the scene, never what the face looks like, which the new word is
    to learn.
    """
    phrases = (phrase_for(attribute, person, scene) for attribute in CAPTIONED)
    return ", ".join(phrase for phrase in phrases if phrase)


def write_sample_photos(folder: Path) -> list[Path]:
    """Draw and save all photos and captions; returns the photos' paths."""
    written = []
    for who in SITTERS:
        person = sitter(who)
        for number, scene in enumerate(scenes(who.name)):
            stem = who.names.format(who.first + number * 3)
            path = folder / who.name / (stem + (".png" if number % 3 == 2 else ".jpg"))
            photo = _in_frame(render_portrait(person, scene, SIZES_PX[number % len(SIZES_PX)]), number)
            _save_photo(photo, path, turned=number == TURNED)
            save_text(path.with_suffix(".txt"), caption_of(person, scene) + "\n")
            written.append(path)
    return written


def is_stranger(person: Person) -> bool:
    """Whether nobody whom the model knows looks alike from afar."""
    return _look(person) not in {_look(known) for known in known_people().values()}


def _look(person: Person) -> tuple[str, ...]:
    return person.skin, person.hair, person.hairstyle, person.glasses, person.beard


def _in_turn(values: tuple[str, ...], rng: random.Random) -> list[str]:
    """PHOTOS_EACH values, each as often as the others, in random order."""
    turns: list[str] = []
    while len(turns) < PHOTOS_EACH:
        turns += rng.sample(values, len(values))
    return turns[:PHOTOS_EACH]


def _in_frame(portrait: Image.Image, number: int) -> Image.Image:
    """Some photos show more wall beside or above the person; their middle square keeps the whole face."""
    third = portrait.width // 6
    margins = (
        ((0, 0), (third, third)) if number in WIDE else ((third, 0), (0, 0)) if number in TALL else ((0, 0), (0, 0))
    )
    return Image.fromarray(np.pad(np.asarray(portrait), (*margins, (0, 0)), mode="edge"))


def _save_photo(photo: Image.Image, path: Path, turned: bool) -> None:
    """As a camera does: `turned` stores the picture lying on its left side, and a tag that says to turn it
    clockwise.
    """
    exif = Image.Exif()
    if turned:
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    save_atomically(path, lambda part: photo.save(part, format=kind, quality=90, optimize=True, exif=exif))


if __name__ == "__main__":
    for photo_path in write_sample_photos(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE_PHOTOS):
        print(photo_path)
