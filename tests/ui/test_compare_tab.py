"""In a real browser on a tiny checkpoint: presets, the marked best step, a step used from the run panel, and the
Compare tab.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import TINY, save_tiny_checkpoint
from tests.ui.journey import SLOW_MS, choose_tab, fill, open_chromium, open_group, open_page, reload, running_app, state
from ti_core.runs.folder import find_runs
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

WAIT_MS = SLOW_MS


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    dataset = root / "datasets" / "anna"
    dataset.mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.full((16, 16, 3), 50 * i + 50, np.uint8)).save(dataset / f"0000{i}-0-photo.png")
        (dataset / f"0000{i}-0-photo.txt").write_text("a woman, smiling", encoding="utf-8")
    create_embedding(CreateSettings(name="anna", checkpoint=TINY), Workspace(root))
    return Workspace(root)


@pytest.fixture(scope="module")
def page(workspace: Workspace) -> Iterator[Page]:
    with running_app(workspace.root, "--ckpt", TINY) as (url, _), open_chromium() as browser:
        yield open_page(browser, url, viewport={"width": 1400, "height": 1000})


def choose(page: Page, widget: str, value: str) -> None:
    page.locator(f"#{widget} input").first.click()
    page.get_by_role("option", name=value, exact=True).click()


def test_a_preset_fills_the_form_and_another_takes_it_back(page: Page) -> None:
    choose_tab(page, "Train")
    fill(page, "train_dataset_directory", "datasets/anna")
    choose(page, "train_embedding", "anna")
    choose(page, "train_preset", "Fast and faithful")
    expect(page.locator("#train_gradient_accumulation_steps input")).to_have_value("1", timeout=WAIT_MS)
    page.locator("#train_quality").get_by_role("button").first.click()
    expect(page.locator("#train_norm_control input")).to_have_value("direction only")
    page.get_by_role("button", name="Use the face recipe").click()
    expect(page.locator("#train_gradient_accumulation_steps input")).to_have_value("4", timeout=WAIT_MS)
    expect(page.locator("#train_norm_control input")).to_have_value("none")
    expect(page.locator("#train_preset input")).to_have_value("Face recipe (guide)")


def test_the_create_tab_hints_at_what_the_captions_say(page: Page) -> None:
    choose_tab(page, "Create embedding")
    expect(page.locator("#create_hint")).to_contain_text(
        "suggest the Initialization text: woman. With more vectors: woman, smiling.", timeout=WAIT_MS
    )


def test_the_best_step_is_marked_and_a_previews_step_is_used(page: Page, workspace: Workspace) -> None:
    for tab, form in (
        ("txt2img", "txt2img"),
        ("Train", "train"),
    ):  # the tiny checkpoint's own 16 px are less than the sliders allow
        choose_tab(page, tab)
        if form == "train":
            open_group(page, "train_rest")
        for side in ("width", "height"):
            fill(page, f"{form}_{side}", 64)
    for widget, value in (
        ("train_steps", 90),
        ("train_image_every", 30),
        ("train_save_every", 30),
        ("train_preview_steps", 1),
    ):
        if not page.locator(f"#{widget}").is_visible():
            page.locator("#train_more").get_by_role("button").first.click()
        fill(page, widget, value)
    page.get_by_role("button", name="Train Embedding").click()
    expect(state(page)).to_have_text("finished", timeout=WAIT_MS)
    expect(page.locator("#live .eval-name")).to_contain_text(re.compile(r"evaluation \d.* best step \d+"))
    expect(page.locator("#live .norm-name")).to_contain_text("ordinary words")
    expect(page.locator("#filmstrip .best")).to_have_count(1)
    file, step_30 = (
        workspace.embeddings / "anna.pt",
        workspace.root / find_runs(workspace)[0] / "embeddings" / "anna-30.pt",
    )
    last = file.read_bytes()
    page.locator('#filmstrip [data-step="30"]').click()
    page.locator("#use-step").click()
    expect(page.locator("#live .answer")).to_contain_text("Step 30 is now embeddings/anna.pt")
    expect(page.locator("#live .in-use")).to_have_text("In use: step 30.")
    assert file.read_bytes() == step_30.read_bytes()
    assert file.with_name("anna.pt.backup-1").read_bytes() == last


def test_a_finished_run_is_compared_and_a_step_is_put_to_use(page: Page, workspace: Workspace) -> None:
    choose_tab(page, "Compare")
    expect(page.locator("#compare_run input").first).to_have_value(
        re.compile("textual_inversion/.*/anna"), timeout=WAIT_MS
    )
    fill(page, "compare_seeds", "1")
    fill(page, "compare_sampling_steps", 2)
    page.locator("#compare_run_button").click()
    grid = page.locator("#compare_grid")
    painted = grid.locator("td:not(.photos) img")
    expect(painted).to_have_count(6, timeout=WAIT_MS)  # 3 steps, 2 prompts, 1 seed
    expect(grid.locator("td.photos img")).to_have_count(4)
    expect(grid.locator("td.photos")).to_have_css("display", "table-cell")  # over all steps, not in a strip of its own
    wide = page.locator("#body.compare-wide")
    expect(wide).to_have_count(1)
    page.evaluate("window.dispatchEvent(new Event('job-submitted'))")  # late: the grid was quicker than the answer
    expect(wide).to_have_count(1)
    panel, shown = page.locator("#output").bounding_box(), grid.bounding_box()
    assert panel and shown and shown["width"] > 850 and panel["y"] > shown["y"] + shown["height"]  # at 1400 px
    if picture := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{picture}/compare.png")
    painted.first.click()
    seen = grid.locator("dialog img")
    for key, told in (("ArrowRight", "step 60"), ("End", "step 90"), ("ArrowDown", "step 90: a sketch of anna")):
        page.keyboard.press(key)
        expect(seen).to_have_attribute("alt", re.compile(told))
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    expect(seen).to_have_attribute("alt", "training photo 3")
    page.keyboard.press("Escape")
    expect(grid.get_by_alt_text("training photo 3").and_(page.locator(":focus"))).to_have_count(1)
    grid.get_by_role("button", name="Wide").click()
    expect(wide).to_have_count(0)
    for key in ("Enter", " "):  # a picture is a button, also for the keyboard
        grid.locator("td img").first.press(key)
        expect(grid.locator("dialog img")).to_be_visible()
        page.keyboard.press("Escape")
    grid.locator("td img").first.click()
    expect(grid.locator("dialog img")).to_be_visible()
    page.wait_for_function(
        "picture => picture.complete && picture.naturalWidth > 0", arg=grid.locator("dialog img").element_handle()
    )
    grid.get_by_role("button", name="Close").click()
    file = workspace.embeddings / "anna.pt"
    before = file.read_bytes()
    grid.get_by_role("button", name="Use this step: 60").click()
    expect(grid.locator(".used")).to_contain_text("Step 60 is now embeddings/anna.pt")
    assert file.read_bytes() != before
    assert file.read_bytes() == (workspace.root / find_runs(workspace)[0] / "embeddings" / "anna-60.pt").read_bytes()
    reload(page)
    choose_tab(page, "Compare")
    expect(page.locator("#compare_grid td:not(.photos) img")).to_have_count(6, timeout=WAIT_MS)
