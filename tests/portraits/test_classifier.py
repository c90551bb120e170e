"""The shipped classifier reads drawn pictures, is small, and says so when it is missing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ti_core.errors import UserError
from ti_core.portraits.classifier import (
    CLASSIFIER_FILE,
    AttributeClassifier,
    accuracy,
    draw_examples,
    load_classifier,
    read_attributes,
    save_classifier,
    soften,
    to_pixels,
)
from ti_core.portraits.world import ATTRIBUTES

torch.set_num_threads(1)
MAIN = ("hair", "skin", "background", "shirt", "hat", "glasses")
UNSEEN_SEED = 77


def test_the_shipped_classifier_reads_unseen_pictures_sharp_and_soft() -> None:
    pictures, truth = draw_examples(60, UNSEEN_SEED)
    main = {name: truth[name] for name in MAIN}
    sharp = to_pixels(pictures)
    soft = soften(sharp, random.Random(0), torch.Generator().manual_seed(0))
    classifier = load_classifier()
    for shares in (accuracy(classifier, sharp, main), accuracy(classifier, soft, main)):
        assert min(shares.values()) > 0.85, shares


def test_the_shipped_classifier_is_at_most_two_megabytes() -> None:
    assert CLASSIFIER_FILE.stat().st_size <= 2_000_000


def test_reading_takes_pictures_of_any_size_and_gives_one_index_each() -> None:
    pictures, truth = draw_examples(3, UNSEEN_SEED)
    classifier = load_classifier()
    as_arrays = read_attributes(classifier, pictures)
    enlarged = [Image.fromarray(p).resize((256, 256), Image.Resampling.BICUBIC) for p in pictures]
    as_pictures = read_attributes(classifier, enlarged)
    assert set(as_arrays) == {a.name for a in ATTRIBUTES}
    assert as_arrays["shirt"].shape == (3,) and as_arrays["shirt"].dtype == torch.int64
    assert torch.equal(as_arrays["background"], as_pictures["background"])
    assert torch.equal(as_arrays["background"], truth["background"])


def test_examples_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    first, again, other = draw_examples(2, 1)[0], draw_examples(2, 1)[0], draw_examples(2, 2)[0]
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_saved_classifier_answers_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = AttributeClassifier().eval()
    pixels = to_pixels(draw_examples(2, 3)[0])
    loaded = load_classifier(save_classifier(classifier, tmp_path / "classifier.safetensors"))
    for name, logits in classifier(pixels).items():
        assert torch.allclose(loaded(pixels)[name], logits, atol=2e-2)


def test_a_missing_classifier_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m ti_core\.portraits\.classifier"):
        load_classifier(tmp_path / "none.safetensors")
