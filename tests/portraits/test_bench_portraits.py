"""The measurements' ruler: drawn pictures score nearly all, pictures of other people much less, and prompts state
what is counted.
"""

from __future__ import annotations

import random

import torch

from bench.portraits import (
    SCENE_STATED,
    description,
    identity_share,
    mean_share,
    obedience_share,
    photo_scenes,
    scene_prompts,
    stated_of,
    summary,
)
from ti_core.portraits.classifier import load_classifier
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.pictures import SIZE_PX
from ti_core.portraits.world import draw_person, phrase_for, somebody

torch.set_num_threads(1)


def test_drawn_pictures_score_nearly_all_and_other_peoples_pictures_much_less() -> None:
    rng, scenes = random.Random(0), photo_scenes(30, seed=9)
    people = [draw_person(rng) for _ in scenes]
    pictures = [render_portrait(person, scene) for person, scene in zip(people, scenes, strict=True)]
    shuffled = [*people[1:], people[0]]
    classifier = load_classifier()
    right = mean_share(identity_share(classifier, pictures, people, scenes))
    wrong = mean_share(identity_share(classifier, pictures, shuffled, scenes))
    assert right > 0.85 and wrong < 0.65
    assert mean_share(obedience_share(classifier, pictures, people, scenes)) > 0.85
    assert mean_share(obedience_share(classifier, pictures, people, [*scenes[1:], scenes[0]])) < 0.5


def test_a_scene_prompt_says_what_is_counted_and_nothing_of_the_rest() -> None:
    scenes = photo_scenes(20, seed=1)
    for prompt, scene in zip(scene_prompts("anna", scenes), scenes, strict=True):
        start, *phrases = prompt.split(", ")
        assert start == "a photo of anna"
        assert len(phrases) == len(stated_of(scene)) and stated_of(scene) <= set(SCENE_STATED)
        assert ("hat" in stated_of(scene)) == (scene.hat != "none")
        assert f"{scene.shirt} shirt" in phrases


def test_a_description_states_every_attribute_that_it_claims() -> None:
    rng, scene = random.Random(4), photo_scenes(1, seed=0)[0]
    for _ in range(50):
        person = draw_person(rng)
        text, stated = description(person, rng)
        phrases = text.split(", ")
        assert phrases[0] == somebody(person)
        assert {phrase_for(name, person, scene) for name in stated} - {None} == set(phrases[1:])


def test_the_last_line_holds_the_figures_of_the_parts_that_were_measured() -> None:
    shown = {"identity": 0.5, "scene": 0.75}
    results = {
        "autoencoder": {"psnr_db_mean": 27.185},
        "prompts": {"mean": 0.6543},
        "names": {**shown, "attributes": {}},
        "strangers": {"words": {"identity": 0.25, "scene": 1.0}, "oracle": shown},
    }
    assert summary(results) == {
        "size_px": SIZE_PX,
        "psnr_db": 27.18,
        "prompted": 65.4,
        "known_identity": 50.0,
        "known_scene": 75.0,
        "words_identity": 25.0,
        "oracle_identity": 50.0,
    }
    assert set(summary({"prompts": {"mean": 1.0}})) == {"size_px", "prompted"}
