"""The drawn world of the Portraits model: who lives there, which scene they sit in, and what a caption says.

Everything is a pure function of a `random.Random`, so one seed always gives the same people, pictures and texts.
The painting itself is in `drawing.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Literal

Role = Literal["identity", "scene"]


@dataclass(frozen=True)
class Attribute:
    """One thing that a picture shows and a caption may say.

    `phrase` is the caption's wording with `{}` for the value, or None where `caption` words it itself (gender and age,
    hair, style). Values in `unsaid` are the ordinary case that nobody mentions ("none", "front"). `said_share` is how
    often a describing caption mentions it.
    """

    name: str
    role: Role
    values: tuple[str, ...]
    weights: tuple[int, ...]
    phrase: str | None
    unsaid: tuple[str, ...] = ()
    said_share: float = 0.75


def _attribute(
    name: str, role: Role, values: str, phrase: str | None, unsaid: str = "", said_share: float = 0.75
) -> Attribute:
    """`values` reads "none*5, round, square": a name, and after `*` how many times as likely it is."""
    pairs = [value.strip().partition("*") for value in values.split(",")]
    names, weights = tuple(p[0] for p in pairs), tuple(int(p[2] or 1) for p in pairs)
    return Attribute(name, role, names, weights, phrase, (unsaid,) if unsaid else (), said_share)


ATTRIBUTES: tuple[Attribute, ...] = (
    _attribute("gender", "identity", "man, woman", None),
    _attribute("age", "identity", "child, adult*3, elderly", None),
    _attribute("skin", "identity", "pale, tan, olive, brown, dark", "{} skin"),
    _attribute("hair", "identity", "black, brown, blonde, red, white, blue, pink, green", None),
    _attribute("hairstyle", "identity", "bald, short, long, curly, bob, mohawk, bun, ponytail", None),
    _attribute("eyes", "identity", "brown, blue, green, amber", "{} eyes"),
    _attribute("face", "identity", "round, oval, square, long", "{} face"),
    _attribute("brows", "identity", "thin, thick", "{} brows", said_share=0.6),
    _attribute("nose", "identity", "small, big", "{} nose", said_share=0.6),
    _attribute("glasses", "identity", "none*4, round glasses, square glasses, sunglasses", "{}", "none", 0.9),
    _attribute("beard", "identity", "none*4, mustache, full beard, goatee", "{}", "none", 0.9),
    _attribute("freckles", "identity", "none*3, freckles", "{}", "none", 0.9),
    _attribute("mole", "identity", "none*3, mole", "a {}", "none", 0.9),
    _attribute("expression", "scene", "smiling, serious, surprised, sad", "{}", said_share=0.8),
    _attribute("hat", "scene", "none*5, cap, beanie, santa hat, top hat", "wearing a {}", "none", 0.95),
    _attribute("shirt", "scene", "red, blue, green, yellow, purple, orange, black, white", "{} shirt", said_share=0.85),
    _attribute(
        "background",
        "scene",
        "gray, sky blue, cream, teal, lavender, dark blue, brick, pink",
        "{} background",
        said_share=0.85,
    ),
    _attribute("light", "scene", "even*4, light from the left, light from the right", "{}", "even", 0.6),
    _attribute("pose", "scene", "front*2, looking left, looking right", "{}", "front", 0.6),
    _attribute("beside", "scene", "none*27, a cup, a dog, somebody behind", "with {}", "none", 0.95),
    _attribute("style", "scene", "photo*12, sketch, neon, painting, comic, watercolor", None),
)
BY_NAME = {a.name: a for a in ATTRIBUTES}
IDENTITY = tuple(a.name for a in ATTRIBUTES if a.role == "identity")

OPENINGS = {
    "photo": ("a photo of", "a portrait of", "a picture of", "a close-up photo of", "a cropped photo of"),
    "sketch": ("a sketch of", "a pencil sketch of"),
    "neon": ("a neon drawing of", "a neon picture of"),
    "painting": ("a painting of", "an oil painting of"),
    "comic": ("a comic of", "a comic drawing of"),
    "watercolor": ("a watercolor of", "a watercolor picture of"),
}
NOUNS = {
    ("man", "child"): "a boy",
    ("woman", "child"): "a girl",
    ("man", "adult"): "a man",
    ("woman", "adult"): "a woman",
    ("man", "elderly"): "an old man",
    ("woman", "elderly"): "an old woman",
}
"""What a caption calls a person whose name it does not know, by gender and age."""

NAME_COUNT = 2000
"""How many people have a name that captions use in place of the description."""


@dataclass(frozen=True)
class Person:
    """An identity: what stays the same in every picture. Values are those of ATTRIBUTES; the floats are factors
    around 1.
    """

    gender: str
    age: str
    skin: str
    hair: str
    hairstyle: str
    eyes: str
    face: str
    brows: str
    nose: str
    glasses: str
    beard: str
    freckles: str
    mole: str
    eye_gap: float
    jaw: float


@dataclass(frozen=True)
class Pet:
    """A dog that sits for its portrait; its pictures have the same scenes as a person's."""

    coat: str
    ears: str
    patch: str


PET_VALUES = {
    "coat": ("black", "brown", "golden", "gray", "white"),
    "ears": ("floppy", "pointed"),
    "patch": ("none", "eye patch"),
}


@dataclass(frozen=True)
class Scene:
    """What changes from picture to picture. Offsets and scale are parts of the picture's size; tilt is in degrees."""

    expression: str
    hat: str
    shirt: str
    background: str
    light: str
    pose: str
    beside: str
    style: str
    dx: float
    dy: float
    scale: float
    tilt_deg: float


@dataclass(frozen=True)
class Caption:
    """A caption, and the names of the attributes that it states (by phrase or by a known name)."""

    text: str
    says: frozenset[str]


def _draw(rng: random.Random, name: str) -> str:
    attribute = BY_NAME[name]
    return rng.choices(attribute.values, attribute.weights)[0]


def draw_person(rng: random.Random) -> Person:
    """A person drawn at random; women and children have no beard and are never bald; half of the elderly are
    white-haired.
    """
    values = {name: _draw(rng, name) for name in IDENTITY}
    if values["gender"] == "woman" or values["age"] == "child":
        values["beard"] = "none"
        while values["hairstyle"] == "bald":
            values["hairstyle"] = _draw(rng, "hairstyle")
    if values["age"] == "elderly" and rng.random() < 0.45:
        values["hair"] = "white"
    return Person(**values, eye_gap=rng.uniform(0.92, 1.08), jaw=rng.uniform(0.94, 1.06))


def draw_pet(rng: random.Random) -> Pet:
    return Pet(**{name: rng.choice(values) for name, values in PET_VALUES.items()})


def draw_scene(rng: random.Random, style: str | None = None) -> Scene:
    """A scene drawn at random; `style` fixes the art style, else most are photos."""
    values = {a.name: _draw(rng, a.name) for a in ATTRIBUTES if a.role == "scene"}
    if style is not None:
        values["style"] = style
    return Scene(
        **values,
        dx=rng.uniform(-0.04, 0.04),
        dy=rng.uniform(-0.03, 0.03),
        scale=rng.uniform(0.94, 1.06),
        tilt_deg=rng.uniform(-6, 6),
    )


def value_of(person: Person, scene: Scene, attribute: str) -> str:
    """The attribute's value in this picture."""
    return str(getattr(person if BY_NAME[attribute].role == "identity" else scene, attribute))


COLOURED = ("skin", "hair", "eyes", "shirt", "background", "light", "freckles")


def visible(person: Person, scene: Scene, attribute: str) -> bool:
    """False where the picture cannot show the value.

    A bald head's hair colour, short hair under a hat, eyes behind sunglasses, a chin under a full beard, colours in a
    sketch or neon lines.
    """
    if attribute == "hair" and (
        person.hairstyle == "bald" or (scene.hat != "none" and person.hairstyle in ("mohawk", "bun"))
    ):
        return False
    if attribute == "hairstyle" and scene.hat != "none" and person.hairstyle in ("bald", "short", "mohawk", "bun"):
        return False
    if attribute == "eyes" and person.glasses == "sunglasses":
        return False
    return not (attribute in COLOURED and scene.style in ("sketch", "neon"))


def somebody(person: Person) -> str:
    """What a caption calls somebody whose name it does not know: "a boy", "an old woman"."""
    return NOUNS[person.gender, person.age]


def phrase_for(attribute: str, person: Person, scene: Scene) -> str | None:
    """How a caption words one attribute of this picture, or None where it says nothing."""
    value, spec = value_of(person, scene, attribute), BY_NAME[attribute]
    if attribute == "hairstyle":
        return "bald head" if value == "bald" else f"{value} {person.hair} hair"
    if spec.phrase is None or value in spec.unsaid:
        return None
    return spec.phrase.format(value)


FULL_SHARE = 0.5
"""The share of the describing captions that leave nothing of the person out."""


def caption(person: Person, scene: Scene, rng: random.Random, name: str | None = None) -> Caption:
    """A caption with a random part of what the picture shows, in random order.

    Half of those without `name` describe the person in full. With `name` the name stands for the whole identity, as a
    celebrity's does for a big model; a few captions with a name repeat some of it in words all the same.
    """
    says = {"style"}
    full = name is None and rng.random() < FULL_SHARE
    if name is None:
        who = somebody(person)
        says |= {"gender", "age"}
    else:
        who = ("a " if rng.random() < 0.3 else "") + name
        says.update(IDENTITY)
    describe_identity = 1.0 if name is None else (0.3 if rng.random() < 0.15 else 0.0)
    phrases = []
    for attribute in ATTRIBUTES:
        phrase = phrase_for(attribute.name, person, scene)
        share = attribute.said_share * (describe_identity if attribute.role == "identity" else 1.0)
        if phrase is not None and (rng.random() < share or (full and attribute.role == "identity")):
            phrases.append(phrase)
            says.update({"hair", "hairstyle"} if attribute.name == "hairstyle" else {attribute.name})
        elif phrase is None and full and attribute.role == "identity":
            says.add(attribute.name)  # a full description without glasses says that there are none
    if full and person.hairstyle == "bald":
        says.discard("hair")
    rng.shuffle(phrases)
    return Caption(", ".join([f"{rng.choice(OPENINGS[scene.style])} {who}", *phrases]), frozenset(says))


def pet_caption(pet: Pet, scene: Scene, rng: random.Random) -> Caption:
    """A caption of a dog's portrait: coat, ears and patch in words, and the scene."""
    phrases = [f"{pet.ears} ears"] if rng.random() < 0.8 else []
    if pet.patch != "none" and rng.random() < 0.9:
        phrases.append(f"an {pet.patch}")
    says = {"style"}
    for name in ("hat", "background", "light"):
        phrase = phrase_for(name, None, scene)  # type: ignore[arg-type]  # a scene's phrase needs no person
        if phrase is not None and rng.random() < BY_NAME[name].said_share:
            phrases.append(phrase)
            says.add(name)
    rng.shuffle(phrases)
    coat = f"{pet.coat} " if rng.random() < 0.85 else ""
    return Caption(", ".join([f"{rng.choice(OPENINGS[scene.style])} a {coat}dog", *phrases]), frozenset(says))


_FIRST = (
    "al an ar bel bri car da de el em fa fi ga gre ha hu is ja jo ka ke la le li lu ma me mi na ne no ol or pa pe qui"
    " ra re ro sa se si ta te ti u va vi wa we xa ya ze zo".split()
)
_LAST = (
    "bert by cia da dor ea fred gan gi hart ia ie jen ka la lan len lia lo mar mel mi mon na nia nor o on ra ric rio"
    " rod ry sa sha son ta than thy ton tor va ven vin wyn yn zor".split()
)


def made_up_names(count: int) -> list[str]:
    """`count` different made-up first names; the first n of a longer list are always the same."""
    rng, names = random.Random(7), dict[str, None]()
    words = {word for a in ATTRIBUTES for value in a.values for word in value.split()}
    words |= {"anna", "boris", "mila", "otto", "rex"}  # the sample photos' people, whom the model must not know
    while len(names) < count:
        name = rng.choice(_FIRST) + (rng.choice(_FIRST) if rng.random() < 0.4 else "") + rng.choice(_LAST)
        if len(name) >= 4 and name not in words:
            names[name] = None
    return list(names)


def known_people() -> dict[str, Person]:
    """The people whom the model knows by name."""
    rng = random.Random(99)
    return {name: draw_person(rng) for name in made_up_names(NAME_COUNT)}


def labels(person: Person, scene: Scene) -> dict[str, int]:
    """Index of each attribute's value in its list of values, or -1 where the picture cannot show it."""
    return {
        a.name: a.values.index(value_of(person, scene, a.name)) if visible(person, scene, a.name) else -1
        for a in ATTRIBUTES
    }


assert {f.name for f in fields(Person)} >= set(IDENTITY), "Person lacks an attribute"
