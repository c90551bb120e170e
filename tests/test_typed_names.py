import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ti_core.embeddings.names import describe_new_name, free_name, similar_name
from ti_core.errors import UserError
from ti_core.typed_names import typed_name
from ti_core.workspace import Workspace, clean_name


@given(st.text(max_size=400))
def test_a_name_is_used_as_it_was_typed_or_refused_with_a_sentence(text: str) -> None:
    try:
        assert typed_name(text) == unicodedata.normalize("NFC", text).strip()
    except UserError as error:
        assert str(error).startswith("Name ") and len(str(error)) < 600


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("an<na", "Name 'an<na' holds <, which a name of a file cannot have. Write anna, or another name."),
        ("a/b", "holds /, which"),
        ("anna\u200b", "a sign that cannot be seen (U+200B)"),
        ("q\u0335x", "an accent on its own (U+0335)"),
        ("a" * 300, "has 300 letters, and 100 are the most"),
        ("\u4e2d" * 90, "is too long"),
        (".anna", "begins or ends with a dot"),
        ("con", "is reserved by Windows"),
        ("  ", "Name is empty"),
        ("///", "has no letter or digit"),
    ],
)
def test_what_cannot_be_a_name_gets_a_sentence(typed: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        typed_name(typed)
    assert told in str(error.value)


def test_a_letter_with_its_accent_typed_as_two_signs_is_one() -> None:
    assert typed_name("Zoe\u0301") == clean_name("Zoe\u0301") == "Zo\u00e9"


def test_what_will_be_used_is_told_while_typing(workspace: Workspace) -> None:
    workspace.embeddings.mkdir(parents=True)
    (workspace.embeddings / "anna.pt").write_bytes(b"x")
    assert describe_new_name(" emma ", workspace) == "It will be saved as emma. Write emma in prompts."
    assert describe_new_name("", workspace) == ""
    assert "holds <" in describe_new_name("<emma>", workspace)
    assert describe_new_name("Anna", workspace) == "There is an embedding called 'anna' already."
    assert "in the place of the old one" in describe_new_name("anna", workspace, overwrite=True)


def test_a_free_name_has_the_first_number_that_nothing_has(workspace: Workspace) -> None:
    assert free_name("anna", workspace) == "anna"
    (workspace.datasets / "anna").mkdir(parents=True)
    assert free_name("anna", workspace) == "anna-2"
    assert free_name("anna", workspace, taken=["Anna-2"]) == "anna-3"


def test_a_similar_name_is_found() -> None:
    assert similar_name("Ana", ["anna", "berta"]) == "anna" and similar_name("x", ["anna"]) == ""
