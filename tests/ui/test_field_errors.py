"""In a real browser: errors stand at their fields, once, and the first has the focus; numbers are taken as typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.journey import choose_tab, fill, open_chromium, open_page, running_app, value_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    (root / "datasets" / "anna").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder) as (url, _), open_chromium() as browser:
        yield open_page(browser, url, viewport={"width": 1400, "height": 900})


def errors(page: Page, field: str):  # type: ignore[no-untyped-def]
    return page.locator(f"#{field} .field-error")


def has_focus(page: Page, field: str) -> None:
    page.wait_for_function("id => document.activeElement?.closest(`#${id}`)", arg=field)


def test_each_error_stands_at_its_field_and_the_first_has_the_focus(page: Page) -> None:
    choose_tab(page, "Train")
    fill(page, "train_learning_rate", "0,005")
    fill(page, "train_steps", "")
    fold = page.get_by_role("button", name="Seed, loss table and previews")
    fold.click()
    fill(page, "train_seed", "")
    fold.click()
    expect(page.locator("#train_seed")).to_be_hidden()
    page.get_by_role("button", name="Train Embedding").click()

    expect(errors(page, "train_learning_rate")).to_contain_text("Write a point, not a comma: 0.005")
    expect(errors(page, "train_steps")).to_have_text("Max steps is empty. Write a whole number of 1 or more.")
    expect(errors(page, "train_seed")).to_be_visible()  # its fold was opened
    expect(page.get_by_text("Max steps is empty", exact=False)).to_have_count(1)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    box = page.locator("#train_steps input")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_attribute("aria-describedby", "train_steps_error")
    has_focus(page, "train_embedding")
    links = page.locator("#train_message .error-link")
    expect(links).to_have_text(["Embedding", "Dataset directory", "Embedding Learning rate", "Max steps", "Seed"])
    links.last.click()
    has_focus(page, "train_seed")
    expect(page.locator("#train_seed")).to_be_in_viewport()

    fill(page, "train_steps", 5)
    expect(errors(page, "train_steps")).to_have_count(0)
    expect(box).not_to_have_attribute("aria-invalid", "true")
    expect(links).to_have_count(4)


def test_links_are_drawn_where_a_bar_wants_them(page: Page) -> None:
    choose_tab(page, "Train")
    page.evaluate("() => document.body.append(Object.assign(document.createElement('div'), {id: 'bar'}))")
    page.evaluate("() => window.fieldErrors.linksInto('bar', 'train')")
    page.get_by_role("button", name="Train Embedding").click()
    expect(page.locator("#bar .error-link").first).to_have_text("Embedding")
    expect(page.locator("#train_message .error-link")).to_have_count(0)
    page.evaluate("() => document.querySelector('#bar').remove()")


@pytest.mark.parametrize(
    ("tab", "button", "typed", "field", "part"),
    [
        ("Create embedding", "Create embedding", {"create_name": "an<na"}, "create_name", "holds <"),
        ("Create embedding", "Create embedding", {"create_name": "a" * 300}, "create_name", "300 letters"),
        (
            "Preprocess images",
            "Preprocess",
            {"preprocess_source_directory": "datasets/ana", "preprocess_destination_directory": "datasets/out"},
            "preprocess_source_directory",
            "Did you mean 'datasets/anna'?",
        ),
        ("Templates", "Save template", {"templates_name": ""}, "templates_name", "Template name is empty"),
        ("txt2img", "Generate", {"txt2img_prompt": ""}, "txt2img_prompt", "Prompt is empty"),
        ("Compare", "Compare", {"compare_seeds": "x"}, "compare_seeds", "Seeds are 'x'"),
        ("Captions", "Open", {"captions_folder": "datasets/berta"}, "captions_folder", "does not exist"),
    ],
)
def test_every_form_shows_its_errors_at_the_field(
    page: Page, tab: str, button: str, typed: dict[str, str], field: str, part: str
) -> None:
    choose_tab(page, tab)
    for name, text in typed.items():
        fill(page, name, text)
    page.get_by_role("tabpanel").get_by_role("button", name=button, exact=True).click()
    expect(errors(page, field)).to_contain_text(part)


def test_the_embeddings_tab_shows_its_errors_at_the_field(page: Page) -> None:
    choose_tab(page, "Embeddings")
    page.locator("#embeddings_merge_part .label-wrap").click()
    page.locator("#embeddings_merge").click()
    expect(errors(page, "embeddings_merged")).to_contain_text("two or more")


def test_the_name_that_will_be_used_is_shown_while_typing(page: Page) -> None:
    choose_tab(page, "Create embedding")
    hint = page.locator("#create_name_hint")
    fill(page, "create_name", "emma")
    expect(hint).to_have_text("It will be saved as emma. Write emma in prompts.")
    fill(page, "create_name", "em/ma")
    expect(hint).to_contain_text("holds /, which a name of a file cannot have. Write emma")


def test_numbers_are_never_changed_in_silence(page: Page) -> None:
    choose_tab(page, "txt2img")
    scale, note = page.locator("#txt2img_cfg_scale input[type=number]"), page.locator("#txt2img_cfg_scale .field-note")
    scale.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("7,5")
    assert scale.input_value() == "7.5"
    page.keyboard.press("Tab")
    scale.fill("")
    page.keyboard.press("Tab")
    expect(note).to_contain_text("stays")
    assert scale.input_value() == "7.5"
    scale.fill("99")
    page.keyboard.press("Tab")
    expect(note).to_have_text("99 is too high: 30 is taken, the highest.")

    page.locator("#txt2img_seed input").click()
    for pasted, value in (("100,000", "100000"), ("'12'", "12"), ("2,5", "12")):
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(pasted)
        assert value_of(page, "txt2img_seed") == value, pasted
    expect(page.locator("#txt2img_seed .field-note")).to_have_text("'2,5' is no number.")


def test_the_sample_can_be_run_again_under_another_name(page: Page, folder: Path) -> None:
    page.get_by_role("button", name="Try the face recipe with sample photos").click()
    expect(page.locator("#create_name").get_by_role("textbox")).to_have_value("anna-2")  # datasets/anna is there
    choose_tab(page, "Preprocess images")
    assert value_of(page, "preprocess_destination_directory") == "datasets/anna-2"


def test_an_error_is_not_cut_off_where_two_fields_stand_side_by_side(page: Page) -> None:
    choose_tab(page, "Create embedding")
    page.locator("#create_kind").get_by_label("slider", exact=True).check()
    fill(page, "create_name", "smile")
    page.locator("#create_run").click()
    expect(errors(page, "create_slider_more")).to_contain_text("Slider more is empty")
    cut = page.evaluate(
        """() => [...document.querySelectorAll("#create_slider .field-error")]
          .filter((e) => e.getBoundingClientRect().bottom > e.parentElement.getBoundingClientRect().bottom)
          .map((e) => e.id)"""
    )
    assert cut == []
