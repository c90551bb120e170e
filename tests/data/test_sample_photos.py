"""The photos that ship with the project are what the face recipe needs, and what people really have."""

from __future__ import annotations

import pytest
from PIL import ExifTags, Image

from ti_core.data.dataset import count_originals, scan_dataset
from ti_core.data.images import find_images
from ti_core.events import Event, Notice
from ti_core.portraits.sample_photos import PEOPLE, PHOTOS_EACH, SITTERS, Sitter, caption_of, scenes, sitter
from ti_core.portraits.world import ATTRIBUTES
from ti_core.workspace import SAMPLE_PHOTOS

each_sitter = pytest.mark.parametrize("who", SITTERS, ids=lambda who: who.name)


@each_sitter
def test_there_are_twelve_readable_captioned_photos_of_each_person(who: Sitter) -> None:
    events: list[Event] = []
    examples = scan_dataset(SAMPLE_PHOTOS / who.name, events.append)
    assert len(examples) == count_originals(example.path for example in examples) == PHOTOS_EACH
    assert not [event for event in events if isinstance(event, Notice)]
    expected = [caption_of(who.who, scene) for scene in scenes(who.name)]
    assert [example.caption for example in examples] == expected, "run python -m ti_core.portraits.sample_photos again"


@each_sitter
def test_the_photos_are_mixed_as_those_of_a_user(who: Sitter) -> None:
    kinds, shapes, turned = set(), set(), 0
    for path in find_images(SAMPLE_PHOTOS / who.name):
        with Image.open(path) as image:
            kinds.add(image.format)
            shapes.add((image.width > image.height) - (image.width < image.height))
            turned += image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            assert min(image.size) >= 600 and max(image.size) <= 1600
    assert (kinds, shapes, turned) == ({"JPEG"}, {-1, 0, 1}, 1)


@each_sitter
def test_captions_tell_the_scene_and_never_the_face(who: Sitter) -> None:
    face = {
        a.phrase.format(value)
        for a in ATTRIBUTES
        if a.role == "identity" and a.phrase
        for value in a.values
        if value not in a.unsaid
    }
    face |= {who.name, "man", "woman", "child", "elderly", "bald head", "dog"}
    for example in scan_dataset(SAMPLE_PHOTOS / who.name):
        tags = example.caption.split(", ")
        assert tags[0] and not face & set(tags) and "hair" not in example.caption


def test_the_people_are_strangers_to_the_model_and_the_first_two_differ_in_all_that_is_seen_from_afar() -> None:
    anna, boris, mila, otto = map(sitter, PEOPLE)
    assert (mila.age, otto.age) == ("child", "elderly")
    assert all(
        getattr(anna, name) != getattr(boris, name)
        for name in ("gender", "skin", "hair", "hairstyle", "eyes", "face", "glasses", "beard")
    )
    with pytest.raises(TypeError, match="rex is not a person"):
        sitter(SITTERS[-1])
