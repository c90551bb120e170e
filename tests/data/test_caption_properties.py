"""What holds for any caption whatever (property tests)."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from ti_core.data.captions import combine_captions, mirrored_caption, words_of_file_name
from ti_core.settings.prompts import build_prompt

CAPTIONS = st.text(max_size=60)
TAGS = st.lists(
    st.text(alphabet=st.characters(categories=("L", "N"), include_characters=" -"), min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool),
    max_size=6,
)


@given(CAPTIONS)
def test_mirroring_twice_gives_the_caption_back(caption: str) -> None:
    assert mirrored_caption(mirrored_caption(caption)).lower() == caption.lower()


@given(TAGS, st.integers(0, 2**32))
def test_shuffling_keeps_every_tag_once(tags: list[str], seed: int) -> None:
    prompt = build_prompt("a photo of a [name], [filewords]", ", ".join(tags), "anna", random.Random(seed), True, 0.0)
    assert sorted(prompt.split(", ")) == sorted(["a photo of a anna", *tags])


@given(TAGS, st.integers(0, 2**32), st.floats(0, 1))
def test_drop_out_leaves_some_of_the_tags_in_their_order_and_never_the_name(
    tags: list[str], seed: int, drop_out: float
) -> None:
    first, *kept = build_prompt(
        "a photo of a [name], [filewords]", ", ".join(tags), "anna", random.Random(seed), False, drop_out
    ).split(", ")
    assert first == "a photo of a anna"
    rest = iter(tags)
    assert all(tag in rest for tag in kept)
    assert drop_out > 0 or kept == tags
    assert drop_out < 1 or not kept


@given(TAGS, st.integers(0, 2**32), st.integers(0, 8))
def test_the_first_tags_stay_and_the_rest_is_shuffled_as_if_they_were_not_there(
    tags: list[str], seed: int, keep: int
) -> None:
    _, *shown = build_prompt(
        "a photo of a [name], [filewords]", ", ".join(tags), "anna", random.Random(seed), True, 0.4, keep
    ).split(", ")
    _, *rest = build_prompt(
        "a photo of a [name], [filewords]", ", ".join(tags[keep:]), "anna", random.Random(seed), True, 0.4
    ).split(", ")
    assert shown == tags[:keep] + rest


@given(CAPTIONS, CAPTIONS)
def test_no_caption_is_lost_by_joining(existing: str, generated: str) -> None:
    old, new = existing.strip(), generated.strip()
    assert combine_captions("ignore", existing, generated) == new
    assert combine_captions("copy", existing, generated) == (old or new)
    for action, order in (("prepend", (old, new)), ("append", (new, old))):
        assert combine_captions(action, existing, generated) == " ".join(part for part in order if part)


@given(st.text(max_size=40))
def test_a_file_name_loses_only_leading_digits_and_dashes_and_the_spaces_after_them(stem: str) -> None:
    words = words_of_file_name(stem)
    assert stem.endswith(words)
    assert re.fullmatch(r"(?:[-\d]+\s*)?", stem.removesuffix(words) if words else stem)
