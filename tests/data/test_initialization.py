"""What the captions suggest to begin with."""

from __future__ import annotations

from pathlib import Path

from ti_core.data.initialization import NO_HINT, initialization_hint, suggest_initialization
from ti_core.workspace import Workspace


def test_the_class_word_comes_first_then_what_most_captions_say() -> None:
    captions = [
        "a photo of a woman, red hair, smiling",
        "woman in a park, red hair",
        "a woman, red hair, blue shirt",
        "two women and a man",
    ]
    assert suggest_initialization(captions) == ["woman", "red hair"]


def test_scenes_that_change_suggest_nothing() -> None:
    assert suggest_initialization(["smiling, red shirt", "sad, blue shirt", "in a park"]) == []
    assert suggest_initialization(["smiling", "sad", "with a cup"]) == [], "of one picture, not of all"


def test_the_hint_names_the_first_folder_that_has_captions(workspace: Workspace, dataset: Path) -> None:
    for path in dataset.glob("*.txt"):
        path.write_text("a man, smiling")
    assert (
        initialization_hint(["nowhere", "datasets/anna"], workspace)
        == "The captions in datasets/anna suggest the Initialization text: man. With more vectors: man, smiling."
    )
    assert initialization_hint(["nowhere"], workspace) == NO_HINT
