"""One walk through the tabs beside the training itself, in a real browser, on a tiny checkpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import TINY, save_tiny_checkpoint
from tests.ui.journey import (
    SLOW_MS,
    choose_tab,
    drawn_width,
    fill,
    open_chromium,
    open_group,
    open_page,
    previews,
    reload,
    running_app,
    state,
    value_of,
)
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import load_embedding, save_embedding

WAIT_MS = SLOW_MS
PICTURES_OF_WALK = os.environ.get("SCREENSHOTS", "")
"""A folder: then the walk leaves a picture of each tab there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a checkpoint, a dataset of three pictures, and two embeddings."""
    root = tmp_path_factory.mktemp("workspace")
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    dataset = root / "datasets" / "anna"
    dataset.mkdir(parents=True)
    for i, caption in enumerate(("smiling, red shirt", "red shirt, glasses", "in a park")):
        Image.fromarray(np.full((64, 64, 3), 60 * i + 60, np.uint8)).save(dataset / f"0000{i}-0-photo.png")
        (dataset / f"0000{i}-0-photo.txt").write_text(caption, encoding="utf-8")
    for name, suffix in (("anna", ".pt"), ("berta", ".safetensors")):
        save_embedding(
            root / "embeddings" / f"{name}{suffix}", Embedding(name, {"clip_l": torch.randn(2, 32)}, 7, "0" * 10, TINY)
        )
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder, "--ckpt", TINY) as (url, _), open_chromium() as browser:
        yield open_page(browser, url, viewport={"width": 1400, "height": 1000})


def keep_picture(page: Page, name: str) -> None:
    if PICTURES_OF_WALK:
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(700)
        page.screenshot(path=Path(PICTURES_OF_WALK) / f"{name}.png", full_page=True)


def message_of(page: Page, tab: str):  # type: ignore[no-untyped-def]
    return page.locator(f"#{tab}_message .message-text")


def caption(folder: Path, number: int) -> str:
    return (folder / "datasets" / "anna" / f"0000{number}-0-photo.txt").read_text(encoding="utf-8").strip()


def test_txt2img_paints_pictures_with_two_embeddings_and_a_grid(page: Page, folder: Path) -> None:
    choose_tab(page, "txt2img")
    assert value_of(page, "txt2img_width") == "16"  # the checkpoint's own
    for side in ("width", "height"):
        fill(page, f"txt2img_{side}", 64)
    fill(page, "txt2img_prompt", "a photo of anna beside berta")
    fill(page, "txt2img_steps", 2)
    fill(page, "txt2img_count", 3)
    fill(page, "txt2img_seed", 5)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(state(page)).to_have_text("finished", timeout=WAIT_MS)
    expect(page.locator("#live .plan")).to_have_text("DPM++ 2M Karras, seed 5. Embeddings: anna, berta.")
    assert previews(page) == ["picture 3", "picture 2", "picture 1"]
    assert drawn_width(page) == 64
    expect(page.locator("#live .files img")).to_have_count(1)
    files = sorted(file.name for file in (folder / "outputs" / "txt2img").rglob("*.png"))
    assert files == ["00000-5.png", "00001-6.png", "00002-7.png", "grid-00000.png"]
    keep_picture(page, "txt2img")


def test_captions_are_corrected_one_by_one_and_all_at_once(page: Page, folder: Path) -> None:
    choose_tab(page, "Captions")
    expect(page.locator("#captions_text textarea")).to_have_value("smiling, red shirt")
    assert value_of(page, "captions_folder") == "datasets/anna"
    expect(page.locator("#captions_gallery .thumbnail-item img")).to_have_count(3)
    expect(page.locator("#captions_picture").get_by_role("img", name="00000-0-photo.png")).to_be_visible()
    fill(page, "captions_text", "laughing, red shirt")
    page.locator("#captions_next").click()
    expect(page.locator("#captions_text textarea")).to_have_value("red shirt, glasses")
    assert caption(folder, 0) == "laughing, red shirt"
    expect(page.locator("#captions_gallery")).to_contain_text("laughing, red shirt")
    page.locator("#captions_gallery .thumbnail-item").nth(2).click()
    expect(page.locator("#captions_text textarea")).to_have_value("in a park")
    fill(page, "captions_text", "in a park, sunny")
    page.locator("#captions_save").click()
    expect(message_of(page, "captions")).to_have_text("Saved: 00002-0-photo.txt.")
    fill(page, "captions_find", "red shirt")
    fill(page, "captions_replacement", "blue shirt")
    page.locator("#captions_replace").click()
    expect(message_of(page, "captions")).to_have_text("Changed 2 captions.")
    fill(page, "captions_tag", "photo")
    page.locator("#captions_add").click()
    expect(message_of(page, "captions")).to_have_text("Changed 3 captions.")
    expect(page.locator("#captions_tags")).to_contain_text("photo")
    assert [caption(folder, i) for i in range(3)] == [
        "laughing, blue shirt, photo",
        "blue shirt, glasses, photo",
        "in a park, sunny, photo",
    ]
    keep_picture(page, "captions")


def test_marked_pictures_are_changed_alone_and_a_click_removes_a_tag(page: Page, folder: Path) -> None:
    choose_tab(page, "Captions")
    pictures, message = page.locator("#captions_gallery .thumbnail-item"), message_of(page, "captions")
    before = [caption(folder, i) for i in range(3)]
    for index in (0, 2):
        pictures.nth(index).click(modifiers=["Control"])
        expect(pictures.nth(index)).to_have_class(re.compile("marked"))
    expect(pictures.nth(1)).not_to_have_class(re.compile("marked"))
    fill(page, "captions_find", "photo")
    fill(page, "captions_replacement", "picture")
    page.locator("#captions_preview").click()
    expect(page.locator("#captions_previewed")).to_contain_text("Captions that would change: 2.")
    expect(page.locator("#captions_previewed ins").first).to_have_text(before[0].replace("photo", "picture"))
    assert [caption(folder, i) for i in range(3)] == before
    page.locator("#captions_replace").click()
    expect(message).to_have_text("Changed 2 captions.")
    changed = [text.replace("photo", "picture") if i != 1 else text for i, text in enumerate(before)]
    assert [caption(folder, i) for i in range(3)] == changed
    pictures.nth(0).click(modifiers=["Control"])
    pictures.nth(2).click(modifiers=["Control"])
    expect(page.locator("#captions_gallery .marked")).to_have_count(0)
    page.locator("#captions_tags table").last.scroll_into_view_if_needed()  # rows out of sight are not there
    tag = page.locator("#captions_tags [data-testid^=cell-]").filter(has_text=re.compile(r"^\s*picture\s*$")).first
    number = str(tag.get_attribute("data-testid")).split("-")[1]
    page.locator(f"#captions_tags [data-testid=cell-{number}-2]").first.click()
    expect(message).to_have_text("Changed 2 captions.")
    assert [caption(folder, i) for i in range(3)] == [text.replace(", picture", "") for text in changed]
    for undone in ("'picture' removed", "'photo' replaced by 'picture'"):
        page.locator("#captions_undo").click()
        expect(message).to_contain_text(f"Undone: {undone}")
    assert [caption(folder, i) for i in range(3)] == before


def paint_over_the_middle(page: Page) -> None:
    """A stroke in the editor of masks. Nothing on the page tells when its brush is ready."""
    editor = page.locator("#captions_mask_editor")
    canvas, undo = editor.locator("canvas").first, editor.get_by_role("button", name="Undo")
    expect(editor.get_by_role("button", name="Brush").first).to_be_visible()
    canvas.scroll_into_view_if_needed()
    for _ in range(60):
        box = canvas.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x - 30, y)
        page.mouse.down()
        page.mouse.move(x + 30, y, steps=6)
        page.mouse.up()
        if undo.is_enabled():
            return
        page.wait_for_timeout(500)
    raise AssertionError("Nothing could be painted.")


def test_what_is_painted_over_a_picture_is_its_mask(page: Page, folder: Path) -> None:
    choose_tab(page, "Captions")
    page.locator("#captions_gallery .thumbnail-item").nth(0).click()
    shown, masks = page.locator("#captions_picture figcaption"), folder / "datasets" / "anna"
    expect(shown).to_have_text("00000-0-photo.png")
    open_group(page, "captions_mask")
    message = message_of(page, "captions")
    for _ in range(10):
        paint_over_the_middle(page)
        page.locator("#captions_mask_save").click()
        expect(message).to_have_text(re.compile("^(Saved|Nothing is painted)"))
        if "Saved" in message.inner_text():
            break
        page.wait_for_timeout(1000)  # the picture came into the editor after the stroke, and took it away
    expect(message).to_have_text("Saved: 00000-0-photo-masklabel.png.")
    with Image.open(masks / "00000-0-photo-masklabel.png") as mask, Image.open(masks / "00000-0-photo.png") as photo:
        assert mask.size == photo.size and mask.mode == "L"
        width, height = mask.size
        assert mask.getpixel((width // 2, height // 2)) == 255 and mask.getpixel((1, 1)) == 0
    page.locator("#captions_mask_clear").click()
    expect(message_of(page, "captions")).to_have_text("00000-0-photo.png has no mask now.")
    assert not (masks / "00000-0-photo-masklabel.png").exists()


def test_a_picture_is_deleted_to_the_bin_and_put_back(page: Page, folder: Path) -> None:
    choose_tab(page, "Captions")
    pictures = page.locator("#captions_gallery .thumbnail-item")
    pictures.nth(1).click()
    expect(page.locator("#captions_picture figcaption")).to_have_text("00001-0-photo.png")
    page.locator("#captions_delete").click()
    expect(pictures).to_have_count(2)
    expect(message_of(page, "captions")).to_contain_text("00001-0-photo.png. They can be put back.")
    assert not (folder / "datasets" / "anna" / "00001-0-photo.txt").exists()
    page.locator("#captions_put_back").click()
    expect(pictures).to_have_count(3)
    assert caption(folder, 1) == "blue shirt, glasses, photo"
    expect(page.locator("#captions_put_back")).to_be_hidden()


def test_clicking_faster_than_the_network_gives_no_picture_anothers_caption(page: Page, folder: Path) -> None:
    """The second click goes off while the answer to the first is on its way: the box still holds the first
    picture's words.
    """
    choose_tab(page, "Captions")
    expect(page.locator("#captions_text textarea")).to_have_value(re.compile("."))
    before = [caption(folder, i) for i in range(3)]
    assert len(set(before)) == 3
    ended: list[str] = []
    for event in ("requestfinished", "requestfailed"):
        page.on(event, lambda request: ended.append(request.url))
    page.evaluate(
        "for (const name of ['next', 'previous', 'save']) document.querySelector(`#captions_${name}`).click()"
    )
    while not any("queue/data" in url for url in ended):  # it ends with the last answer, in whatever order they come
        page.wait_for_timeout(100)
    assert [caption(folder, i) for i in range(3)] == before


def test_every_tab_fits_a_phone_with_what_it_shows(page: Page) -> None:
    assert page.context.browser
    phone = open_page(
        page.context.browser, page.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    for name in (
        "Create embedding",
        "Preprocess images",
        "Captions",
        "Templates",
        "Train",
        "Compare",
        "txt2img",
        "Embeddings",
    ):
        choose_tab(phone, name)
        shown = {"Captions": "#captions_gallery img", "Embeddings": "#embeddings_table"}.get(name)
        if shown:
            expect(phone.locator(shown).first).to_be_visible(timeout=WAIT_MS)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, name
    phone.context.close()


def test_a_template_is_copied_changed_and_offered_for_training(page: Page, folder: Path) -> None:
    choose_tab(page, "Templates")
    expect(page.locator("#templates_prompts textarea")).to_have_value(re.compile("a photo of a .*, photo"))
    page.locator("#templates_template input").click()
    page.get_by_role("option", name="style.txt", exact=True).click()
    expect(message_of(page, "templates")).to_have_text(
        "'style.txt' comes with the project and stays as it is. Saving makes your own copy."
    )
    fill(page, "templates_text", "a photo without the word")
    page.locator("#templates_save").click()
    expect(page.locator("#templates_text .field-error")).to_contain_text("has no line with [name]")
    fill(page, "templates_text", "an etching of [name], [filewords]")
    page.locator("#templates_save").click()
    expect(message_of(page, "templates")).to_have_text(
        "Saved: templates/style-own.txt. It is in the list of the Train tab."
    )
    own = folder / "templates" / "style-own.txt"
    assert own.read_text(encoding="utf-8") == "an etching of [name], [filewords]\n"
    fill(page, "templates_text", "a drawing")
    page.locator("#templates_save").click()
    expect(page.locator("#templates_text .field-error")).to_contain_text("has no line with [name]")
    fill(page, "templates_text", "a drawing of [name], [filewords]")
    page.locator("#templates_save").click()
    expect(message_of(page, "templates")).to_have_text(re.compile("^Saved: templates/style-own.txt"))
    assert own.read_text(encoding="utf-8") == "a drawing of [name], [filewords]\n"  # the opened one is replaced
    keep_picture(page, "templates")


def test_embeddings_are_listed_explained_renamed_converted_repaired_and_merged(page: Page, folder: Path) -> None:
    choose_tab(page, "Embeddings")
    table = page.locator("#embeddings_table")
    expect(table).to_contain_text("berta.safetensors", timeout=WAIT_MS)
    table.get_by_role("gridcell", name="anna.pt", exact=True).click()
    expect(page.locator("#embeddings_words")).to_contain_text("0.", timeout=WAIT_MS)
    for part in ("convert", "rename", "repair", "merge"):
        page.locator(f"#embeddings_{part}_part .label-wrap").click()
    page.locator("#embeddings_convert").click()
    answer = page.locator('.job-answer[data-tab="embeddings"]')
    expect(answer.get_by_role("link", name="Download anna.safetensors")).to_be_visible(timeout=WAIT_MS)
    expect(message_of(page, "embeddings")).to_have_text(re.compile("^Saved: .*anna.safetensors"), timeout=WAIT_MS)
    fill(page, "embeddings_new_name", "berta")
    page.locator("#embeddings_rename").click()
    expect(page.locator("#embeddings_new_name .field-error")).to_have_text(
        "An embedding called 'berta' exists already. Choose another name."
    )
    page.locator("#embeddings_repair").click()
    expect(table).to_contain_text("anna-repaired.pt", timeout=WAIT_MS)
    fill(page, "embeddings_new_name", "clara")
    page.locator("#embeddings_rename").click()
    expect(table).to_contain_text("clara.pt", timeout=WAIT_MS)
    assert sorted(path.name for path in (folder / "embeddings").iterdir()) == [
        "anna.pt",
        "berta.safetensors",
        "clara.pt",
    ]  # the new one is chosen after repair
    assert load_embedding(folder / "outputs" / "embeddings" / "anna.safetensors").count == 2
    assert value_of(page, "embeddings_chosen") == "clara.pt"
    keep_picture(page, "embeddings")
    reload(page)
    expect(table).to_contain_text("clara.pt", timeout=WAIT_MS)
