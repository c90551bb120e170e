"""The run panel in a real browser, on jobs that need no model: what is open goes with its run, and the keyboard
keeps its place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.jobs.test_store import WAITING, WaitSettings
from tests.ui.journey import free_port, open_chromium, open_page
from ti_core.errors import Interrupted
from ti_core.events import EmbeddingSaved, Finished, PreviewSaved, Started, StepDone
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.recovery import show_foreign
from ti_core.jobs.store import KeptJob
from ti_core.jobs.view import SHOWN_WAITING
from ti_core.runs.folder import RunFolder
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace


@pytest.fixture
def jobs(tmp_path: Path) -> JobQueue:
    return JobQueue(Workspace(tmp_path))


@pytest.fixture
def page(tmp_path: Path, jobs: JobQueue) -> Iterator[Page]:
    blocks = start_page(Workspace(tmp_path), ServerOptions(free_port()), jobs)
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
    page.get_by_role("button", name="Open full size").click()
    expect(page.get_by_role("dialog", name="Preview")).to_be_visible()
    other = jobs.submit("train", "Train berta", wait_to_stop)
    expect(page.locator("#live .title")).to_have_text("Waiting")
    expect(page.get_by_role("dialog", name="Preview")).to_be_hidden()
    other.stop.set()


def test_a_training_is_shown_again_after_another_job_has_ended(page: Page, jobs: JobQueue, tmp_path: Path) -> None:
    train_one_step(jobs, tmp_path)
    preview = page.get_by_role("button", name="Show step 1")
    expect(preview).to_be_visible()
    jobs.submit("txt2img", "berta", lambda emit, stop: emit(Finished("Created.")))
    expect(page.locator("#live .text")).to_have_text("Created.")
    expect(preview).to_have_count(0)
    page.get_by_role("button", name="Open its pictures: Training anna").click()
    expect(preview).to_be_visible()
    page.get_by_role("button", name="Hide its pictures, and show the newest job: Training anna").click()
    expect(page.locator("#live .text")).to_have_text("Created.")
    page.get_by_role("button", name="Open its pictures: Training anna").click()
    expect(preview).to_be_visible()
    go_on = threading.Event()

    def paint(emit: Any, stop: threading.Event) -> None:
        go_on.wait(600)
        emit(Finished("Created clara."))

    jobs.submit("txt2img", "clara", paint)
    expect(page.locator("#live .jobs li", has_text="clara: running")).to_be_visible()
    expect(preview).to_be_visible()  # as long as there is nothing new to look at
    go_on.set()
    expect(page.locator("#live .text")).to_have_text("Created clara.")


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
    for job in [running, *jobs.waiting()]:
        jobs.cancel(job.id)


# ---- the list of jobs


def test_a_long_line_shows_the_next_jobs_and_says_how_many_more_wait(page: Page, jobs: JobQueue) -> None:
    for number in range(2 + SHOWN_WAITING + 1):
        jobs.submit("train", f"job {number}", wait_to_stop)
    rows, more = page.locator("#live .jobs li"), page.locator("#live .queue-more")
    expect(more).to_have_text("2 more are waiting")
    expect(rows).to_have_count(1 + SHOWN_WAITING)
    expect(rows.last).to_contain_text(f"job {SHOWN_WAITING}: waiting, number {SHOWN_WAITING}")
    page.get_by_role("button", name="Cancel: job 7", exact=True).click()
    expect(more).to_have_text("1 more is waiting")
    page.get_by_role("button", name="Cancel: job 8", exact=True).click()
    expect(more).to_be_hidden()
    expect(rows.filter(has_text=f"job {2 + SHOWN_WAITING}: waiting")).to_have_count(1)
    for job in [*jobs.waiting(), *jobs.running()]:
        jobs.cancel(job.id)


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Page, JobQueue]]:
    """A page whose jobs wait or end at once, and whose list changes far more often than it does in earnest."""
    monkeypatch.setattr("ti_core.jobs.worker.SAVE_EVERY_S", 0.05)
    workspace = Workspace(tmp_path)
    jobs = JobQueue(workspace, WAITING)
    blocks = start_page(workspace, ServerOptions(free_port()), jobs)
    with open_chromium() as browser:
        yield open_page(browser, f"http://127.0.0.1:{blocks.server_port}"), jobs
    blocks.close()
    jobs.close()


def train_until_stopped(emit: Any, stop: threading.Event) -> None:
    emit(Started("Training anna", 100_000))
    step = 0
    while not stop.wait(0.02):
        step += 1
        emit(StepDone(step, 0.1, 0.005, "a photo of anna", 0.02))
    raise Interrupted


def press(page: Page, button: Any, polls: int) -> None:
    """Hold the mouse button down for so many answers of the server, as a slow finger does."""
    button.hover()
    page.mouse.down()
    for _ in range(polls):
        with page.expect_response(lambda response: "/live?" in response.url):
            pass
    page.mouse.up()


def test_forty_of_forty_presses_act_while_a_training_runs(short: tuple[Page, JobQueue]) -> None:
    """The list was built anew at nearly every poll, and what was pressed was gone before it was let go: 7 of 40
    were lost.
    """
    page, jobs = short
    jobs.wait_for(jobs.order("wait", WaitSettings("a", quick=True)))
    training = jobs.submit("train", "Train anna", train_until_stopped)
    waits = page.locator("#live .jobs li", has_text="waiting, number 1")
    for number in range(19):
        press(
            page,
            page.get_by_role("button", name="Run again, with the same settings: Wait for a").first,
            2 if number % 4 == 0 else 0,
        )
        expect(waits).to_have_count(1)
        assert len(jobs.waiting()) == 1
        press(page, page.get_by_role("button", name="Cancel: Wait for a"), 2 if number % 4 == 2 else 0)
        expect(waits).to_have_count(0)
        assert not jobs.waiting()
    assert training.state == "running" and jobs.get(training.id)
    press(page, page.get_by_role("button", name="Stop: Training anna"), 2)
    expect(page.locator("#live .jobs li", has_text="Training anna: interrupted")).to_be_visible()
    jobs.wait_for(jobs.order("wait", WaitSettings("b", quick=True)))
    expect(page.locator("#live .title")).to_have_text("Wait for b")  # a new job is shown, whatever was opened before
    press(page, page.get_by_role("button", name="Open its pictures: Training anna"), 1)
    expect(page.locator("#live .title")).to_have_text("Training anna")
    assert jobs.wait_for(training, 60).state == "interrupted"


def test_a_row_and_its_buttons_are_the_same_after_news(short: tuple[Page, JobQueue]) -> None:
    page, jobs = short
    jobs.wait_for(jobs.order("wait", WaitSettings("a", quick=True)))
    training = jobs.submit("train", "Train anna", train_until_stopped)
    again = page.get_by_role("button", name="Run again, with the same settings: Wait for a")
    stop = page.get_by_role("button", name="Stop: Training anna")
    before = [button.element_handle() for button in (again, stop)]
    again.focus()
    for name in ("b", "c"):  # rows come between
        jobs.order("wait", WaitSettings(name))
        expect(page.locator("#live .jobs li", has_text=f"Wait for {name}: waiting")).to_be_visible()
    assert all(
        page.evaluate("([a, b]) => a === b", [old, button.element_handle()])
        for old, button in zip(before, (again, stop), strict=True)
    )
    expect(again).to_be_focused()
    for job in [*jobs.waiting(), training]:
        jobs.cancel(job.id)
    jobs.wait_for(training, 60)


def test_what_is_of_another_version_is_shown_as_such(page: Page, jobs: JobQueue, tmp_path: Path) -> None:
    show_foreign(
        jobs.table, KeptJob({"id": "far", "kind": "hypernetwork", "title": "Train far", "owner": "", "order": None}, [])
    )
    jobs.submit("create", "Create berta", lambda emit, stop: emit(Finished("Created.")))
    row = page.locator("#live .jobs li", has_text="Train far")
    expect(row).to_have_text("Train far: of another version")
    expect(row.get_by_role("button")).to_have_count(0)  # nor is it put away: its file is left alone


# ---- the files of every step


def run_with_copies(folder: Path, steps: list[int], before_the_last: threading.Event | None = None) -> Any:
    """A training that keeps a copy, a card and a preview of each of these steps, with bytes of its own."""
    run = RunFolder(folder, "anna")

    def train(emit: Any, stop: threading.Event) -> None:
        emit(Started("Training anna", steps[-1], folder=str(folder)))
        for step in steps:
            if before_the_last and step == steps[-1]:
                before_the_last.wait(600)
            for path in (run.copy(step), run.card(step), run.preview(step)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{path.name} of {path.parent.name}".encode())
            emit(StepDone(step, 0.1, 0.005, "a photo of anna", 0.1))
            emit(EmbeddingSaved(step, str(run.copy(step))))
            emit(PreviewSaved(step, str(run.preview(step)), "a photo of anna", str(run.card(step))))
        emit(Finished("Done."))

    return train


def test_the_copy_card_and_picture_of_every_step_can_be_downloaded(page: Page, jobs: JobQueue, tmp_path: Path) -> None:
    """Of 15 copies 3 could."""
    steps = list(range(10, 160, 10))
    run = tmp_path / "textual_inversion" / "2026-01-31" / "anna"
    jobs.submit("train", "Train anna", run_with_copies(run, steps))
    expect(page.locator("#live .state")).to_have_text("finished")
    assert page.locator("#live .every-step li").count() == 0  # nothing is asked for before somebody looks
    page.locator("#live .every-step summary").click()
    expect(page.locator("#live .every-step li")).to_have_count(15)
    expect(page.locator("#live .every-step .how-many")).to_have_text("(15)")
    with page.expect_download() as download:
        page.locator("#live .every-step").get_by_role("link", name="Download anna-150.pt").click()
    assert download.value.suggested_filename == "anna-150.pt"
    assert Path(download.value.path()).read_bytes() == b"anna-150.pt of embeddings"
    got = page.evaluate(
        "async () => Promise.all([...document.querySelectorAll('.every-step li a')].map(async a => (await"
        " fetch(a.href)).text()))"
    )
    assert got == [
        f"anna-{step}.{kind}"
        for step in steps
        for kind in ("pt of embeddings", "png of image_embeddings", "png of images")
    ]
    go_on = threading.Event()
    jobs.submit("train", "Train anna", run_with_copies(run, [*steps, 160, 170], go_on))  # the same folder, as Resume
    expect(page.locator("#live .every-step li")).to_have_count(16)  # what is unfolded stays so
    go_on.set()  # what comes while somebody looks is added
    expect(page.locator("#live .every-step li")).to_have_count(17)


def test_work_that_says_nothing_is_told(page: Page, jobs: JobQueue) -> None:
    job = jobs.submit("train", "Train anna", wait_to_stop)
    quiet = page.locator("#live .quiet")
    expect(page.locator("#live .title")).to_have_text("Waiting")
    expect(quiet).to_be_hidden()
    job.news_at -= 45
    expect(quiet).to_have_text("No news for 40 s; it is still at work.")
    job.alive_at = job.news_at
    expect(quiet).to_have_text(
        "No news for 40 s: the work does not answer. Interrupt ends it within ten seconds, and what was saved is kept."
    )
    job.stop.set()
    expect(quiet).to_be_hidden()
