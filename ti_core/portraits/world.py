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

    `phrase` is the caption's wording with `{}` for the value, or None where `caption` words it itself (gender, hair,
    style). Values in `unsaid` are the ordinary case that nobody mentions ("none", "front"). `said_share` is how often a
    describing caption mentions it.
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
    return Attribute(
        name,
        role,
        tuple(p[0] for p in pairs),
        tuple(int(p[2] or 1) for p in pairs),
        phrase,
        (unsaid,) if unsaid else (),
        said_share,
    )


ATTRIBUTES: tuple[Attribute, ...] = (
    _attribute("gender", "identity", "man, woman", None),
    _attribute("skin", "identity", "pale, tan, olive, brown, dark", "{} skin"),
    _attribute("hair", "identity", "black, brown, blonde, red, white, blue, pink, green", None),
    _attribute("hairstyle", "identity", "bald, short, long, curly, bob, mohawk, bun, ponytail", None),
    _attribute("eyes", "identity", "brown, blue, green, amber", "{} eyes"),
    _attribute("face", "identity", "round, oval, square, long", "{} face"),
    _attribute("brows", "identity", "thin, thick", "{} brows", said_share=0.4),
    _attribute("nose", "identity", "small, big", "{} nose", said_share=0.4),
    _attribute(
        "glasses", "identity", "none*4, round glasses, square glasses, sunglasses", "{}", unsaid="none", said_share=0.9
    ),
    _attribute("beard", "identity", "none*4, mustache, full beard, goatee", "{}", unsaid="none", said_share=0.9),
    _attribute("freckles", "identity", "none*4, freckles", "{}", unsaid="none"),
    _attribute("mole", "identity", "none*4, mole", "a {}", unsaid="none"),
    _attribute("expression", "scene", "smiling, serious, surprised, sad", "{}", said_share=0.8),
    _attribute(
        "hat", "scene", "none*5, cap, beanie, santa hat, top hat", "wearing a {}", unsaid="none", said_share=0.95
    ),
    _attribute("shirt", "scene", "red, blue, green, yellow, purple, orange, black, white", "{} shirt", said_share=0.85),
    _attribute(
        "background",
        "scene",
        "gray, sky blue, cream, teal, lavender, dark blue, brick, pink",
        "{} background",
        said_share=0.85,
    ),
    _attribute(
        "light", "scene", "even*4, light from the left, light from the right", "{}", unsaid="even", said_share=0.5
    ),
    _attribute("pose", "scene", "front*2, looking left, looking right", "{}", unsaid="front", said_share=0.6),
    _attribute("style", "scene", "photo*16, sketch, neon, painting", None),
)
BY_NAME = {a.name: a for a in ATTRIBUTES}

OPENINGS = {
    "photo": ("a photo of", "a portrait of", "a picture of", "a close-up photo of", "a cropped photo of"),
    "sketch": ("a sketch of", "a pencil sketch of"),
    "neon": ("a neon drawing of", "a neon picture of"),
    "painting": ("a painting of", "an oil painting of"),
}

NAME_COUNT = 400
"""How many people have a name that captions use in place of the description."""


@dataclass(frozen=True)
class Person:
    """An identity: what stays the same in every picture. Values are those of ATTRIBUTES; the floats are factors
    around 1.
    """

    gender: str
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
class Scene:
    """What changes from picture to picture. Offsets and scale are parts of the picture's size; tilt is in degrees."""

    expression: str
    hat: str
    shirt: str
    background: str
    light: str
    pose: str
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
    """A person drawn at random; women have no beard and are never bald."""
    values = {a.name: _draw(rng, a.name) for a in ATTRIBUTES if a.role == "identity"}
    if values["gender"] == "woman":
        values["beard"] = "none"
        while values["hairstyle"] == "bald":
            values["hairstyle"] = _draw(rng, "hairstyle")
    return Person(**values, eye_gap=rng.uniform(0.92, 1.08), jaw=rng.uniform(0.94, 1.06))


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


def visible(person: Person, scene: Scene, attribute: str) -> bool:
    """False where the picture cannot show the value: a bald head's hair colour, short hair under a hat, eyes behind
    sunglasses, colours in a sketch.
    """
    if attribute == "hair" and (person.hairstyle == "bald" or (person.hairstyle == "mohawk" and scene.hat != "none")):
        return False
    if attribute == "hairstyle" and scene.hat != "none" and person.hairstyle in ("bald", "short", "mohawk", "bun"):
        return False
    if attribute == "eyes" and person.glasses == "sunglasses":
        return False
    coloured = attribute in ("skin", "hair", "eyes", "shirt", "background", "light", "freckles")
    return not (coloured and scene.style in ("sketch", "neon"))


def phrase_for(attribute: str, person: Person, scene: Scene) -> str | None:
    """How a caption words one attribute of this picture, or None where it says nothing."""
    value, spec = value_of(person, scene, attribute), BY_NAME[attribute]
    if attribute == "hairstyle":
        return "bald head" if value == "bald" else f"{value} {person.hair} hair"
    if spec.phrase is None or value in spec.unsaid:
        return None
    return spec.phrase.format(value)


def caption(person: Person, scene: Scene, rng: random.Random, name: str | None = None) -> Caption:
    """A caption with a random part of what the picture shows, in random order.

    With `name` the name stands for the whole identity, as a celebrity's does for a big model; a few captions with a
    name repeat some of it in words all the same.
    """
    says = {"style"}
    if name is None:
        who = "a " + person.gender
        says.add("gender")
    else:
        who = ("a " if rng.random() < 0.3 else "") + name
        says.update(a.name for a in ATTRIBUTES if a.role == "identity")
    describe_identity = 1.0 if name is None else (0.3 if rng.random() < 0.15 else 0.0)
    phrases = []
    for attribute in ATTRIBUTES:
        phrase = phrase_for(attribute.name, person, scene)
        share = attribute.said_share * (describe_identity if attribute.role == "identity" else 1.0)
        if phrase is not None and rng.random() < share:
            phrases.append(phrase)
            says.update({"hair", "hairstyle"} if attribute.name == "hairstyle" else {attribute.name})
    rng.shuffle(phrases)
    return Caption(", ".join([f"{rng.choice(OPENINGS[scene.style])} {who}", *phrases]), frozenset(says))


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
    while len(names) < count:
        name = rng.choice(_FIRST) + (rng.choice(_FIRST) if rng.random() < 0.4 else "") + rng.choice(_LAST)
        if len(name) >= 4 and name not in words:
            names[name] = None
    return list(names)


def known_people() -> dict[str, Person]:
    """The people whom the model knows by name."""
    rng = random.Random(99)
    return {name: draw_person(rng) for name in made_up_names(NAME_COUNT)}


UNREADABLE = ("gender", "brows")
"""What a picture of this world does not show well enough to be read: gender is a word only, brows are two pixels."""


def somebody(person: Person) -> str:
    """What a caption calls somebody whose name it does not know: "a man"."""
    return f"a {person.gender}"


def labels(person: Person, scene: Scene) -> dict[str, int]:
    """Index of each attribute's value in its list of values, or -1 where the picture cannot show it."""
    return {
        a.name: a.values.index(value_of(person, scene, a.name)) if visible(person, scene, a.name) else -1
        for a in ATTRIBUTES
    }


assert {f.name for f in fields(Person)} >= {a.name for a in ATTRIBUTES if a.role == "identity"}, (
    "Person lacks an attribute"
)
