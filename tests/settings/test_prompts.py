"""Templates and the prompts made of them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from ti_core.errors import UserError
from ti_core.settings.prompts import (
    RECIPE_TEMPLATE_LINE,
    RECIPE_TEMPLATE_NAME,
    build_prompt,
    ensure_recipe_template,
    find_template,
    list_templates,
    load_template,
    split_at_names,
)
from ti_core.workspace import SHIPPED_TEMPLATES, Workspace

TAGS = "smiling, red shirt,blue wall ,  cap"


def prompt(
    line: str = RECIPE_TEMPLATE_LINE, caption: str = TAGS, seed: int = 0, shuffle: bool = False, drop_out: float = 0.0
) -> str:
    return build_prompt(line, caption, "anna", random.Random(seed), shuffle, drop_out)


def template(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "mine.txt"
    path.write_text(text, encoding=encoding)
    return path


def test_the_recipe_line_is_filled_in_with_trimmed_tags() -> None:
    assert prompt() == "a photo of a anna, smiling, red shirt, blue wall, cap"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (RECIPE_TEMPLATE_LINE, "a photo of a anna"),
        ("[filewords], in the style of [name]", "in the style of anna"),
        ("[name], [filewords], sharp", "anna, sharp"),
        ("a photo of [name] [filewords] outside", "a photo of anna outside"),
        ("a photo of [name]", "a photo of anna"),
    ],
)
@pytest.mark.parametrize(("caption", "drop_out"), [("", 0.0), (" , ,", 0.0), (TAGS, 1.0)])
def test_without_tags_no_comma_dangles(line: str, expected: str, caption: str, drop_out: float) -> None:
    assert prompt(line, caption, drop_out=drop_out) == expected


def test_filewords_are_replaced_before_the_name_so_that_captions_may_contain_it() -> None:
    assert prompt("[filewords]", "[name] smiling, hat") == "anna smiling, hat"


def test_shuffling_changes_the_order_only_and_is_a_function_of_the_generator() -> None:
    prompts = {prompt(seed=seed, shuffle=True) for seed in range(40)}
    assert len(prompts) > 10
    assert {tuple(sorted(p.split(", ")[1:])) for p in prompts} == {("blue wall", "cap", "red shirt", "smiling")}
    assert all(p.startswith("a photo of a anna, ") for p in prompts)
    assert prompt(seed=3, shuffle=True, drop_out=0.5) == prompt(seed=3, shuffle=True, drop_out=0.5)


def test_each_tag_is_dropped_with_the_asked_chance_and_the_order_stays() -> None:
    kept = Counter[str]()
    for seed in range(1000):
        tags = prompt(seed=seed, drop_out=0.1).split(", ")[1:]
        assert tags == [tag for tag in ("smiling", "red shirt", "blue wall", "cap") if tag in tags]
        kept.update(tags)
    assert len(kept) == 4 and all(860 < count < 940 for count in kept.values())


def test_a_sentence_without_commas_is_one_tag() -> None:
    assert {prompt(caption="a man in a park", seed=seed, drop_out=0.5) for seed in range(20)} == {
        "a photo of a anna, a man in a park",
        "a photo of a anna",
    }


def test_a_template_is_read_without_bom_and_blank_lines(tmp_path: Path) -> None:
    path = template(tmp_path, "\r\n  a photo of [name]  \r\n\r\n[name], [filewords]\n\n", "utf-8-sig")
    assert load_template(path) == ["a photo of [name]", "[name], [filewords]"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'mine.txt' is empty"),
        (" \n\n", "'mine.txt' is empty"),
        ("a photo, [filewords]\nname\n", r"'mine.txt' has no line with \[name\]"),
    ],
)
def test_a_template_that_cannot_teach_the_word_is_refused_with_an_example(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_template(template(tmp_path, text))
    assert "Write a line with [name]" in error.value.hint


def test_a_template_in_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'mine.txt' is not UTF-8"):
        load_template(template(tmp_path, "[name] på", "latin-1"))


def test_the_own_template_wins_over_the_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert find_template("style.txt", workspace) == SHIPPED_TEMPLATES / "style.txt"
    workspace.templates.mkdir(parents=True)
    (workspace.templates / "style.txt").write_text("[name]")
    (workspace.templates / "mine.txt").write_text("[name]")
    assert find_template("style.txt", workspace) == workspace.templates / "style.txt"
    shipped = {path.name for path in SHIPPED_TEMPLATES.glob("*.txt")}
    assert list_templates(workspace) == sorted({*shipped, "mine.txt"})


def test_names_are_found_as_whole_words_in_any_case_and_the_longest_wins() -> None:
    assert split_at_names("Anna-01 and anna, susanna", ["anna", "anna-01"]) == [
        ("", ""),
        ("anna-01", "Anna-01"),
        ("", " and "),
        ("anna", "anna"),
        ("", ", susanna"),
    ]
    assert split_at_names("\u0130rem, \u0131rem", ["irem"]) == [
        ("", ""),
        ("irem", "\u0130rem"),
        ("", ", "),
        ("irem", "\u0131rem"),
        ("", ""),
    ]
    assert split_at_names("a+b (c), A+B", ["a+b", "b (c"]) == [
        ("", ""),
        ("a+b", "a+b"),
        ("", " (c), "),
        ("a+b", "A+B"),
        ("", ""),
    ]
    assert [name for name, _ in split_at_names("anna, Anna, ANNA", ["anna", "Anna"]) if name] == [
        "anna",
        "Anna",
        "anna",
    ]
    assert split_at_names(r"a \(bad_prompt\(v2\)\)", ["bad_prompt(v2)"]) == [
        ("", "a ("),
        ("bad_prompt(v2)", "bad_prompt(v2)"),
        ("", ")"),
    ]
    assert split_at_names("x", []) == split_at_names("x", [""]) == [("", "x")]


@pytest.mark.parametrize("name", ["stile.txt", "", "../templates/style.txt", "/etc/passwd", "."])
def test_an_unknown_template_is_refused_with_the_list_of_those_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not there") as error:
        find_template(name, Workspace(tmp_path))
    assert "subject_filewords.txt" in error.value.hint


def test_every_shipped_template_trains_the_name_in_each_line() -> None:
    files = sorted(SHIPPED_TEMPLATES.glob("*.txt"))
    assert len(files) == 7
    for path in files:
        lines = load_template(path)
        assert all("[name]" in line for line in lines), path.name
        assert all(
            ("[filewords]" in line) == ("filewords" in path.name or path.name == "hypernetwork.txt") for line in lines
        ), path.name
        assert len(set(lines)) == len(lines)


def test_the_recipe_template_is_written_only_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "work")
    assert ensure_recipe_template(workspace) == RECIPE_TEMPLATE_NAME
    assert not (workspace.templates / RECIPE_TEMPLATE_NAME).exists(), "the shipped one serves"
    monkeypatch.setattr("ti_core.workspace.SHIPPED_TEMPLATES", tmp_path / "none")
    ensure_recipe_template(workspace)
    assert load_template(find_template(RECIPE_TEMPLATE_NAME, workspace)) == [RECIPE_TEMPLATE_LINE]
    (workspace.templates / RECIPE_TEMPLATE_NAME).write_text("my own [name]")
    ensure_recipe_template(workspace)
    assert load_template(find_template(RECIPE_TEMPLATE_NAME, workspace)) == ["my own [name]"]
