"""The face recipe by clicking, in a real browser on the real app.py: shared by the tests and by screenshots.py."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[2]
APP = [sys.executable, str(REPOSITORY / "app.py")]
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
START_S = 120
SLOW_MS = 240_000
"""For what a job does; a busy machine needs many times what a quiet one does."""
ANSWER_S = 120
ANSWER_MS = 60_000
"""For what the page does by itself. Playwright's own 5 s are too short for a machine that does other work too."""
expect.set_options(timeout=ANSWER_MS)


DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(workspace: Path, *flags: str, is_killed: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Start the page on a free port; gives its address and the lines it has printed. Ends only the process it
    started, as a computer that shuts down does, or as one that loses its power.
    """
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    environment.pop("GRADIO_TEMP_DIR", None)
    process = subprocess.Popen(
        [*APP, "--port", str(port), "--workspace", str(workspace), *flags],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    opened = threading.Event()

    def read() -> None:
        for line in process.stdout or []:
            lines.append(line.rstrip())
            if line.startswith("Local page:"):
                opened.set()
        opened.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert opened.wait(START_S) and any(line.startswith("Local page:") for line in lines), "\n".join(
            ["the page did not open:", *lines]
        )
        yield f"http://127.0.0.1:{port}", lines
    finally:
        process.kill() if is_killed else process.terminate()
        process.wait(30)
        reader.join(5)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "the browser tests need chromium; ./test.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=BROWSER_FLAGS, timeout=START_S * 1000)
        yield browser
        browser.close()


def open_page(browser: Browser, url: str, requests: list[str] | None = None, **context: object) -> Page:
    """A page in a browser profile of its own; the addresses it asks for are added to `requests`."""
    page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(ANSWER_MS)
    if requests is not None:
        page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    wait_until_restored(page)
    return page


def reload(page: Page) -> None:
    """As somebody does who has stopped typing: once what the browser keeps no longer changes."""
    page.wait_for_function(
        """() => {
          const before = window.keptBefore;
          window.keptBefore = localStorage.getItem("textual-inversion-forms-1");
          return before === window.keptBefore && !window.pressesDue?.size;
        }""",
        polling=400,
    )
    page.reload()
    wait_until_restored(page)


def wait_until_restored(page: Page) -> None:
    """Until the page has its news and has put back what was typed: what is done before that is overwritten."""
    expect(state(page)).not_to_have_text("connecting", timeout=START_S * 1000)
    page.wait_for_function(
        "() => window.pageIsBack && window.formsAreBack && !document.body.inert", timeout=START_S * 1000
    )


def state(page: Page):  # type: ignore[no-untyped-def]
    return page.locator("#live .state")


def strip(page: Page):  # type: ignore[no-untyped-def]
    """The steps of the filmstrip, oldest first."""
    return page.locator("#filmstrip [data-step]")


def previews(page: Page) -> list[str]:
    """What the pictures of the filmstrip are called, newest first, without the marks of the best and the used one."""
    titles = strip(page).evaluate_all("steps => steps.map(step => step.title)")
    return [title.split(":")[0] for title in reversed(titles)]


def curve_points(page: Page) -> int:
    return len((page.locator("#live polyline.raw").get_attribute("points") or "").split())


def fill(page: Page, widget: str, value: object) -> None:
    page.locator(f"#{widget}").locator("input, textarea").first.fill(str(value))


def value_of(page: Page, widget: str) -> str:
    return page.locator(f"#{widget}").locator("input, textarea").first.input_value()


def choose_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def open_group(page: Page, group: str) -> None:
    """Open a folded group of fields, if it is not open."""
    head = page.locator(f"#{group} > button.label-wrap")
    if "open" not in (head.get_attribute("class") or "").split():
        head.click()


def prepare_recipe(page: Page) -> None:
    """Three of the recipe's four clicks: the Train form is filled in when this returns."""
    page.get_by_role("button", name="Try the face recipe with sample photos").click()
    expect(page.locator("#create_name").get_by_role("textbox")).not_to_have_value("")
    page.get_by_role("button", name="Create embedding").click()
    preprocess = page.get_by_role("button", name="Preprocess", exact=True)
    expect(preprocess).to_be_visible(timeout=SLOW_MS)
    preprocess.click()
    expect(page.get_by_role("button", name="Train Embedding")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#train_plan textarea")).to_have_value(re.compile("Each step looks at"))


def train(page: Page, steps: int, every: int) -> None:
    """The fourth click, with fewer steps."""
    fill(page, "train_steps", steps)
    fill(page, "train_image_every", every)
    fill(page, "train_save_every", every)
    expect(page.locator("#train_plan textarea")).to_have_value(re.compile(f"{steps} steps"))
    page.get_by_role("button", name="Train Embedding").click()


def wait_for_previews(page: Page, count: int) -> None:
    expect(strip(page).locator("img").nth(count - 1)).to_be_visible(timeout=SLOW_MS)


def drawn_width(page: Page, index: int = 0) -> int:
    """Pixels of a preview as the browser got it, the newest one first: 0 if it could not be fetched."""
    pictures = strip(page).locator("img")
    # of this one, whatever comes after it meanwhile
    picture = pictures.nth(pictures.count() - 1 - index).element_handle()
    assert picture
    picture.scroll_into_view_if_needed()
    page.wait_for_function("picture => picture.complete", arg=picture)
    return int(picture.evaluate("picture => picture.naturalWidth"))
