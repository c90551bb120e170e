"""The Captions tab follows Preprocess, and its edits can be undone, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.data.test_finding_search import add_pictures
from tests.ui.journey import SLOW_MS, choose_tab, fill, open_chromium, open_page, reload, running_app, state, value_of

COLOURS = {"anna": "red", "berta": "blue"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two people, each with a caption of two lines."""
    root = tmp_path_factory.mktemp("workspace")
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for i in range(2):
            Image.new("RGB", (64, 64), colour).save(root / name / f"{i}.jpg")
            (root / name / f"{i}.jpg.txt").write_text(f"{colour} shirt\npicture {i}", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder) as (url, _), open_chromium() as browser:
        yield open_page(browser, url, viewport={"width": 1400, "height": 1000})


def preprocess(page: Page, name: str) -> None:
    choose_tab(page, "Preprocess images")
    fill(page, "preprocess_source_directory", name)
    fill(page, "preprocess_destination_directory", f"datasets/{name}")
    box = page.locator("#preprocess_caption_action").get_by_role("combobox")
    box.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("copy")
    page.keyboard.press("Enter")
    expect(box).to_have_value("copy")
    page.get_by_role("button", name="Preprocess", exact=True).click()


def captions(folder: Path, name: str) -> list[str]:
    return [path.read_text(encoding="utf-8").strip() for path in sorted((folder / "datasets" / name).glob("*.txt"))]


def test_what_is_typed_after_preprocess_changes_the_new_dataset_alone_and_can_be_undone(
    page: Page, folder: Path
) -> None:
    text, message = page.locator("#captions_text textarea"), page.locator("#captions_message .message-text")
    preprocess(page, "anna")
    expect(page.locator("#preprocess_gallery img")).to_have_count(2, timeout=SLOW_MS)
    choose_tab(page, "Captions")
    expect(text).to_have_value("red shirt\npicture 0")
    of_anna = captions(folder, "anna")

    preprocess(page, "berta")
    choose_tab(page, "Captions")  # before it ends, or after: both open the new one
    expect(text).to_have_value("blue shirt\npicture 0", timeout=SLOW_MS)
    assert value_of(page, "captions_folder") == "datasets/berta"
    before = captions(folder, "berta")
    fill(page, "captions_text", "typed\nin two lines")
    page.locator("#captions_save").click()
    expect(message).to_have_text("Saved: 00000-0-0.txt.")
    assert captions(folder, "berta") == ["typed\nin two lines", before[1]] and captions(folder, "anna") == of_anna
    expect(page.locator("#captions_gallery")).to_contain_text("typed, in two lines")
    fill(page, "captions_find", "blue")
    fill(page, "captions_replacement", "green")
    page.locator("#captions_replace").click()
    expect(message).to_have_text("Changed 1 caption.")

    reload(page)
    choose_tab(page, "Captions")
    undo = page.locator("#captions_undo")
    expect(undo).to_have_text("Undo: 'blue' replaced by 'green'")
    undo.click()
    expect(undo).to_have_text("Undo: the caption of 00000-0-0.png")
    undo.click()
    expect(undo).to_have_text("Nothing to undo")
    expect(text).to_have_value("blue shirt\npicture 0")
    assert captions(folder, "berta") == before and captions(folder, "anna") == of_anna


SLOW_ANSWER = """() => {
  const { dependencies } = window.gradio_config;
  const ended = dependencies.find((each) => each.targets.some(([, event]) => event === "finished")).id;
  const follow = dependencies.find((each) => each.trigger_after === ended && each.js).id;
  const fetched = window.fetch;
  window.fetch = async (address, asked) => {
    const isFollow = String(address).includes("queue/join") && JSON.parse(asked.body).fn_index === follow;
    if (isFollow && !window.answer) await new Promise((done) => { window.answer = done; });
    return fetched(address, asked);
  };
}"""
"""The first answer about a job is held back until `window.answer()`."""


def test_a_dataset_is_opened_also_when_the_page_still_waits_for_the_answer_about_another_end(
    page: Page, folder: Path
) -> None:
    """A job's end is told at its start too, because a quick one may be over by then."""
    (folder / "cleo").mkdir()
    for i in range(40):  # so many that it is not over when its start is told
        Image.new("RGB", (1200, 1200), "green").save(folder / "cleo" / f"{i:02}.jpg")
        (folder / "cleo" / f"{i:02}.jpg.txt").write_text("green shirt", encoding="utf-8")
    page.evaluate(SLOW_ANSWER)
    preprocess(page, "cleo")
    page.wait_for_function("() => document.querySelectorAll('#preprocess_gallery img').length > 2", timeout=SLOW_MS)
    page.evaluate("() => window.answer()")  # about its start, when its end has been told
    choose_tab(page, "Captions")
    expect(page.locator("#captions_text textarea")).to_have_value("green shirt")
    assert value_of(page, "captions_folder") == "datasets/cleo"


def test_bad_pictures_are_pointed_out_opened_and_marked_and_none_is_left_out(page: Page, folder: Path) -> None:
    add_pictures(folder / "datasets" / "mixed")
    choose_tab(page, "Captions")
    fill(page, "captions_folder", "datasets/mixed")
    page.locator("#captions_open").click()
    panel, pictures = page.locator("#captions_findings"), page.locator("#captions_gallery .thumbnail-item")
    expect(panel.locator("summary")).to_have_text("Pictures to look at: 2.")
    expect(panel.locator(".looking")).to_have_count(0)  # all is found
    expect(pictures.nth(1)).to_have_attribute("title", re.compile("^It is nearly the same as a.png"))
    expect(pictures.nth(0)).not_to_have_attribute("title", re.compile("."))
    expect(panel.locator(".of-open")).to_have_count(0)
    panel.locator("summary").click()
    expect(panel.locator("li")).to_have_count(2)
    panel.get_by_role("button", name="c.png").click()
    expect(page.locator("#captions_picture")).to_contain_text("c.png")
    expect(panel.locator(".of-open")).to_have_text(
        "It is blurred, and blur is learned too. Use a sharper one, or leave it out."
    )
    panel.get_by_role("button", name="Mark these pictures").click()
    expect(pictures.locator("xpath=self::*[contains(@class, 'marked')]")).to_have_count(2)
    assert len(list((folder / "datasets" / "mixed").glob("[abc].*g"))) == 3
