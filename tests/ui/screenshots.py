"""Makes the pictures of README.md, docs/faces.md and docs/captions.md of a real run: python -m tests.ui.screenshots
[--steps 150].
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.ui.journey import (
    REPOSITORY,
    SLOW_MS,
    choose_tab,
    fill,
    open_chromium,
    open_page,
    prepare_recipe,
    running_app,
    state,
    strip,
    train,
    wait_for_previews,
)

DESKTOP = {"viewport": {"width": 1400, "height": 1000}}


def make_screenshots(folder: Path, steps: int, every: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as workspace,
        running_app(Path(workspace)) as (url, _),
        open_chromium() as browser,
    ):
        page = open_page(browser, url, **DESKTOP)
        prepare_recipe(page)
        train(page, steps, every)
        page.evaluate("window.scrollTo(0, 0)")
        wait_for_previews(page, min(6, steps // every))
        page.screenshot(path=folder / "page.png")
        expect(state(page)).to_have_text("finished", timeout=4 * SLOW_MS)
        page.locator("#prompt-switch").get_by_role("button", name="Prompt 2").click()
        strip(page).filter(has_text="★").click()
        page.wait_for_timeout(2000)
        page.screenshot(path=folder / "finished.png")
        photograph_tabs(page, folder)


def photograph_tabs(page: Page, folder: Path) -> None:
    """The other tabs after the run, with a picture of the new word in another scene."""
    for tab, name in (
        ("Preprocess images", "preprocess"),
        ("Captions", "captions"),
        ("Compare", "compare"),
        ("txt2img", "txt2img"),
    ):
        choose_tab(page, tab)
        if name == "captions":
            page.locator("#captions_open").click()
        if name == "compare":
            fill(page, "compare_seeds", "1")
            page.locator("#compare_run_button").click()
            expect(page.locator("#compare_grid td img").first).to_be_visible(timeout=SLOW_MS)
        if name == "txt2img":
            fill(
                page, "txt2img_prompt", "a photo of anna, smiling, green shirt, lavender background, wearing a top hat"
            )
            fill(page, "txt2img_count", 4)
            page.get_by_role("button", name="Generate").click()
            expect(state(page)).to_have_text("finished", timeout=SLOW_MS)
        page.wait_for_timeout(4000)
        page.screenshot(path=folder / f"{name}.png", full_page=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pictures of the page, from a real run of the recipe.")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "images")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--every", type=int, default=10)
    arguments = parser.parse_args()
    make_screenshots(arguments.folder, arguments.steps, arguments.every)
