"""The kinds of words in the page, without a browser: what is shown, what is ordered, and which preset suits."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from tests.conftest import TINY
from ti_core.files import save_text
from ti_core.jobs.queue import JobQueue
from ti_core.settings import CreateSettings, PaintDatasetSettings, TrainSettings
from ti_core.settings.word_kind import NEGATIVE, ORDINARY, SLIDER
from ti_core.training.create import create_embedding
from ti_core.training.kind_presets import NEGATIVE_PRESET, SLIDER_PRESET
from ti_core.ui.app_context import AppContext
from ti_core.ui.dataset_strip import example_prompt
from ti_core.ui.page import Page
from ti_core.ui.train_tab import SEEN
from ti_core.workspace import Workspace

SMILE = {"slider_on": "a photo of a person", "slider_more": "smiling", "slider_less": "serious", "slider_keep": ""}


@pytest.fixture
def page(workspace: Workspace) -> Page:
    made = Page(AppContext(workspace, JobQueue(workspace)))
    made.build()
    return made


def paint_bad(workspace: Workspace) -> Path:
    folder = workspace.datasets / "bad-01"
    folder.mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    return folder


def test_each_kind_shows_its_own_fields_and_a_single_vector_becomes_two(page: Page) -> None:
    panel = page.create.kind
    vectors = page.create.form.widgets["vectors"]
    for kind, slider, painting, count in (
        (ORDINARY, False, False, 1),
        (NEGATIVE, False, True, 2),
        (SLIDER, True, True, 2),
    ):
        shown = panel.show("x", kind, 1)
        assert (shown[panel.slider]["visible"], shown[panel.painting]["visible"]) == (slider, painting)
        assert shown[vectors] == count
    assert panel.show("x", SLIDER, 5)[vectors] == 5


def test_a_sliders_hint_is_not_that_of_a_face(page: Page) -> None:
    assert "Leave * to begin with the words of Slider more." in page.create.suggested(SLIDER, "")
    assert "such as woman" in page.create.suggested(ORDINARY, "")


def test_a_caption_draws_nothing_in_the_hint_of_the_create_tab(page: Page, workspace: Workspace) -> None:
    folder = paint_bad(workspace)
    for name in "ab":
        (folder / f"{name}.txt").write_text("![x](/logout), <img src=/logout>")
    shown = page.create.suggested(ORDINARY, "datasets/bad-01")
    assert "&lt;img src=/logout&gt;" in shown and "<img" not in shown
    assert isinstance(page.create.hint, gr.HTML)  # Markdown would draw the other one


def test_painted_pictures_are_marked_as_bad_and_only_those_stay(page: Page, workspace: Workspace) -> None:
    folder, panel = paint_bad(workspace), page.create.kind
    assert panel.bad_pictures("nobody") == "" and panel.bad_pictures("bad-01").count('aria-pressed="true"') == 2
    assert panel.keep({"folder": "datasets/bad-01", "bad": ["a.png"]})["done"]
    assert [path.name for path in folder.glob("*.png")] == ["a.png"]


@pytest.mark.parametrize("asked", [None, {}, {"folder": 1, "bad": []}, {"folder": "datasets/bad-01", "bad": [1]}])
def test_what_no_page_asks_moves_nothing(page: Page, workspace: Workspace, asked: object) -> None:
    folder = paint_bad(workspace)
    assert not page.create.kind.keep(asked)["done"] and len(list(folder.glob("*.png"))) == 2


def test_nothing_is_moved_out_of_the_workspace(page: Page, workspace: Workspace) -> None:
    for name in "ab":
        Image.new("RGB", (8, 8)).save(workspace.root / f"{name}.png")
    for folder in (".", "datasets/.."):
        assert not page.create.kind.keep({"folder": folder, "bad": ["a.png"]})["done"]
    assert (workspace.root / "b.png").exists()


def test_the_painting_of_a_slider_is_ordered_from_its_lines(page: Page) -> None:
    order = page.create.kind._order
    job = order("smile", SLIDER, *SMILE.values(), "", 3, 7, TINY, "Automatic", "Automatic", "Automatic", 1)
    ordered = page.context.jobs.get(job)
    assert ordered is not None and isinstance(ordered.settings, PaintDatasetSettings)
    settings = ordered.settings
    assert settings.destination_directory == "datasets/smile" and not settings.badly
    assert settings.prompt_lines == [f"a photo of a person{end}" for end in ("", ", smiling", ", serious")]
    page.context.jobs.cancel(job)
    page.context.jobs.wait_for(ordered, 60)  # a thread that paints while Python ends aborts it


def test_the_recipes_button_fills_in_what_suits_the_word(page: Page, workspace: Workspace, dataset: Path) -> None:
    for name, kind, preset in (("smile", SLIDER, SLIDER_PRESET), ("bad", NEGATIVE, NEGATIVE_PRESET)):
        create_embedding(CreateSettings.from_dict({"name": name, "kind": kind, "checkpoint": TINY, **SMILE}), workspace)
        assert page.train.labelled(TINY, name)["value"] == f"Use {preset}"
        filled = page.train.fill_recipe("datasets/anna", name, TINY)
        assert filled[page.train.preset] == preset
        widgets = page.train.form.widgets
        values = {each: filled[widgets[each]] for each in ("kind", "learning_rate", "slider_on", "norm_control")}
        assert (values["kind"], values["slider_on"]) == ("as created", "")
        assert not TrainSettings.from_dict({**values, "embedding": name, "dataset_directory": "x"}).problems()


def test_the_example_is_what_a_word_of_that_kind_is_trained_with(workspace: Workspace, dataset: Path) -> None:
    """The template, which says "style of" or the like, is not used for other kinds."""
    for name, kind in (("smile", SLIDER), ("bad", NEGATIVE), ("anna", ORDINARY)):
        create_embedding(CreateSettings.from_dict({"name": name, "kind": kind, "checkpoint": TINY, **SMILE}), workspace)
    save_text(workspace.templates / "mine.txt", "the style of [name]")

    def example(name: str, **more: str) -> str:
        values = {"embedding": name, "dataset_directory": "datasets/anna", "template_file": "mine.txt", **more}
        return example_prompt(workspace, TrainSettings.from_dict(values))

    assert "<q>a photo of a person, smile</q>" in example("smile")
    assert example("bad") == ""
    assert "<q>the style of anna</q>" in example("anna")
    assert "<q>a dog, anna</q>" in example("anna", kind=SLIDER, slider_on="a dog")
    assert example("anna", kind=SLIDER) == ""


def test_what_is_typed_for_a_slider_changes_the_example_at_once(
    page: Page, workspace: Workspace, dataset: Path
) -> None:
    typed = {**TrainSettings.defaults(), "embedding": "anna", "kind": SLIDER, "slider_on": "a dog"}
    shown = page.train.look(*(typed[name] for name in SEEN))
    assert "<q>a dog, anna</q>" in shown[page.train.example]
