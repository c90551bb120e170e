"""recipe-slider and recipe-negative, from nothing to a trained word, and refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TINY
from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR, main
from ti_core.data.dataset import scan_dataset
from ti_core.embeddings.formats import load_embedding
from ti_core.settings.word_kind import NEGATIVE, SLIDER, WordKind
from ti_core.workspace import Workspace

FLAGS = ("--ckpt", TINY, "--steps", "1", "--image-every", "0", "--batch-size", "1")
LINES = ("--slider-on", "a photo of a cat", "--slider-more", "wet", "--slider-less", "dry")


def run(workspace: Workspace, *words: str) -> int:
    return main([*words, *FLAGS, "--workspace", str(workspace.root)])


def test_a_slider_is_painted_created_and_trained(workspace: Workspace) -> None:
    assert run(workspace, "recipe-slider", "wet", *LINES, "--count", "3") == EXIT_OK
    found = load_embedding(workspace.embeddings / "wet.pt")
    assert (found.step, found.count, found.kind) == (1, 2, WordKind(SLIDER, "a photo of a cat", "wet", "dry"))
    captions = [example.caption for example in scan_dataset(workspace.datasets / "wet")]
    assert captions == ["a photo of a cat", "a photo of a cat, wet", "a photo of a cat, dry"]


def test_a_negative_word_is_trained_on_pictures_of_ones_own(workspace: Workspace, dataset: Path) -> None:
    assert run(workspace, "recipe-negative", "bad", "--pictures", str(dataset)) == EXIT_OK
    found = load_embedding(workspace.embeddings / "bad.pt")
    assert (found.step, found.kind) == (1, WordKind(NEGATIVE))


@pytest.mark.parametrize("wrong", [("--slider-more", " "), ("--learning-rate", "fast"), ("--count", "0")])
def test_what_is_wrong_is_told_before_anything_is_written(workspace: Workspace, wrong: tuple[str, str]) -> None:
    assert run(workspace, "recipe-slider", "wet", *LINES, *wrong) == EXIT_USER_ERROR
    assert not (workspace.datasets / "wet").exists() and not list(workspace.embeddings.glob("wet*"))
