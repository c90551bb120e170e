"""The pictures of a run as a person sees and steers them, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from safetensors.torch import load

from tests.runs.test_in_use import rows
from tests.ui.journey import (
    ANSWER_MS,
    ANSWER_S,
    drawn_width,
    free_port,
    open_chromium,
    state,
    strip,
    wait_until_restored,
)
from tests.ui.live.painted_run import PaintedRun, evaluated
from ti_core.jobs.queue import JobQueue
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace

DESKTOP, WIDE = {"width": 1400, "height": 900}, {"width": 1920, "height": 1080}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def served(workspace: Workspace) -> Iterator[tuple[str, JobQueue]]:
    """A page with two logins; at its address, and the queue that it shows."""
    jobs = JobQueue(workspace)
    options = ServerOptions(free_port(), user="anna", password="right", look_user="eve", look_password="looks")
    blocks = start_page(workspace, options, jobs)
    yield f"http://127.0.0.1:{blocks.server_port}", jobs
    blocks.close()
    jobs.close()


@pytest.fixture
def jobs(served: tuple[str, JobQueue], workspace: Workspace) -> Iterator[JobQueue]:
    """Nothing runs before a test, or is in use."""
    yield served[1]
    for job in served[1].table.running():
        served[1].cancel(job.id)
        served[1].wait_for(job, 60)
    for file in workspace.embeddings.glob("anna*"):
        file.unlink()


@pytest.fixture
def folder(tmp_path: Path, workspace: Workspace) -> Path:
    """A place for one test's run."""
    return workspace.root / tmp_path.name


Opened = Callable[..., Page]


@pytest.fixture
def opened(served: tuple[str, JobQueue], browser: Browser) -> Iterator[Opened]:
    url, _ = served
    pages: list[Page] = []

    def open_one(address: str = "", user: str = "anna", password: str = "right", **context: Any) -> Page:
        with httpx.Client() as client:
            client.post(f"{url}/login", data={"username": user, "password": password}, timeout=ANSWER_S)
            cookies = [{"name": name, "value": value, "url": url} for name, value in client.cookies.items()]
        page = browser.new_context(**context).new_page()
        page.context.add_cookies(cookies)  # type: ignore[arg-type]
        pages.append(page)
        page.set_default_timeout(ANSWER_MS)
        page.goto(f"{url}{address}")
        wait_until_restored(page)
        return page

    yield open_one
    for page in pages:
        page.context.close()


def begun(page: Page, jobs: JobQueue, folder: Path, **wishes: int) -> PaintedRun:
    """A run that the page shows: until then it shows that of the test before."""
    run = PaintedRun(jobs, folder, **wishes)
    expect(state(page)).to_have_text("running")
    return run


def chosen(page: Page, step: int, prompt: int = 1) -> None:
    """Wait until this picture is the large one, and the only one marked in the filmstrip."""
    expect(page.locator("#live .which")).to_have_text(f"step {step}")
    expect(page.locator('#filmstrip [aria-pressed="true"]')).to_have_count(1)
    column = page.locator(f'#filmstrip [data-step="{step}"]')
    expect(column.locator(f'[data-prompt="{prompt}"]')).to_have_attribute("aria-pressed", "true")


def places(page: Page) -> dict[str, tuple[float, ...]]:
    """Where everything stands from the picture downwards."""
    queries = ("#hero", ".beside", "#filmstrip", ".slider", ".follow", "#use-step", "#download-step", ".try", ".plan")
    boxes = {query: page.locator(f"#live {query}").bounding_box() for query in queries}
    return {query: tuple(box.values()) for query, box in boxes.items() if box}


# ---- the layout


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (WIDE, "light"), (WIDE, "dark")], ids=str
)
def test_the_picture_is_large_and_nothing_moves_when_a_step_arrives(
    opened: Opened, jobs: JobQueue, folder: Path, size: dict[str, int], theme: str
) -> None:
    """It began at y = 879 of 900, below two charts that grew."""
    page = opened(f"/?__theme={theme}", viewport=size)
    run = begun(page, jobs, folder, prompts=2)
    expect(page.locator("#hero .nothing")).to_have_text("The first picture is on its way.")
    photo = page.locator("#live .beside img")
    expect(photo).to_have_attribute("alt", "A training photo")
    before = places(page)
    assert len(before) == 9
    for step in (0, 10, 20, 30):
        run.step(step, evaluated(step, 10), copy=step > 0)
        chosen(page, step)
        assert places(page) == before
    panel, picture = page.locator("#live").bounding_box(), page.locator("#hero img").bounding_box()
    assert panel and picture
    assert picture["y"] - panel["y"] <= 110
    assert 400 <= picture["width"] <= max(405, 0.45 * size["height"])
    photo_box = photo.bounding_box()
    assert photo_box and photo_box["x"] > picture["x"] + picture["width"] and photo_box["y"] == picture["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    run.end()
    expect(page.locator("#live .state")).to_have_text("finished")
    assert places(page) == before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_the_picture_is_as_wide_as_the_screen_and_the_line_stays(
    opened: Opened, jobs: JobQueue, folder: Path, theme: str
) -> None:
    page = opened(f"/?__theme={theme}", **PHONE)
    run = begun(page, jobs, folder, prompts=2)
    run.step(10)
    chosen(page, 10)
    expect(page.locator("#live .count")).to_contain_text("10 / 1000")
    picture, tabs = page.locator("#hero img").bounding_box(), page.get_by_role("tab", name="Train").bounding_box()
    assert picture and tabs and tabs["y"] < picture["y"]
    assert (picture["x"], picture["width"]) == (0, 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#use-step").scroll_into_view_if_needed()
    expect(page.locator("#progress")).to_be_in_viewport(ratio=1)
    small = page.evaluate(
        "() => [...document.querySelectorAll('.panel .viewer button, .panel .step-acts > * > *, .panel .head button')]"
        ".filter(at => at.checkVisibility() && at.tagName !== 'SPAN' && at.getBoundingClientRect().height < 40)"
        ".map(at => at.textContent || at.ariaLabel)"
    )
    assert small == []


# ---- choosing


def test_steps_and_prompts_are_chosen_by_press_by_key_and_by_slider(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder, prompts=3)
    for step in (0, 10, 20, 30):
        run.step(step, evaluated(step, 20), copy=step > 0)
    chosen(page, 30)  # the newest is followed
    assert strip(page).evaluate_all("steps => steps.map(step => step.dataset.step)") == ["0", "10", "20", "30"]
    expect(page.locator("#filmstrip .best")).to_have_attribute("data-step", "20")
    page.locator('#filmstrip [data-step="20"] button').first.click()
    chosen(page, 20)
    expect(page.locator("#live .name")).to_have_text("step 20 · best by the test · prompt 1 of 3")
    expect(page.locator("#live .follow")).not_to_be_checked()
    for key, step, prompt in (
        ("ArrowLeft", 10, 1),
        ("ArrowDown", 10, 2),
        ("ArrowDown", 10, 3),
        ("ArrowDown", 10, 3),
        ("ArrowUp", 10, 2),
        ("ArrowRight", 20, 2),
        ("Home", 0, 2),
        ("ArrowLeft", 0, 2),
        ("End", 30, 2),
    ):
        page.keyboard.press(key)
        chosen(page, step, prompt)
    page.locator("#prompt-switch").get_by_role("button", name="Prompt 3").click()
    chosen(page, 30, 3)
    page.locator("#live .slider").focus()
    page.keyboard.press("ArrowLeft")
    chosen(page, 20, 3)
    page.locator("#live .slider").fill("1")
    chosen(page, 10, 3)
    run.step(40)  # what somebody has chosen stays
    expect(strip(page)).to_have_count(5)
    chosen(page, 10, 3)
    page.locator("#live .follow").check()
    chosen(page, 40, 3)
    run.step(50)
    chosen(page, 50, 3)


def test_a_step_is_compared_with_a_photo_the_start_and_another_step(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder)
    for step in (0, 10, 20):
        run.step(step, copy=step > 0)
    chosen(page, 20)
    beside, switch = page.locator("#live .beside figcaption"), page.locator("#live .beside-switch")
    expect(beside).to_have_text("training photo")
    switch.get_by_role("button", name="Start").click()
    expect(beside).to_have_text("the start")
    page.locator('#filmstrip [data-step="10"]').click()
    page.locator("#live").get_by_role("button", name="Compare", exact=True).click()
    expect(beside).to_have_text("step 10")
    page.keyboard.press("ArrowRight")  # the keyboard is in the filmstrip
    chosen(page, 20)
    expect(beside).to_have_text("step 10")
    switch.get_by_role("button", name="Training photo").click()
    switch.get_by_role("button", name="Step 10").click()
    expect(beside).to_have_text("step 10")


def test_the_picture_is_opened_full_size_and_escape_gives_the_focus_back(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder)
    for step in (10, 20):
        run.step(step)
    chosen(page, 20)
    button = page.get_by_role("button", name="Open full size")
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="Preview")
    expect(dialog.locator("figcaption")).to_contain_text("step 20: a photo of anna")
    page.keyboard.press("ArrowLeft")
    expect(dialog.locator("figcaption")).to_contain_text("step 10: a photo of anna")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    chosen(page, 10)


# ---- what is done with a step


def test_a_chosen_step_is_used_downloaded_and_tried(
    opened: Opened, jobs: JobQueue, folder: Path, workspace: Workspace
) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder)
    for step in (10, 20, 25, 30):
        run.step(step, copy=step != 25)
    chosen(page, 30)
    page.locator('#filmstrip [data-step="20"]').click()
    use, get = page.locator("#use-step"), page.locator("#download-step")
    expect(get).to_have_text("Download anna-20.pt")
    use.click()
    expect(page.locator("#live .answer")).to_contain_text("'Training anna' is running and saves the embedding")
    run.end()
    expect(page.locator("#live .state")).to_have_text("finished")
    use.click()
    expect(page.locator("#live .answer")).to_contain_text("Step 20 is now embeddings/anna.pt.")
    expect(page.locator("#live .in-use")).to_have_text("In use: step 20.")
    expect(page.locator("#filmstrip .used")).to_have_attribute("data-step", "20")
    expect(page.locator("#live .marks")).to_have_text(" · in use")
    with page.expect_download() as download:
        get.click()
    assert Path(download.value.path()).read_bytes() == run.run.copy(20).read_bytes()
    with page.expect_download() as download:
        page.locator("#live").get_by_role("link", name=".safetensors").click()
    assert download.value.suggested_filename == "anna-20.safetensors"
    found = load(Path(download.value.path()).read_bytes())["emb_params"]
    assert found.tolist() == rows(20).vectors["clip_l"].tolist()
    with page.expect_download() as download:
        page.locator("#live").get_by_role("link", name="Picture", exact=True).click()
    assert download.value.suggested_filename == "anna-20.png"
    page.locator('#filmstrip [data-step="25"]').click()
    expect(get).to_have_text("No file here; step 20 has one")
    expect(use).to_have_attribute("aria-disabled", "true")
    page.locator('#filmstrip [data-step="30"]').click()
    expect(get).to_have_text("Download anna-30.pt")
    page.locator("#live").get_by_role("button", name="Try in txt2img").click()
    expect(page.get_by_role("tab", name="txt2img")).to_have_attribute("aria-selected", "true")
    prompt = page.locator("#txt2img_prompt textarea")
    job = jobs.get(run.job.id)
    assert job is not None
    expect(prompt).to_have_value(job.previews[0][2].replace("anna", "anna-30"))
    assert (workspace.embeddings / "anna-30.pt").read_bytes() == run.run.copy(30).read_bytes()


def test_forty_of_forty_presses_act_while_steps_arrive(opened: Opened, jobs: JobQueue, folder: Path) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder)
    for step in range(10, 60, 10):
        run.step(step)
    chosen(page, 50)
    for number in range(40):
        run.step(60 + number)
        step = (number % 4 + 1) * 10
        page.locator("#live .slider").fill("0")  # the first ones are in view
        cell = page.locator(f'#filmstrip [data-step="{step}"]')
        cell.hover()
        page.mouse.down()
        if number % 10 == 0:  # a slow finger
            with page.expect_response(lambda response: "/live?" in response.url):
                pass
        page.mouse.up()
        chosen(page, step)
    assert drawn_width(page) == 64


def test_a_picture_and_a_copy_are_asked_for_while_it_runs(opened: Opened, jobs: JobQueue, folder: Path) -> None:
    page = opened(viewport=DESKTOP)
    run = begun(page, jobs, folder)
    for name in ("Picture now", "Save now"):
        button = page.locator("#live").get_by_role("button", name=name)
        button.click()
        expect(page.locator("#live .answer")).to_have_text(re.compile(r"^[A-Z].*\.$"))  # what the server says
        expect(page.locator("#live .answer")).not_to_contain_text("does not answer")
    run.end()
    expect(button).to_be_hidden()


def test_a_person_who_may_only_look_gets_pictures_and_downloads_alone(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(user="eve", password="looks", viewport=DESKTOP)
    run = begun(page, jobs, folder)
    run.step(10)
    chosen(page, 10)
    expect(page.locator("#download-step")).to_have_text("Download anna-10.pt")
    expect(page.locator("#live .you")).to_have_text("You are signed in as eve and may look, not change.")
    for name in ("Use this step", "Try in txt2img", "Picture now", "Save now", "Interrupt: Training anna"):
        expect(page.locator("#live").get_by_role("button", name=name, exact=True)).to_have_count(0)


# ---- the end


def test_the_title_tells_how_far_it_is_and_the_end_is_told_to_who_asked(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(viewport=DESKTOP)
    assert page.title() == "Textual Inversion"
    page.evaluate(
        """() => {
          window.told = [];
          window.Notification = class { constructor(text) { window.told.push(text); } };
          window.Notification.permission = "granted";
          window.Notification.requestPermission = async () => window.told.push("asked") && "granted";
          const Sound = window.AudioContext;
          window.AudioContext = class extends Sound {
            createOscillator() { window.told.push("tone"); return super.createOscillator(); }
          };
        }"""
    )
    run = begun(page, jobs, folder, total=100)
    run.step(47)
    page.wait_for_function("() => document.title === '47 % Training anna · Textual Inversion'")
    assert page.evaluate("window.told") == []
    page.get_by_role("checkbox", name="Message").check()
    page.wait_for_function("() => window.told.join() === 'asked'")
    page.get_by_role("checkbox", name="Sound").check()
    page.wait_for_function("() => window.told.join() === 'asked,tone,tone'")
    run.end()
    page.wait_for_function("() => window.told.length === 6")
    assert page.evaluate("window.told.slice(3).sort()") == ["Training anna: finished, step 47 of 100", "tone", "tone"]
    page.wait_for_function("() => document.title.endsWith('Textual Inversion') && !document.title.startsWith('47')")


# ---- a long run


@pytest.mark.slow
def test_with_five_hundred_previews_few_pictures_are_in_the_page_and_it_stays_quick(
    opened: Opened, jobs: JobQueue, folder: Path
) -> None:
    page = opened(viewport=WIDE)
    run = begun(page, jobs, folder, prompts=4, total=5000)
    for step in range(0, 5000, 10):
        run.step(step, copy=False)
    chosen(page, 4990)
    count = "() => document.images.length"
    assert page.evaluate(count) <= 60
    assert int(strip(page).last.get_attribute("data-step") or 0) == 4990
    page.locator('#filmstrip [data-step="4990"] button').first.click()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    chosen(page, 4690)
    page.keyboard.press("Home")
    chosen(page, 0)
    expect(strip(page).first).to_have_attribute("data-step", "0")
    page.locator("#live .slider").fill("250")
    chosen(page, 2500)
    page.locator("#filmstrip").evaluate("strip => strip.scrollLeft = 1000")
    expect(page.locator('#filmstrip [data-step="180"]')).to_be_visible()
    assert page.evaluate(count) <= 60
    drawing_ms = page.evaluate(
        """() => {
          const hero = document.querySelector("#hero"), start = performance.now(), times = 50;
          for (let i = 0; i < times; i++) hero.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
          return (performance.now() - start) / times;
        }"""
    )
    print(f"a step is drawn in {drawing_ms:.1f} ms")
    assert drawing_ms < 50
