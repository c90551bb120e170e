"""The live strip in a real browser, on jobs that need no model: what is open goes with its run, and the keyboard keeps its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.ui.journey import free_port, open_chromium, open_page
from ti_core.events import Finished, PreviewSaved, Started, StepDone
from ti_core.jobs import JobQueue
from ti_core.ui.server import Door, start_page
from ti_core.workspace import Workspace


@pytest.fixture
def jobs(tmp_path: Path) -> JobQueue:
    return JobQueue(Workspace(tmp_path))


@pytest.fixture
def page(tmp_path: Path, jobs: JobQueue) -> Iterator[Page]:
    blocks = start_page(Workspace(tmp_path), Door(free_port()), jobs)
    with open_chromium() as browser:
        yield open_page(browser, f"http://127.0.0.1:{blocks.server_port}")
    blocks.close()
    jobs.close()


def wait_to_stop(emit: Any, stop: threading.Event) -> None:
    emit(Started("Waiting", 0))
    stop.wait(600)


def train_one_step(jobs: JobQueue, folder: Path) -> None:
    """A training that is over at once, with a preview."""
    Image.new("RGB", (8, 8)).save(folder / "anna-1.png")

    def train(emit: Any, stop: threading.Event) -> None:
        emit(Started("Training anna", 1))
        emit(StepDone(1, 0.1, 0.005, "a photo of anna", 0.1))
        emit(PreviewSaved(1, str(folder / "anna-1.png"), "a photo of anna"))
        emit(Finished("Done."))

    jobs.submit("train", "Train anna", train)


def test_an_opened_preview_is_closed_when_another_run_begins(page: Page, jobs: JobQueue, tmp_path: Path) -> None:
    """Its step would be looked for in the other run."""
    train_one_step(jobs, tmp_path)
    page.get_by_role("button", name="Open the preview of step 1").click()
    expect(page.get_by_role("dialog", name="Preview")).to_be_visible()
    other = jobs.submit("train", "Train berta", wait_to_stop)
    expect(page.locator("#live .title")).to_have_text("Waiting")
    expect(page.get_by_role("dialog", name="Preview")).to_be_hidden()
    other.stop.set()


def test_a_training_is_shown_again_after_another_job_has_ended(page: Page, jobs: JobQueue, tmp_path: Path) -> None:
    train_one_step(jobs, tmp_path)
    preview = page.get_by_role("button", name="Open the preview of step 1")
    expect(preview).to_be_visible()
    jobs.submit("create", "Create berta", lambda emit, stop: emit(Finished("Created.")))
    expect(page.locator("#live .text")).to_have_text("Created.")
    expect(preview).to_have_count(0)
    page.get_by_role("button", name="Show its pictures again: Training anna").click()
    expect(preview).to_be_visible()
    page.get_by_role("button", name="Close, and show the newest job: Training anna").click()
    expect(page.locator("#live .text")).to_have_text("Created.")
    page.get_by_role("button", name="Show its pictures again: Training anna").click()
    expect(preview).to_be_visible()
    jobs.submit("create", "Create clara", lambda emit, stop: emit(Finished("Created clara.")))
    expect(page.locator("#live .text")).to_have_text("Created clara.")  # what is new comes first


def test_the_keyboard_moves_a_job_up_twice_without_looking_for_it_again(page: Page, jobs: JobQueue) -> None:
    running = jobs.submit("train", "running", wait_to_stop)
    for name in ("first", "second", "third"):
        jobs.submit("train", name, wait_to_stop)
    third = page.locator("#live .jobs li").filter(has_text="third")
    expect(third).to_contain_text("number 3")
    page.get_by_role("button", name="Move up: third").focus()
    for place in (2, 1):
        page.keyboard.press("Enter")
        expect(third).to_contain_text(f"number {place}")
    for job in [running, *jobs.line()]:
        jobs.cancel(job.id)


def test_work_that_says_nothing_is_told(page: Page, jobs: JobQueue) -> None:
    job = jobs.submit("train", "Train anna", wait_to_stop)
    quiet = page.locator("#live .quiet")
    expect(page.locator("#live .title")).to_have_text("Waiting")
    expect(quiet).to_be_hidden()
    job.news_at -= 45
    expect(quiet).to_have_text("No news for 40 s; it is still at work.")
    job.alive_at = job.news_at
    expect(quiet).to_have_text("No news for 40 s: the work does not answer. Interrupt ends it within ten seconds, and what was saved is kept.")
    job.stop.set()
    expect(quiet).to_be_hidden()
