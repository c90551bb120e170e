"""A1111's emphasis: what each bracket weighs, and what stays text."""

from __future__ import annotations

import time

import pytest

from ti_core.settings.emphasis import LARGEST, emphasis_texts, escaped, parse_emphasis, read_otherwise
from ti_core.settings.prompts import split_at_names


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a photo of anna, smiling", [("a photo of anna, smiling", 1)]),
        ("", [("", 1)]),
        ("a (red) shirt", [("a ", 1), ("red", 1.1), (" shirt", 1)]),
        ("a ((red)) shirt", [("a ", 1), ("red", 1.21), (" shirt", 1)]),
        ("a (red:1.3) shirt", [("a ", 1), ("red", 1.3), (" shirt", 1)]),
        ("(red: 0.5 ),", [("red", 0.5), (",", 1)]),
        ("a [red] shirt", [("a ", 1), ("red", 1 / 1.1), (" shirt", 1)]),
        ("(a (red:2) shirt:1.5)", [("a ", 1.5), ("red", 3), (" shirt", 1.5)]),
        ("[(red)]", [("red", 1)]),
        (r"saber \(fate\), (red)", [(r"saber \(fate\), ", 1), ("red", 1.1)]),
        ("a) red:1.2) [", [("a) red:1.2) ", 1)]),
        ("a (red shirt", [("a ", 1), ("red shirt", 1.1)]),
        ("at 12:30, b", [("at 12:30, b", 1)]),
        ("(red:1.2.3)", [("red:1.2.3", 1.1)]),
        ("(red)(blue) (c)", [("redblue", 1.1), (" ", 1), ("c", 1.1)]),
        ("(red:-1)", [("red", -1)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1), (" c", 1 / 1.1)]),
        ("()", [("", 1)]),
        ("(red:99999)", [("red", LARGEST)]),
        ("(" * 9000 + "red", [("red", LARGEST)]),
    ],
)
def test_brackets_weigh_as_in_a1111(prompt: str, pieces: list[tuple[str, float]]) -> None:
    found = parse_emphasis(prompt)
    assert [text for text, _ in found] == [text for text, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])


@pytest.mark.parametrize(
    "prompt", ["(a" * 30_000, "(a:" + "1" * 90_000, ":" * 90_000, "[|" * 30_000, "<lora:" * 15_000]
)
def test_a_prompt_made_to_take_long_is_read_at_once(prompt: str) -> None:
    began = time.process_time()
    parse_emphasis(prompt)
    read_otherwise(prompt)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["saber (fate)", r"saber \(fate\)", "[a] (b:1.2)", "no brackets", "a(b"])
def test_escaped_text_is_read_as_the_same_plain_text(text: str) -> None:
    assert parse_emphasis(escaped(text)) == [(escaped(text), 1.0)]
    assert split_at_names(escaped(text), []) == split_at_names(text, [])


def test_names_are_looked_for_piece_by_piece() -> None:
    assert emphasis_texts(["a (anna:1.2)", "berta"]) == ["a ", "anna", "berta"]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a (red:1.2) [shirt], anna", []),
        ("<lora:film:0.8> anna", ["<lora:film:0.8>"]),
        ("a [cat:dog:0.5]", ["[cat:dog:0.5]"]),
        ("a [hat:10]", ["[hat:10]"]),
        ("a [cat|dog]", ["[cat|dog]"]),
        ("a cat AND a dog", ["AND"]),
        ("sand and BRANDY", []),
    ],
)
def test_what_a1111_reads_otherwise_is_told(prompt: str, told: list[str]) -> None:
    assert [sentence.split("'")[1] for sentence in read_otherwise(prompt)] == told
