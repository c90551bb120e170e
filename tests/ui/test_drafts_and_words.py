"""In a real browser: what is typed survives a reload, mirrored copies are kept in step, words are put into prompts by a
click, deleted embeddings come back, and a picture's settings fill the form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from playwright.sync_api import Page, expect

from tests.conftest import TINY, save_tiny_checkpoint
from tests.ui.journey import SLOW_MS, choose_tab, fill, open_chromium, open_page, reload, running_app, value_of
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.painting.infotext import save_png

OF_A1111 = """a photo of (anna:1.2), smiling
Negative prompt: blurry
Steps: 11, Sampler: Euler a, CFG scale: 5.5, Seed: 77, Size: 128x64, Model: other, Denoising strength: 0.4"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a checkpoint, a photo with its mirrored copy and another one, and an embedding."""
    root = tmp_path_factory.mktemp("workspace")
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    dataset = root / "datasets" / "anna"
    dataset.mkdir(parents=True)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for name, picture in (("00000-0-a", photo), ("00000-1-a", ImageOps.mirror(photo)), ("00001-0-b", photo)):
        picture.save(dataset / f"{name}.png")
        (dataset / f"{name}.txt").write_text("hat", encoding="utf-8")
    rows = {"clip_l": torch.randn(2, 32)}
    save_embedding(root / "embeddings" / "anna.pt", Embedding("anna", rows, 7, "0" * 10, TINY))
    save_png(root / "of-a1111.png", photo, OF_A1111)
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder, "--ckpt", TINY) as (url, _), open_chromium() as browser:
        yield open_page(browser, url, viewport={"width": 1400, "height": 900})


def caption(folder: Path, name: str) -> str:
    return (folder / "datasets" / "anna" / f"{name}.txt").read_text(encoding="utf-8").strip()


def test_a_typed_caption_survives_a_reload_and_its_copy_is_kept_in_step(page: Page, folder: Path) -> None:
    text, shown = page.locator("#captions_text textarea"), page.locator("#captions_picture figcaption")
    choose_tab(page, "Captions")
    expect(text).to_have_value("hat")
    page.locator("#captions_next").click()
    expect(shown).to_have_text("00000-1-a.png")
    fill(page, "captions_text", "hat, left hand up")
    expect(page.locator("#captions_note")).to_have_text("Not saved yet. A reload keeps it.")
    reload(page)
    choose_tab(page, "Captions")
    expect(text).to_have_value("hat, left hand up")
    expect(shown).to_have_text("00000-1-a.png")
    expect(page.locator("#captions_note")).to_contain_text("typed before and is not saved yet")
    assert caption(folder, "00000-1-a") == "hat"
    page.locator("#captions_save").click()
    expect(page.locator("#captions_message .message-text")).to_have_text(
        "Saved: 00000-1-a.txt and its mirrored copy 00000-0-a.txt."
    )
    assert [caption(folder, n) for n in ("00000-0-a", "00000-1-a", "00001-0-b")] == [
        "hat, right hand up",
        "hat, left hand up",
        "hat",
    ]
    expect(page.locator("#captions_gallery")).to_contain_text("hat, right hand up")
    page.locator("#captions_undo").click()
    expect(text).to_have_value("hat")
    assert caption(folder, "00000-0-a") == "hat"
    fill(page, "captions_text", "only this")
    page.locator("#captions_in_step").get_by_role("checkbox").uncheck()
    page.locator("#captions_next").click()
    expect(shown).to_have_text("00001-0-b.png")
    assert [caption(folder, n) for n in ("00000-0-a", "00000-1-a")] == ["hat", "only this"]
    fill(page, "captions_text", "never mind")
    page.locator("#captions_discard").click()
    expect(text).to_have_value("hat")
    reload(page)
    choose_tab(page, "Captions")
    expect(shown).to_have_text("00001-0-b.png")
    expect(text).to_have_value("hat")
    picture, words = page.locator("#captions_picture img").bounding_box(), text.bounding_box()
    assert picture and words and picture["width"] > 300 and words["x"] >= picture["x"] + picture["width"]


def test_a_template_that_is_being_written_survives_a_reload(page: Page) -> None:
    text, name = page.locator("#templates_text textarea"), page.locator("#templates_name").get_by_role("textbox")
    choose_tab(page, "Templates")
    fill(page, "templates_text", "a photo of [name] in a boat")
    name.press_sequentially("boats")
    reload(page)
    choose_tab(page, "Templates")
    expect(text).to_have_value("a photo of [name] in a boat")
    expect(name).to_have_value("boats")
    expect(page.locator("#templates_prompts textarea")).to_have_value(re.compile("in a boat"))
    page.locator("#templates_save").click()
    expect(page.locator("#templates_message .message-text")).to_have_text(re.compile("^Saved: templates/boats.txt"))
    reload(page)
    choose_tab(page, "Templates")
    expect(page.locator("#templates_prompts textarea")).to_have_value(re.compile("."))
    expect(name).to_have_value("")


def test_a_click_on_a_word_and_keys_write_into_the_prompt(page: Page) -> None:
    prompt, negative = page.locator("#txt2img_prompt textarea"), page.locator("#txt2img_negative_prompt textarea")
    choose_tab(page, "txt2img")
    fill(page, "txt2img_prompt", "a photo of , smiling")
    prompt.evaluate("box => box.setSelectionRange(11, 11)")
    word = page.locator("#txt2img_words").get_by_role("button", name="anna", exact=True)
    word.click()
    expect(prompt).to_have_value("a photo of anna, smiling")
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+ArrowUp")
    expect(prompt).to_have_value("a photo of (anna:1.2), smiling")
    page.keyboard.press("Control+ArrowDown")
    page.keyboard.press("Control+ArrowDown")
    expect(prompt).to_have_value("a photo of anna, smiling")
    negative.click()
    word.click()
    expect(negative).to_have_value("anna")
    reload(page)  # gradio took what was written, so the browser has kept it
    choose_tab(page, "txt2img")
    expect(prompt).to_have_value("a photo of anna, smiling")
    expect(negative).to_have_value("anna")


def test_a_word_is_not_replaced_by_itself_while_it_is_pressed(page: Page) -> None:
    choose_tab(page, "txt2img")
    word = page.locator("#txt2img_words").get_by_role("button", name="anna", exact=True)
    word.scroll_into_view_if_needed()
    button = word.element_handle()
    assert button
    choose_tab(page, "Train")
    with page.expect_response(lambda answer: "component_server" in answer.url):
        choose_tab(page, "txt2img")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert button.evaluate("button => button.isConnected")


def test_a_pictures_settings_fill_the_form_and_what_is_not_understood_is_told(page: Page, folder: Path) -> None:
    choose_tab(page, "txt2img")
    page.locator("#txt2img_info_part .label-wrap").click()
    page.locator("#txt2img_info_picture input[type=file]").set_input_files(folder / "of-a1111.png")
    expect(page.locator("#txt2img_info_text textarea")).to_have_value(OF_A1111)
    page.locator("#txt2img_info_use").click()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a photo of (anna:1.2), smiling")
    expect(page.locator("#txt2img_info_message .message-text")).to_have_text(
        "The form above is filled in.\nIt was painted with the checkpoint other; tiny is chosen.\n"
        "Not used here: Denoising strength 0.4."
    )
    names = ("negative_prompt", "steps", "sampler", "cfg_scale", "seed", "width", "height")
    assert [value_of(page, f"txt2img_{name}") for name in names] == [
        "blurry",
        "11",
        "Euler a",
        "5.5",
        "77",
        "128",
        "64",
    ]


def test_ctrl_enter_paints_and_the_painted_picture_gives_its_settings_back(page: Page) -> None:
    choose_tab(page, "txt2img")
    fill(page, "txt2img_steps", 2)
    fill(page, "txt2img_seed", 5)
    page.locator("#txt2img_prompt textarea").press("Control+Enter")
    expect(page.locator("#live .state")).to_have_text("finished", timeout=SLOW_MS)
    fill(page, "txt2img_seed", 6)
    reload(page)
    choose_tab(page, "txt2img")
    page.locator("#txt2img_info_part .label-wrap").click()
    page.locator("#txt2img_info_painted .thumbnail-item").first.click()
    expect(page.locator("#txt2img_info_text textarea")).to_have_value(re.compile("Steps: 2, .*Seed: 5,"))
    page.locator("#txt2img_info_use").click()
    expect(page.locator("#txt2img_seed input")).to_have_value("5")


def test_an_embedding_is_deleted_asked_once_and_put_back_and_its_word_goes_into_the_prompt(
    page: Page, folder: Path
) -> None:
    table, message = page.locator("#embeddings_table"), page.locator("#embeddings_message .message-text")
    choose_tab(page, "Embeddings")
    expect(table).to_contain_text("anna.pt", timeout=SLOW_MS)
    table.get_by_role("gridcell", name="anna.pt", exact=True).click()
    expect(page.locator("#embeddings_words")).to_be_visible(timeout=SLOW_MS)
    page.locator("#embeddings_bin_part .label-wrap").click()
    page.locator("#embeddings_delete").click()
    page.locator("#embeddings_delete_no").click()
    expect(page.locator("#embeddings_sure")).not_to_be_visible()
    assert (folder / "embeddings" / "anna.pt").is_file()
    page.locator("#embeddings_delete").click()
    page.locator("#embeddings_delete_yes").click()
    expect(message).to_have_text(re.compile("^Moved to bin/embeddings/.*anna.pt"))
    assert not (folder / "embeddings" / "anna.pt").exists()
    page.locator("#embeddings_put_back").click()
    expect(message).to_have_text("It is back: anna.pt.")
    assert (folder / "embeddings" / "anna.pt").is_file()
    page.locator("#embeddings_to_negative").click()
    expect(page.locator("#txt2img_negative_prompt textarea")).to_be_visible()
    expect(page.locator("#txt2img_negative_prompt textarea")).to_have_value("blurry anna")


def test_the_button_for_the_better_face_finder_is_there_when_faces_are_looked_for(page: Page, folder: Path) -> None:
    choose_tab(page, "Preprocess images")
    button = page.locator("#preprocess_face_finder")
    expect(button).not_to_be_visible()
    tick = page.locator("#preprocess_face_crop").get_by_role("checkbox")
    tick.check()
    expect(button).to_have_text("Get the better face finder")
    tick.uncheck()
    expect(button).not_to_be_visible()
