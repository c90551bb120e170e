"""Where things stand, in numbers: a short Train form, its button always in view, one row of tabs, no forced scroll."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui.journey import (
    DESKTOP,
    PHONE,
    SLOW_MS,
    choose_tab,
    fill,
    open_chromium,
    open_page,
    reload,
    running_app,
    value_of,
    wait_until_restored,
)
from ti_core.settings import TrainSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with running_app(folder) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Page:
    return open_page(browser, url, **DESKTOP)


def is_in_view(page: Page, what: Locator) -> bool:
    """Whether all of it is on the screen as the page is scrolled now, with nothing over its middle."""
    return bool(
        what.evaluate(
            """e => {
              const box = e.getBoundingClientRect();
              const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
              return box.top >= 0 && box.bottom <= innerHeight && box.width > 0 && (e.contains(top) || top.contains(e));
            }"""
        )
    )


def test_the_first_page_has_a_title_stations_and_one_orange_button_that_leads_to_the_sample(page: Page) -> None:
    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator("#sample_pictures img")).to_have_count(2)
    first = page.locator("button.primary").first
    expect(first).to_have_attribute("id", "sample")
    assert is_in_view(page, first)
    stations = page.locator(".stations button")
    assert stations.all_inner_texts() == ["1 Name", "2 Photos", "3 Train", "4 Choose"]
    expect(page.locator(".stations [aria-current=step]")).to_have_text("1 Name")
    stations.nth(2).click()
    expect(page.get_by_role("tab", name="Train", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".stations [aria-current=step]")).to_have_text("3 Train")
    choose_tab(page, "Captions")
    expect(page.locator(".stations [aria-current=step]")).to_have_text("2 Photos")
    choose_tab(page, "Create embedding")
    box = page.locator("#output").bounding_box()
    assert box and box["y"] < 60  # beside the title, so that the run's picture is in the upper half


def test_the_recipe_forces_no_scroll_and_the_train_form_is_short_with_its_button_in_view(page: Page) -> None:
    for button, then in (
        ("Try the face recipe with sample photos", "Create embedding"),
        ("Create embedding", "Preprocess"),
        ("Preprocess", "Train Embedding"),
    ):
        press = page.get_by_role("button", name=button, exact=True)
        assert is_in_view(page, press), button
        box = press.bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # playwright's own click may scroll
        expect(page.get_by_role("button", name=then, exact=True)).to_be_visible(timeout=SLOW_MS)
        expect(page.locator("#create_name textarea")).to_have_value("anna")
        assert page.evaluate("scrollY") == 0, button
    train, plan = page.locator("#train-button"), page.locator("#train_plan textarea")
    expect(plan).to_have_value(re.compile("^How long it takes is not known before the first steps.*Each step looks at"))
    expect(page.locator("#train_dataset img")).to_have_count(6)
    expect(page.locator("#train_dataset")).to_contain_text("12 photos, 12 mirrored copies, 24 with a caption file")
    expect(page.locator("#train_example q")).to_contain_text("a photo of a anna, ")
    assert page.evaluate("scrollY") == 0 and is_in_view(page, train) and is_in_view(page, plan)
    form = page.locator("#tab-train")
    box = form.bounding_box()
    assert box and box["height"] <= 1100, box
    assert len(form.inner_text().split()) <= 300
    for part in ("#train_interrupt", "#train-button", "#train_plan textarea"):
        page.evaluate("scrollTo(0, 400)")
        assert is_in_view(page, page.locator(part)), part
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert is_in_view(page, train)
    page.evaluate("scrollTo(0, 0)")
    expect(page.get_by_label("Guide me to the next tab")).to_be_checked()


def two_coloured_photos(folder: Path) -> None:
    """Three photos, red on the left and blue on the right."""
    folder.mkdir()
    for name in ("a", "b", "c"):
        photo = Image.new("RGB", (400, 200), (200, 0, 0))
        photo.paste((0, 0, 200), (200, 0, 400, 200))
        photo.save(folder / f"{name}.png")


def drag(page: Page, what: Locator, x: int, y: int) -> None:
    """By the mouse, from its middle."""
    what.scroll_into_view_if_needed()
    box = what.bounding_box()
    assert box
    begin = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(begin[0] + x, begin[1] + y, steps=4)
    page.mouse.up()


def test_crops_moved_scaled_turned_and_undone_by_hand_are_what_the_pictures_show(page: Page, folder: Path) -> None:
    two_coloured_photos(folder / "mine")
    choose_tab(page, "Preprocess images")
    fill(page, "preprocess_source_directory", "mine")
    fill(page, "preprocess_destination_directory", "datasets/mine")
    plan, photos = page.locator("#preprocess_plan textarea"), page.locator("#preprocess_photos .photo")
    frame, note = page.locator(".photo-editor .frame"), page.locator(".photo-note")

    def edits() -> dict[str, dict[str, Any]]:
        """As they are kept, once the page has told the server."""
        page.wait_for_function("() => document.querySelector('.photos-box').dataset.keeping !== 'true'")
        kept: dict[str, Any] = json.loads((folder / "mine" / ".photos-by-hand.json").read_text())["photos"]
        return kept

    expect(photos).to_have_count(3)
    photos.nth(0).locator(".out").click()
    expect(plan).to_have_value(re.compile("^2 photos .* 1 left out by hand"))
    photos.nth(1).locator(".pick").click()
    drag(page, frame, 400, 0)  # to the blue side
    drag(page, page.locator(".grip.nw"), 60, 60)
    expect(note).to_have_text("Cropped by hand.")
    crop = edits()["b.png"]
    assert crop["middle"][0] > 0.75 and 0.3 < crop["scale"] < 0.95
    page.locator("[data-act=right]").click()
    page.locator("[data-act=right]").click()
    assert edits()["b.png"]["turn"] == 180 and edits()["b.png"]["middle"][0] < 0.25
    page.locator("#preprocess_photos [data-act=undo]").click()
    assert edits()["b.png"]["turn"] == 90
    page.keyboard.press("Control+z")  # wherever the focus is in there, and nothing typed is taken back
    assert edits()["b.png"] == crop
    page.locator("[data-act=on]").click()  # the third photo
    frame.focus()
    for _ in range(30):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert edits() == {"a.png": {"out": True}, "b.png": crop, "c.png": edits()["c.png"]}
    assert edits()["c.png"]["turn"] == 180 and edits()["c.png"]["middle"] == [0.75, 0.5]
    assert value_of(page, "preprocess_destination_directory") == "datasets/mine"
    page.get_by_role("button", name="Preprocess", exact=True).click()
    expect(page.locator("#preprocess_gallery img")).to_have_count(
        4, timeout=SLOW_MS
    )  # the recipe has ticked mirrored copies
    made = sorted((folder / "datasets" / "mine").glob("*-0-*.png"))
    assert [path.name for path in made] == ["00000-0-b.png", "00001-0-c.png"]
    for path, colour in zip(made, ((0, 0, 200), (200, 0, 0)), strict=True):
        with Image.open(path) as picture:
            assert picture.convert("RGB").resize((1, 1)).getpixel((0, 0)) == colour
    page.evaluate("scrollTo(0, 0)")
    choose_tab(page, "Train")


def test_an_error_is_told_in_the_bar_that_is_in_view(page: Page) -> None:
    fill(page, "train_learning_rate", "fast")
    page.locator("#train-button").click()
    message, field = page.locator("#train_message"), page.locator("#train_learning_rate")
    expect(message).to_contain_text("One field needs a look: Embedding Learning rate")
    expect(field.locator(".field-error")).to_contain_text("fast")
    expect(field.locator("textarea")).to_be_focused()
    assert is_in_view(page, message.locator(".error-link")) and is_in_view(page, page.locator("#train-button"))
    page.get_by_role("button", name="Use the face recipe").click()
    expect(message.locator(".error-link")).to_have_count(0)


def test_the_button_is_few_tab_presses_away_from_the_tab(page: Page) -> None:
    page.get_by_role("tab", name="Train", exact=True).focus()
    presses = 0
    while page.evaluate("document.activeElement.id") != "train-button":
        page.keyboard.press("Tab")
        presses += 1
        assert presses <= 15


def test_help_is_one_short_sentence_on_demand(page: Page) -> None:
    block = page.locator("#train_steps")
    help_text = block.locator(".info-text")
    expect(help_text).to_be_hidden()
    question = block.get_by_role("button", name="Help: Max steps")
    question.click()
    expect(help_text).to_be_visible()
    expect(question).to_have_attribute("aria-expanded", "true")
    question.click()
    expect(help_text).to_be_hidden()
    page.locator("#train_dataset_directory textarea").focus()
    expect(page.locator("#train_dataset_directory .info-text")).to_be_visible()
    described = page.locator("#train_steps input").get_attribute("aria-describedby")
    assert described and page.locator(f"#{described}").text_content()


def test_a_search_finds_folded_fields_by_label_help_and_a1111s_name(page: Page) -> None:
    choose_tab(page, "Train")
    shown = page.locator("#train_folded .block[id^=train_]:not(.gr-accordion):visible")
    expect(shown).to_have_count(0)
    for typed, found in (
        ("preview seed", ["train_preview_prompts", "train_preview_seed"]),
        ("varsize", ["train_keep_size"]),
        ("graphics cards", []),  # one that this computer has no use for
        ("average", ["train_average_decay"]),
    ):
        fill(page, "train_find", typed)
        expect(shown).to_have_count(len(found))
        assert [each.get_attribute("id") for each in shown.all()] == found
    fill(page, "train_find", "no such thing")
    expect(page.locator("#train_find")).to_have_attribute("data-none", "")
    fill(page, "train_find", "")
    expect(shown).to_have_count(0)
    expect(page.locator("#train_folded .gr-accordion:visible")).to_have_count(len(TrainSettings.grouped()))


def test_a_form_is_kept_as_a_preset_exported_and_imported(page: Page, folder: Path, tmp_path: Path) -> None:
    fill(page, "train_steps", 77)
    page.locator("#train_own .label-wrap").click()
    fill(page, "train_own_name", "my way")
    page.locator("#train_own_save").click()
    expect(page.locator("#train_preset input")).to_have_value("my way")
    assert json.loads((folder / "presets" / "my way.json").read_text())["settings"]["steps"] == 77
    page.get_by_role("button", name="Use the face recipe").click()
    expect(page.locator("#train_steps input")).to_have_value("150")
    page.locator("#train_preset input").click()
    page.get_by_role("option", name="my way", exact=True).click()
    expect(page.locator("#train_steps input")).to_have_value("77")
    with page.expect_download() as download:
        page.locator("#train_export").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "train-anna.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["settings"] |= {"steps": 99, "colour": "red"}
    file.write_text(json.dumps(content), encoding="utf-8")
    with page.expect_file_chooser() as chooser:
        page.locator("#train_import").click()
    chooser.value.set_files(file)
    expect(page.locator("#train_steps input")).to_have_value("99")
    expect(page.locator("#train_message")).to_contain_text(re.compile("Read: train-anna.json.*\\s.*colour"))
    page.locator("#train_preset input").click()
    page.get_by_role("option", name="my way", exact=True).click()
    expect(page.locator("#train_steps input")).to_have_value("77")
    page.locator("#train_own_delete").click()
    expect(page.locator("#train_message")).to_contain_text("Deleted: presets/my way.json.")
    assert not list((folder / "presets").iterdir())


def test_ten_reloads_in_a_row_keep_the_tab_and_the_fields(page: Page) -> None:
    choose_tab(page, "Train")
    typed = {"train_dataset_directory": "datasets/anna", "train_learning_rate": "0.05:10, 0.01", "train_steps": "123"}
    for name, value in typed.items():
        fill(page, name, value)
    page.locator("#train_steps input").blur()
    # what is typed is kept a moment later, and the plan follows the last of it later still
    expect(page.locator("#train_plan textarea")).to_have_value(re.compile("123 steps"))
    for _ in range(10):
        page.reload()
        wait_until_restored(page)
        expect(page.get_by_role("tab", name="Train", exact=True)).to_have_attribute("aria-selected", "true")
        assert {name: value_of(page, name) for name in typed} == typed
        assert value_of(page, "train_embedding") == "anna"


@pytest.mark.parametrize("width", [900, 1100, 1280, 1400, 1920])
def test_the_tabs_stand_in_one_row_and_nothing_is_wider_than_the_window(browser: Browser, url: str, width: int) -> None:
    page = open_page(browser, url, viewport={"width": width, "height": 900})
    rows = (
        "new Set([...document.querySelectorAll('[role=tab]')].map(t => Math.round(t.getBoundingClientRect().top))).size"
    )
    for tab in ("Train", "Preprocess images"):  # the chosen one is bold
        choose_tab(page, tab)
        assert page.evaluate(rows) == 1, tab
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_on_a_phone_the_tabs_come_first_and_buttons_fit_a_finger(browser: Browser, url: str) -> None:
    page = open_page(browser, url, **PHONE)
    tab, panel = page.get_by_role("tab", name="Train", exact=True), page.locator("#live")
    first, second = tab.bounding_box(), panel.bounding_box()
    assert first and second and first["y"] < 844 and first["y"] < second["y"]
    for name, button in (
        ("Create embedding", "#create_run"),
        ("Preprocess images", "#preprocess_run"),
        ("Train", "#train-button"),
    ):
        choose_tab(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        expect(page.locator(button)).to_be_visible()
        assert is_in_view(page, page.locator(button)), name
    low = page.locator("#forms button.lg:visible, #forms button.md:visible, #forms button.sm:visible, [role=tab]")
    heights = {each.inner_text(): each.bounding_box()["height"] for each in low.all()}  # type: ignore[index]
    assert min(heights.values()) >= 40, heights
    page.context.close()


def test_a_page_that_has_been_used_greets_with_the_latest_run(page: Page, folder: Path) -> None:
    run = folder / "textual_inversion" / "2026-11-29" / "anna"
    (run / "embeddings").mkdir(parents=True)
    for step in (10, 20):
        (run / "embeddings" / f"anna-{step}.pt").write_bytes(b"x")
    reload(page)
    expect(page.locator("#latest")).to_be_visible()
    expect(page.locator("#latest_run")).to_contain_text(
        "Your latest run: anna, 2 steps to choose from, 29 November 2026."
    )
    expect(page.locator("#start")).to_be_hidden()
    expect(page.locator("#runs [data-run]")).to_have_count(1)
    page.locator("#open_latest").click()
    expect(page.locator("#live .title")).to_have_text("anna")
    page.locator("#show_sample").click()
    expect(page.locator("#sample")).to_be_visible()


def test_fields_that_several_handlers_follow_do_not_call_the_server_without_end(browser: Browser, url: str) -> None:
    """Handlers that waited for each other's last change called each other for ever, and the page answered no click."""
    page = open_page(browser, url, **DESKTOP)
    for tab in ("Train", "Preprocess images"):
        choose_tab(page, tab)
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url) if "/run/" in request.url else None)
    for number in range(3):
        fill(page, "preprocess_source_directory", f"assets/sample_photos/nobody-{number}")
    expect(page.locator("#preprocess_plan textarea")).to_have_value(re.compile("nobody-2"))
    page.wait_for_timeout(3000)  # that nothing comes can only be waited for
    assert len(calls) <= 12, len(calls)
    page.context.close()
