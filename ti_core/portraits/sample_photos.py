"""Draws assets/sample_photos/: four people and a dog whom the Portraits model has no name for, as a phone would
save their photos.

`python -m ti_core.portraits.sample_photos [FOLDER]` writes the same files each time.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ExifTags, Image

from ti_core.files import save_atomically, save_text
from ti_core.portraits.drawing import render_pet, render_portrait
from ti_core.portraits.world import BY_NAME, Person, Pet, Scene, draw_scene, known_people, phrase_for

PHOTOS_EACH = 12
CAPTIONED = ("expression", "shirt", "background", "hat", "pose", "light", "beside")
CAPTIONED_OF_PETS = ("background", "hat", "light")
SHAPES_PX = ((1200, 1600), (1080, 1350), (1600, 1200), (900, 1200), (1280, 960), (600, 800), (1024, 1024), (960, 1280))
"""Width and height of the photos, in turn; the small one came by a messenger."""
TURNED = 9
"""The photo that is saved lying on its side, with an EXIF tag that says so."""


@dataclass(frozen=True)
class Sitter:
    """`names` is how the camera names its files, `first` the number of the first of them."""

    name: str
    who: Person | Pet
    names: str
    first: int


SITTERS = (
    Sitter(
        "anna",
        Person(
            "woman",
            "adult",
            "pale",
            "red",
            "curly",
            "green",
            "round",
            "thin",
            "small",
            "round glasses",
            "none",
            "freckles",
            "none",
            1.0,
            1.0,
        ),
        "IMG_{:04d}",
        2041,
    ),
    Sitter(
        "boris",
        Person(
            "man",
            "adult",
            "tan",
            "black",
            "short",
            "brown",
            "square",
            "thick",
            "big",
            "none",
            "full beard",
            "none",
            "mole",
            1.02,
            1.03,
        ),
        "DSC{:05d}",
        117,
    ),
    Sitter(
        "mila",
        Person(
            "woman",
            "child",
            "brown",
            "black",
            "bun",
            "amber",
            "round",
            "thin",
            "small",
            "none",
            "none",
            "none",
            "mole",
            0.98,
            0.99,
        ),
        "PXL_{:04d}",
        512,
    ),
    Sitter(
        "otto",
        Person(
            "man",
            "elderly",
            "pale",
            "white",
            "bald",
            "blue",
            "long",
            "thick",
            "big",
            "square glasses",
            "mustache",
            "none",
            "none",
            1.0,
            1.0,
        ),
        "P{:07d}",
        1010340,
    ),
    Sitter("rex", Pet("golden", "floppy", "eye patch"), "IMG_{:04d}", 7300),
)

PEOPLE = tuple(of for of in SITTERS if isinstance(of.who, Person))


def sitter(of: Sitter) -> Person:
    """The person, checked to be a stranger to the model: by name and by the look. Raises TypeError of a dog."""
    if not isinstance(of.who, Person):
        raise TypeError(f"{of.name} is not a person.")
    assert of.name not in known_people(), f"the model knows a person called {of.name}"
    assert is_stranger(of.who), f"the model knows somebody who looks like {of.name}"
    return of.who


def scenes(of: str) -> list[Scene]:
    """Scenes for a sitter's name, of style photo, in which shirts, walls and expressions take turns and a third
    wear a hat.

    In one of them somebody stands behind, in another there is a cup.
    """
    rng = random.Random(f"scenes of {of}")
    turns = {name: _in_turn(BY_NAME[name].values, rng) for name in ("expression", "shirt", "background")}
    hats = ["none"] * 8 + ["cap", "beanie", "santa hat", "top hat"]
    beside = ["none"] * 10 + ["a cup", "somebody behind"]
    rng.shuffle(hats)
    rng.shuffle(beside)
    return [
        replace(
            draw_scene(rng, style="photo"),
            hat=hats[i],
            beside=beside[i],
            expression=turns["expression"][i],
            shirt=turns["shirt"][i],
            background=turns["background"][i],
        )
        for i in range(PHOTOS_EACH)
    ]


def caption_of(who: Person | Pet, scene: Scene) -> str:
    """What a person would write beside the photo: the scene, never what the face looks like, which the new word is
    to learn.
    """
    person, attributes = (who, CAPTIONED) if isinstance(who, Person) else (SITTERS[0].who, CAPTIONED_OF_PETS)
    phrases = (phrase_for(attribute, person, scene) for attribute in attributes)  # type: ignore[arg-type]
    return ", ".join(phrase for phrase in phrases if phrase)


def photograph(who: Person | Pet, scene: Scene, width_px: int, height_px: int) -> Image.Image:
    """A photo in which the middle square is the portrait, with more of the room beside or above and below it."""
    longer, shorter = max(width_px, height_px), min(width_px, height_px)
    seen = replace(scene, scale=scene.scale * shorter / longer)
    square = render_portrait(who, seen, longer) if isinstance(who, Person) else render_pet(who, seen, longer)
    left, top = (longer - width_px) // 2, (longer - height_px) // 2
    return square.crop((left, top, left + width_px, top + height_px))


def write_sample_photos(folder: Path) -> list[Path]:
    """Draw and save all photos and captions; returns the photos' paths."""
    written = []
    for of in SITTERS:
        for number, scene in enumerate(scenes(of.name)):
            path = folder / of.name / (of.names.format(of.first + number * 3) + ".jpg")
            photo = photograph(of.who, scene, *SHAPES_PX[number % len(SHAPES_PX)])
            _save_photo(photo, path, turned=number == TURNED)
            save_text(path.with_suffix(".txt"), caption_of(of.who, scene) + "\n")
            written.append(path)
    return written


def is_stranger(person: Person) -> bool:
    """Whether nobody whom the model knows looks alike."""
    return _look(person) not in {_look(known) for known in known_people().values()}


def _look(person: Person) -> tuple[str, ...]:
    return (
        person.gender,
        person.age,
        person.skin,
        person.hair,
        person.hairstyle,
        person.eyes,
        person.glasses,
        person.beard,
    )


def _in_turn(values: tuple[str, ...], rng: random.Random) -> list[str]:
    """PHOTOS_EACH values, each as often as the others, in random order."""
    turns: list[str] = []
    while len(turns) < PHOTOS_EACH:
        turns += rng.sample(values, len(values))
    return turns[:PHOTOS_EACH]


def _save_photo(photo: Image.Image, path: Path, turned: bool) -> None:
    """As a phone does: `turned` stores the picture lying on its left side, and a tag that says to turn it clockwise."""
    exif = Image.Exif()
    if turned:
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    save_atomically(path, lambda part: photo.save(part, format="JPEG", quality=82, optimize=True, exif=exif))


if __name__ == "__main__":
    from ti_core.workspace import SAMPLE_PHOTOS

    for photo_path in write_sample_photos(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE_PHOTOS):
        print(photo_path)
