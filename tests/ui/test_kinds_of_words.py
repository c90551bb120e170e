"""A slider and a negative word made by clicking, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.conftest import TINY, save_tiny_checkpoint
from tests.ui.journey import (
    DESKTOP,
    SLOW_MS,
    choose_tab,
    fill,
    open_chromium,
    open_page,
    running_app,
    state,
    value_of,
)
from ti_core.embeddings.formats import load_embedding
from ti_core.embeddings.kind_in_file import kind_of_file
from ti_core.training.kind_presets import KIND_PRESETS, SLIDER_PRESET
from ti_core.workspace import Workspace

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    return root


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[tuple[Browser, str]]:
    with running_app(folder, "--ckpt", TINY) as (url, _), open_chromium() as browser:
        yield browser, url


@pytest.fixture(scope="module")
def page(opened: tuple[Browser, str]) -> Page:
    return open_page(*opened, **DESKTOP)


def create(page: Page, name: str) -> None:
    fill(page, "create_name", name)
    page.locator("#create_run").click()
    expect(page.locator("#live")).to_contain_text(name, timeout=SLOW_MS)
    expect(state(page)).to_have_text("finished", timeout=SLOW_MS)
    expect(page.locator("#create_paint")).to_be_visible()  # the page stays, because its pictures are painted here


def paint(page: Page, dataset: Path, count: int) -> None:
    """Paint so many more."""
    wanted = len(list(dataset.glob("*.png"))) + count
    fill(page, "paint_count", count)
    page.locator("#create_paint").click()
    for _ in range(SLOW_MS // 200):
        if len(list(dataset.glob("*.png"))) == wanted:
            break
        page.wait_for_timeout(200)
    expect(state(page)).to_have_text("finished", timeout=SLOW_MS)


def test_a_slider_is_made_painted_for_and_trained(page: Page, folder: Path) -> None:
    choose_tab(page, "Create embedding")
    page.get_by_label("Guide me to the next tab").check()
    expect(page.locator("#create_slider")).to_be_hidden()
    page.locator("#create_kind").get_by_label("slider", exact=True).check()
    expect(page.locator("#create_slider")).to_be_visible()
    for widget, text in (("on", "a photo of a person"), ("more", "smiling"), ("less", "serious")):
        fill(page, f"create_slider_{widget}", text)
    create(page, "smile")
    assert kind_of_file("smile", Workspace(folder)).more == "smiling"
    paint(page, folder / "datasets" / "smile", 3)
    assert len(list((folder / "datasets" / "smile").glob("*.png"))) == 3
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true", timeout=SLOW_MS)
    expect(page.locator("#train_dataset_directory textarea, #train_dataset_directory input").first).to_have_value(
        "datasets/smile", timeout=SLOW_MS
    )
    expect(page.locator("#train_steps input").first).to_have_value(str(KIND_PRESETS[SLIDER_PRESET]["steps"]))
    expect(page.get_by_role("button", name="Use Slider word")).to_be_visible()
    assert value_of(page, "train_embedding") == "smile" and value_of(page, "train_preset") == "Slider word"
    fill(page, "train_steps", 2)
    fill(page, "train_image_every", 2)
    fill(page, "train_save_every", 2)
    page.get_by_role("button", name="Train Embedding").click()
    expect(page.locator('#filmstrip [data-step="2"]')).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#live")).to_contain_text("Training finished at 2 steps", timeout=SLOW_MS)
    assert load_embedding(folder / "embeddings" / "smile.pt").step == 2


def test_good_pictures_are_taken_out_of_those_for_a_negative_word(page: Page, folder: Path) -> None:
    choose_tab(page, "Create embedding")
    page.locator("#create_kind").get_by_label("negative", exact=True).check()
    expect(page.locator("#create_slider")).to_be_hidden()
    other = folder / "datasets" / "ugly"
    other.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(other / "one.png")
    pictures = page.locator("#create_bad_pictures .bad-picture")
    fill(page, "create_name", "ugly")
    expect(pictures).to_have_count(1)
    expect(page.locator("#create_bad_pictures .hint")).to_contain_text("datasets/ugly")
    create(page, "bad-01")
    expect(pictures).to_have_count(0)  # no longer of another word, whose pictures would be moved
    paint(page, folder / "datasets" / "bad-01", 3)
    expect(pictures).to_have_count(3, timeout=SLOW_MS)
    expect(page.get_by_role("tab", name="Create embedding")).to_have_attribute("aria-selected", "true")
    pictures.nth(1).click()
    expect(pictures.nth(1)).to_have_attribute("aria-pressed", "false")
    good = pictures.nth(1).get_attribute("data-name")
    paint(page, folder / "datasets" / "bad-01", 1)  # the list is built anew; what was marked stays marked
    expect(pictures).to_have_count(4, timeout=SLOW_MS)
    not_bad = page.locator('#create_bad_pictures .bad-picture[aria-pressed="false"]')
    expect(not_bad).to_have_count(1)
    expect(not_bad).to_have_attribute("data-name", good or "")
    page.get_by_role("button", name="Keep the bad ones").click()
    expect(page.locator("#create_bad_pictures .kept")).to_contain_text("1 good picture moved to")
    assert len(list((folder / "datasets" / "bad-01").glob("*.png"))) == 3
    assert len(list((folder / "datasets" / "bad-01-good").glob("*.png"))) == 1


def test_the_answer_is_translated_and_not_put_back(opened: tuple[Browser, str], folder: Path) -> None:
    """Two observers that each mend what the other wrote would never end."""
    mine = folder / "datasets" / "mine"
    mine.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(mine / "one.png")
    page = open_page(*opened, **DESKTOP, locale="es-AR")
    page.locator("#create_kind input").nth(1).check()
    fill(page, "create_name", "mine")
    expect(page.locator("#create_bad_pictures .bad-picture")).to_have_count(1)
    page.locator("#create_bad_pictures .keep-bad").click()
    expect(page.locator("#create_bad_pictures .kept")).to_have_text("Se quedan todas.")
    page.context.close()
