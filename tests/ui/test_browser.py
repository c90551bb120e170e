"""What a person does, in a real browser: the recipe, a reload in mid-run, a second browser, Interrupt, the download."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.models.tiny_families import save_single_file
from tests.ui.journey import (
    ANSWER_S,
    PHONE,
    SLOW_MS,
    curve_points,
    drawn_width,
    fill,
    open_chromium,
    open_group,
    open_page,
    prepare_recipe,
    previews,
    reload,
    running_app,
    state,
    train,
    value_of,
    wait_for_previews,
    wait_until_restored,
)
from ti_core.checkpoints.library import CheckpointFile
from ti_core.embeddings.formats import load_embedding
from ti_core.settings import PORTRAITS
from ti_core.workspace import PORTRAITS_FOLDER


@pytest.fixture(scope="module")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def url(workspace_folder: Path) -> Iterator[str]:
    with running_app(workspace_folder) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = open_page(browser, url)
    yield page
    page.context.close()


@pytest.fixture(autouse=True)
def nothing_runs_on(url: str) -> Iterator[None]:
    """A test that failed in mid-run must not let the next ones wait for its job."""
    yield
    httpx.post(f"{url}/sdapi/v1/interrupt", timeout=ANSWER_S)


def test_the_recipe_is_four_clicks_and_survives_a_reload_a_second_browser_and_interrupt(
    browser: Browser, url: str, workspace_folder: Path, tmp_path: Path
) -> None:
    requests: list[str] = []
    page = open_page(browser, url, requests)
    prepare_recipe(page)
    name = value_of(page, "create_name")
    assert value_of(page, "train_embedding") == name
    assert value_of(page, "train_dataset_directory") == f"datasets/{name}"
    assert value_of(page, "train_batch_size") == "2"
    assert value_of(page, "train_gradient_accumulation_steps") == "12"
    assert len(list((workspace_folder / "datasets" / name).glob("*.png"))) == 24

    train(page, steps=400, every=2)
    wait_for_previews(page, 3)  # the first two are of the start
    assert drawn_width(page) >= 64
    seen = curve_points(page)
    assert seen >= 2
    wait_for_previews(page, len(previews(page)) + 1)
    grown = (
        "seen => document.querySelector('#live polyline.raw').getAttribute('points').trim().split(/\\s+/).length > seen"
    )
    page.wait_for_function(grown, arg=seen, timeout=SLOW_MS)

    reload(page)
    wait_for_previews(page, 6)
    assert {"step 2", "step 4"} <= set(previews(page))
    assert drawn_width(page, 1) >= 64
    assert curve_points(page) >= 4
    assert value_of(page, "train_steps") == "400"
    other = open_page(browser, url, requests)
    for label in previews(page):
        step = label.removeprefix("step ")
        expect(other.locator(f'#filmstrip [data-step="{step}"]')).to_have_count(1, timeout=SLOW_MS)

    page.get_by_role("button", name="Interrupt", exact=True).click()
    for watcher in (page, other):
        expect(state(watcher)).to_have_text("interrupted", timeout=SLOW_MS)
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Download {name}.pt", exact=True).click()
    download.value.save_as(tmp_path / "fetched.pt")
    assert zipfile.is_zipfile(tmp_path / "fetched.pt")
    step = load_embedding(tmp_path / "fetched.pt").step
    assert step is not None and 4 <= step < 400

    assert len(requests) > 50
    assert [asked for asked in requests if not asked.startswith((url, "data:", "blob:"))] == []
    page.context.close()
    other.context.close()


def test_a_page_takes_nothing_until_it_has_put_back_what_was_typed_before(browser: Browser, url: str) -> None:
    """What the server sends for that would overwrite it."""
    page = browser.new_context().new_page()
    held: list[Route] = []
    page.route(re.compile("/gradio_api/(run|queue/join)"), lambda route: held.append(route))
    page.goto(url)
    expect(state(page)).not_to_have_text("connecting", timeout=SLOW_MS)
    page.wait_for_function("() => window.pageIsBack", timeout=SLOW_MS)
    assert page.evaluate("document.body.inert && !window.formsAreBack")
    for route in held:
        route.continue_()
    page.unroute_all()
    wait_until_restored(page)
    page.context.close()


def test_a_form_that_cannot_be_used_names_every_problem_and_keeps_what_was_typed(
    page: Page, workspace_folder: Path
) -> None:
    page.get_by_role("tab", name="Train").click()
    fill(page, "train_steps", 0)
    fill(page, "train_learning_rate", "0.05:10, fast")
    page.get_by_role("button", name="Train Embedding").click()
    for field, part in (
        ("embedding", "Embedding is empty"),
        ("steps", "Max steps is 0"),
        ("learning_rate", "fast"),
        ("dataset_directory", "Dataset directory is empty"),
    ):
        expect(page.locator(f"#train_{field} .field-error")).to_contain_text(part)
    assert value_of(page, "train_learning_rate") == "0.05:10, fast"


def test_a_failed_job_is_shown_as_failed(page: Page, workspace_folder: Path) -> None:
    (workspace_folder / "nothing").mkdir(exist_ok=True)
    (workspace_folder / "nothing" / "broken.jpg").write_bytes(b"no picture")
    page.get_by_role("tab", name="Preprocess images").click()
    fill(page, "preprocess_source_directory", "nothing")
    fill(page, "preprocess_destination_directory", "datasets/nothing")
    page.get_by_role("button", name="Preprocess", exact=True).click()
    answer = page.locator('.job-answer[data-tab="preprocess"]')  # the run panel goes on showing the training, if any
    expect(answer).to_contain_text("Preprocess nothing: failed", timeout=SLOW_MS)
    expect(answer).to_contain_text("broken.jpg")
    expect(page.locator("#preprocess_message .message-text")).to_have_text(re.compile("broken.jpg"))


def test_dropped_photos_become_a_folder_of_the_workspace_and_then_a_gallery(
    page: Page, workspace_folder: Path, tmp_path: Path
) -> None:
    photos = [tmp_path / "me & you.jpg", tmp_path / "two.png"]
    for number, photo in enumerate(photos):
        Image.new("RGB", (90, 70), (40 * number, 90, 160)).save(photo)
    page.get_by_role("tab", name="Preprocess images").click()
    page.locator("#preprocess_drop input[type=file]").set_input_files(photos)
    expect(page.locator("#preprocess_source_directory").get_by_role("textbox")).to_have_value("uploads/photos")
    assert sorted(file.name for file in (workspace_folder / "uploads" / "photos").iterdir()) == [
        "me  you.jpg",
        "two.png",
    ]
    fill(page, "preprocess_destination_directory", "datasets/dropped")
    page.get_by_role("button", name="Preprocess", exact=True).click()
    expect(page.locator("#preprocess_gallery img")).to_have_count(2, timeout=SLOW_MS)
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#train_dataset_directory textarea, #train_dataset_directory input")).to_have_value(
        "datasets/dropped"
    )


def test_the_sizes_of_all_forms_follow_the_checkpoint_but_not_what_was_typed_and_a_reload_keeps_them(
    page: Page, workspace_folder: Path
) -> None:
    models = workspace_folder / "models" / "Stable-diffusion"
    models.mkdir(parents=True, exist_ok=True)
    save_single_file("sdxl", models / "xl.safetensors")
    fields = ("preprocess_width", "preprocess_height", "train_height", "txt2img_width", "txt2img_height")

    def expect_sizes(size: int, width: int) -> None:
        for tab, names in (("Preprocess images", fields[:2]), ("Train", fields[2:3]), ("txt2img", fields[3:])):
            page.get_by_role("tab", name=tab).click()
            if tab == "Train":
                open_group(page, "train_rest")
            for name in names:
                expect(page.locator(f"#{name} input[type=number]")).to_have_value(str(size))
        page.get_by_role("tab", name="Train").click()
        expect(page.locator("#train_width input[type=number]")).to_have_value(str(width))

    def choose(checkpoint: str) -> None:
        box = page.locator("#checkpoint input")
        box.fill(checkpoint)
        box.press("Enter")

    own = CheckpointFile(PORTRAITS, PORTRAITS_FOLDER).size_px
    expect_sizes(own, own)
    choose("xl")
    expect_sizes(1024, 1024)
    page.locator("#train_width input[type=number]").fill("640")
    page.get_by_role("tab", name="Preprocess images").click()
    page.locator("#preprocess_auto_sized_crop input").check()
    expect(page.locator("#preprocess_dimension_upper input[type=number]")).to_have_value("1536")
    fill(page, "preprocess_source_directory", "assets/sample_photos/anna")
    expect(page.locator("#preprocess_plan textarea")).to_have_value(re.compile("8 of 12 photos are smaller"))
    reload(page)
    expect_sizes(1024, 640)
    choose("portraits")
    expect_sizes(own, 640)


def test_the_page_fits_a_phone_with_the_run_below_the_forms_and_its_line_in_view(browser: Browser, url: str) -> None:
    page = open_page(browser, url, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    panel, form = page.locator("#hero").bounding_box(), page.locator("#create_name").bounding_box()
    assert panel and form and form["y"] < panel["y"]
    expect(page.locator("#progress")).to_be_in_viewport(ratio=1)
    for name in ("Create embedding", "Preprocess images", "Train"):
        expect(page.get_by_role("tab", name=name)).to_be_visible()
    page.context.close()
