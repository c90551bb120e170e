"""The drawn world: the same from the same seed, captions that tell the truth, pictures that show every attribute."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.pictures import SLOT, PictureBook
from ti_core.portraits.world import (
    ATTRIBUTES,
    BY_NAME,
    NAME_COUNT,
    OPENINGS,
    Person,
    Pet,
    Scene,
    caption,
    draw_person,
    draw_scene,
    known_people,
    labels,
    made_up_names,
    phrase_for,
    somebody,
    value_of,
    visible,
)

PLAIN = Person(
    "man",
    "adult",
    "tan",
    "brown",
    "short",
    "blue",
    "oval",
    "thin",
    "small",
    "none",
    "none",
    "none",
    "none",
    eye_gap=1.0,
    jaw=1.0,
)
SCENE = Scene(
    "serious", "none", "red", "teal", "even", "front", "none", "photo", dx=0.0, dy=0.0, scale=1.0, tilt_deg=0.0
)


def pixels(person: Person, scene: Scene) -> np.ndarray:
    return np.asarray(render_portrait(person, scene, 128), int)


def with_value(attribute: str, value: str) -> tuple[Person, Scene]:
    if BY_NAME[attribute].role == "identity":
        return replace(PLAIN, **{attribute: value}), SCENE
    return PLAIN, replace(SCENE, **{attribute: value})


def test_one_seed_gives_one_world() -> None:
    def world(seed: int) -> list[object]:
        rng = random.Random(seed)
        person, scene = draw_person(rng), draw_scene(rng)
        return [person, scene, caption(person, scene, rng)]

    assert world(4) == world(4)
    assert world(4) != world(5)
    assert PictureBook(3)[17] == PictureBook(3)[17]
    assert np.array_equal(PictureBook(3).render(17), PictureBook(3).render(17))


def test_a_caption_says_every_phrase_of_what_it_claims_and_nothing_false() -> None:
    rng = random.Random(1)
    for _ in range(300):
        person, scene = draw_person(rng), draw_scene(rng)
        said = caption(person, scene, rng)
        start, *phrases = said.text.split(", ")
        true_phrases = {phrase_for(a.name, person, scene) for a in ATTRIBUTES} - {None}
        assert set(phrases) <= true_phrases
        claimed = {phrase_for(name, person, scene) for name in said.says} - {None}
        assert claimed == set(phrases)
        assert any(start == f"{opening} {somebody(person)}" for opening in OPENINGS[scene.style])


def test_a_name_stands_for_the_whole_identity() -> None:
    name, person = next(iter(known_people().items()))
    rng = random.Random(2)
    for _ in range(50):
        said = caption(person, draw_scene(rng), rng, name)
        assert name in said.text
        assert said.says >= {a.name for a in ATTRIBUTES if a.role == "identity"}


def test_every_known_name_is_one_person_and_no_word_of_the_captions() -> None:
    people = known_people()
    assert len(people) == NAME_COUNT == len(set(people.values()))
    assert people == known_people()
    assert list(people)[:40] == made_up_names(40)
    words = {word for a in ATTRIBUTES for value in a.values for word in value.split()} | {
        "man",
        "woman",
        "photo",
        "wearing",
        "shirt",
    }
    assert not words & set(people)


def test_women_and_children_have_no_beard_and_are_never_bald() -> None:
    rng = random.Random(3)
    smooth = [p for p in (draw_person(rng) for _ in range(400)) if p.gender == "woman" or p.age == "child"]
    assert len(smooth) > 100
    assert all(p.beard == "none" and p.hairstyle != "bald" for p in smooth)


def test_a_full_description_says_all_of_the_person_and_also_what_is_absent() -> None:
    rng, full = random.Random(6), 0
    for _ in range(100):
        person, scene = draw_person(rng), draw_scene(rng)
        said = caption(person, scene, rng)
        identity = {a.name for a in ATTRIBUTES if a.role == "identity"} - (
            {"hair"} if person.hairstyle == "bald" else set()
        )
        full += identity <= said.says
    assert 35 < full < 80


def test_a_tenth_of_the_pictures_show_something_beside_the_person() -> None:
    rng = random.Random(8)
    scenes = [draw_scene(rng) for _ in range(1000)]
    assert 60 < sum(scene.beside != "none" for scene in scenes) < 140


def test_the_book_holds_dogs_and_named_people_and_draws_each_the_same_twice() -> None:
    book = PictureBook(1)
    pictures = [book[i] for i in range(300)]
    dogs = [p for p in pictures if isinstance(p.sitter, Pet)]
    assert 3 < len(dogs) < 30 and 80 < sum(p.named for p in pictures) < 160
    rng = random.Random(0)
    assert all("dog" in p.caption(rng).text for p in dogs)
    assert all(SLOT in p.caption(rng).text for p in pictures if p.named)
    assert dogs[0].render().shape == (128, 128, 3) and np.array_equal(dogs[0].render(), book[dogs[0].number].render())


@pytest.mark.parametrize(
    ("person", "scene", "hidden"),
    [
        (replace(PLAIN, hairstyle="bald"), SCENE, {"hair"}),
        (PLAIN, replace(SCENE, hat="cap"), {"hairstyle"}),
        (replace(PLAIN, hairstyle="bun"), replace(SCENE, hat="cap"), {"hair", "hairstyle"}),
        (replace(PLAIN, hairstyle="mohawk"), replace(SCENE, hat="beanie"), {"hair", "hairstyle"}),
        (replace(PLAIN, hairstyle="long"), replace(SCENE, hat="top hat"), set()),
        (replace(PLAIN, glasses="sunglasses"), SCENE, {"eyes"}),
        (PLAIN, replace(SCENE, style="painting"), set()),
        (PLAIN, replace(SCENE, style="sketch"), {"skin", "hair", "eyes", "shirt", "background", "light", "freckles"}),
        (PLAIN, SCENE, set()),
    ],
)
def test_labels_are_minus_one_exactly_where_the_picture_cannot_show_the_value(
    person: Person, scene: Scene, hidden: set[str]
) -> None:
    found = labels(person, scene)
    assert {name for name, value in found.items() if value == -1} == hidden
    for name, value in found.items():
        assert visible(person, scene, name) == (name not in hidden)
        assert value == -1 or BY_NAME[name].values[value] == value_of(person, scene, name)


@pytest.mark.parametrize("attribute", [a.name for a in ATTRIBUTES])
def test_every_value_of_an_attribute_looks_different(attribute: str) -> None:
    pictures = [pixels(*with_value(attribute, value)) for value in BY_NAME[attribute].values]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).max() > 24


@pytest.mark.parametrize("field", ["eye_gap", "jaw", "dx", "dy", "scale", "tilt_deg"])
def test_every_small_variation_moves_something(field: str) -> None:
    if hasattr(PLAIN, field):
        assert np.abs(pixels(replace(PLAIN, **{field: 1.06}), SCENE) - pixels(PLAIN, SCENE)).max() > 8
    else:
        assert (
            np.abs(pixels(PLAIN, replace(SCENE, **{field: getattr(SCENE, field) + 0.05})) - pixels(PLAIN, SCENE)).max()
            > 0
        )


def test_a_picture_has_the_size_asked_for_and_is_the_same_twice() -> None:
    assert render_portrait(PLAIN, SCENE, 96).size == (96, 96)
    assert np.array_equal(pixels(PLAIN, SCENE), pixels(PLAIN, SCENE))
