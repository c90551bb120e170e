"""The list of runs in a real browser: found, opened, renamed, put into the bin and taken back; and small jobs, which
answer in their own tab.
"""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.runs.disk import BLUE, make_a1111_run, make_run
from tests.ui.journey import free_port, open_chromium, value_of
from tests.ui.live.panel import panel
from tests.ui.live.test_run_panel import press, train_until_stopped
from ti_core.events import Finished, Progress
from ti_core.jobs.queue import JobQueue
from ti_core.settings import ResumeSettings
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace

pytestmark = pytest.mark.browser
ANNA, BERTA = "textual_inversion/2026-01-31/anna", "textual_inversion/2026-01-30/berta"


def row(page: Page, run: str) -> Locator:
    return page.locator(f'#runs [data-run="{run}"]')


def button(page: Page, run: str, text: str) -> Locator:
    """A button of a run's row; what is folded is unfolded."""
    more = row(page, run).locator("details.run-more")
    if text not in ("Open", "Hide", "Resume") and not more.evaluate("more => more.open"):
        more.locator("summary").click()
    return row(page, run).get_by_role("button").filter(has_text=text)


def unfold_runs(page: Page) -> None:
    page.locator("details.runs > summary").click()


def test_every_run_on_disk_is_listed_also_folded_and_opened_with_its_pictures(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-01-31", "anna", steps=(10, 20), total=150)
    make_run(tmp_path, "2026-01-30", "berta", colour=BLUE)
    old = make_a1111_run(tmp_path)
    make_run(tmp_path, "2026-01-29", "clara")
    with panel(tmp_path) as (page, _):
        runs = page.locator("#runs [data-run]")
        expect(runs).to_have_count(4)
        assert not page.locator("#runs").is_visible() and page.locator("#runs img").count() == 0
        unfold_runs(page)
        row(page, ANNA).scroll_into_view_if_needed()
        expect(row(page, ANNA).locator("img")).to_be_visible()
        named = [text.split(" · ")[:2] for text in runs.locator(".what").all_inner_texts()]
        assert named == [
            ["old", "1000 of 1000 steps"],
            ["anna", "20 of 150 steps, stopped"],
            ["berta", "30 of 30 steps"],
            ["clara", "30 of 30 steps"],
        ]
        page.wait_for_function("run => document.querySelector(`[data-run='${run}'] img`).naturalWidth > 0", arg=ANNA)

        button(page, BERTA, "Open").click()
        expect(row(page, BERTA)).to_have_attribute("aria-current", "true")
        expect(page.locator("#live .title")).to_have_text("berta")
        steps = page.locator("#live .step-files li")
        page.locator("#live .every-step summary").click()
        expect(steps).to_have_count(3)
        assert len((page.locator("#chart polyline.raw").get_attribute("points") or "").split()) == 30
        button(page, old.relative_to(tmp_path).as_posix(), "Open").click()  # without a settings file of ours
        expect(page.locator("#live .title")).to_have_text("old")
        expect(steps).to_have_count(2)
        with page.expect_download() as download:
            page.get_by_role("link", name="All files as one zip").click()
        names = zipfile.ZipFile(download.value.path()).namelist()
        assert "old/embeddings/old-500.pt" in names and "old/textual_inversion_loss.csv" in names
        button(page, old.relative_to(tmp_path).as_posix(), "Hide").click()
        expect(page.locator("#live .title")).to_have_text("")

        make_run(tmp_path, "2026-02-01", "dora")  # by another program, while the page is open
        expect(runs).to_have_count(5)
        assert [text.split(" ")[0] for text in runs.locator(".what").all_inner_texts()][1] == "dora"


def test_a_run_is_renamed_put_into_the_bin_and_taken_back(tmp_path: Path) -> None:
    make_run(tmp_path)
    make_run(tmp_path, "2026-01-30", "berta")
    new = "textual_inversion/2026-01-31/best of anna"
    with panel(tmp_path) as (page, jobs):
        note = page.locator("#live .queue-note")
        expect(page.locator("#runs [data-run]")).to_have_count(2)
        unfold_runs(page)
        button(page, ANNA, "Open").click()
        expect(page.locator("#live .title")).to_have_text("anna")
        button(page, ANNA, "Rename").click()
        box = page.get_by_role("textbox", name="New name of the run anna")
        expect(box).to_be_focused()
        box.press("Escape")
        expect(box).to_have_count(0)
        expect(button(page, ANNA, "Rename")).to_be_focused()
        button(page, ANNA, "Rename").click()
        box.fill("best of anna?")
        box.press("Enter")
        expect(note).to_have_text(
            "Renamed: it is called 'best of anna' now. A name has no letters that a file cannot have."
        )
        expect(row(page, new)).to_have_attribute("aria-current", "true")  # it goes on being shown
        assert (tmp_path / new / "state.safetensors").is_file()

        button(page, BERTA, "Delete").click()
        expect(row(page, BERTA)).to_have_count(0)
        expect(note).to_contain_text("In the bin: 'berta'.")
        page.locator("details.bin > summary").click()
        page.get_by_role("button", name=f"Restore the run {BERTA}").click()
        expect(row(page, BERTA)).to_have_count(1)
        expect(page.locator(".bin-empty")).to_be_visible()

        button(page, BERTA, "Delete").click()
        page.get_by_role("button", name="Empty the bin").click()
        page.get_by_role("button", name="Keep", exact=True).click()
        page.get_by_role("button", name="Empty the bin").press("Enter")
        expect(page.get_by_role("button", name="Keep", exact=True)).to_be_focused()
        page.get_by_role("button", name="Delete this run for ever").click()
        expect(note).to_have_text("1 run was deleted for ever.")
        expect(page.locator(".bin-empty")).to_be_visible()
        assert not list((tmp_path / "bin").rglob("*"))
        make_run(tmp_path, "2026-01-30", "berta")
        expect(row(page, BERTA)).to_have_count(1)

        wait = lambda emit, stop: stop.wait(600)  # noqa: E731
        is_at_work = jobs.submit("resume", "Resume berta", wait, settings=ResumeSettings(BERTA))
        button(page, BERTA, "Delete").click()
        expect(note).to_have_text(
            "'Resume berta' is running and needs this run. Wait until it has ended, or stop it first."
        )
        assert row(page, BERTA).count() == 1 and (tmp_path / BERTA).is_dir()
        is_at_work.stop.set()


def test_settings_of_a_run_get_into_the_form(tmp_path: Path) -> None:
    make_run(tmp_path)
    with panel(tmp_path) as (page, _):
        unfold_runs(page)
        button(page, ANNA, "Settings into the form").click()
        expect(page.locator("#train_message .message-text")).to_have_text(f"The form holds the settings of {ANNA}.")
        expect(page.locator("#train_batch_size input").first).to_have_value("7")
        assert value_of(page, "train_steps") == "30" and value_of(page, "train_dataset_directory") == "datasets/anna"
        button(page, ANNA, "Train on").click()  # there is no such embedding
        expect(page.locator("#train_message .message-text")).to_have_text(
            "Embedding 'anna' is not in embeddings/ any more. Open the run and press Use this step, then Train on."
        )


def test_who_may_look_only_opens_runs_and_changes_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, steps=(10, 20), total=150)
    jobs = JobQueue(Workspace(tmp_path, confined=True))

    options = ServerOptions(free_port(), user="otto", password="trains", look_user="eva", look_password="looks")
    blocks = start_page(Workspace(tmp_path, confined=True), options, jobs)
    with open_chromium() as browser:
        page = browser.new_context().new_page()
        page.goto(f"http://127.0.0.1:{blocks.server_port}")
        page.locator("input").first.fill("eva")
        page.locator("input[type=password]").fill("looks")
        page.get_by_role("button", name="Login").click()
        expect(page.locator("#runs [data-run]")).to_have_count(1)
        unfold_runs(page)
        assert row(page, ANNA).get_by_role("button").all_inner_texts() == ["Open"]
        expect(page.locator("details.bin")).to_be_hidden()
        button(page, ANNA, "Open").click()
        expect(page.locator("#live .title")).to_have_text("anna")
    blocks.close()
    jobs.close()


def test_forty_of_forty_presses_on_runs_act_while_a_training_runs(tmp_path: Path) -> None:
    """The rows stay the same elements, however often the list changes."""
    make_run(tmp_path)
    berta = make_run(tmp_path, "2026-01-30", "berta")
    with panel(tmp_path) as (page, jobs):
        training = jobs.submit("train", "Train dora", train_until_stopped)
        expect(page.locator("#live .title")).to_have_text("Training anna")
        unfold_runs(page)
        element = row(page, ANNA).element_handle()
        for number in range(20):
            run, name = ((ANNA, "anna"), (BERTA, "berta"))[number % 2]
            press(page, button(page, run, "Open"), 2 if number % 5 == 0 else 0)
            expect(page.locator("#live .title")).to_have_text(name)
            if number % 4 == 0:
                berta.copy(100 + number).write_bytes(b"x")  # the list changes, and moves
            press(page, button(page, run, "Hide"), 2 if number % 5 == 3 else 0)
            expect(page.locator("#live .title")).to_have_text("Training anna")
        assert training.state == "running"
        assert page.evaluate("([a, b]) => a === b", [element, row(page, ANNA).element_handle()])
        jobs.cancel(training.id)
        jobs.wait_for(training, 60)


def test_a_small_job_answers_in_its_tab_and_the_pictures_stay(tmp_path: Path) -> None:
    make_run(tmp_path)
    go_on, is_at_work = threading.Event(), threading.Event()

    def crops(emit: Any, stop: threading.Event) -> None:
        emit(Progress("Cropping", 3, 8))
        is_at_work.set()
        go_on.wait(600)
        emit(Finished("8 pictures are in datasets/anna."))

    with panel(tmp_path) as (page, jobs):
        unfold_runs(page)
        button(page, ANNA, "Open").click()
        expect(page.locator("#live .title")).to_have_text("anna")
        page.get_by_role("tab", name="Preprocess images").click()
        job = jobs.submit("preprocess", "Preprocess anna", crops)
        answer = page.locator('.job-answer[data-tab="preprocess"]')
        expect(answer).to_have_text("Preprocess anna: running · 3 of 8 · Cropping")
        assert answer.locator("progress").evaluate("bar => [bar.value, bar.max]") == [3, 8]
        expect(page.locator("#live .title")).to_have_text("anna")
        go_on.set()
        expect(answer).to_have_text("Preprocess anna: finished · 8 pictures are in datasets/anna.")
        expect(page.locator("#live .title")).to_have_text("anna")
        jobs.wait_for(job, 60)
        expect(page.locator("#live .jobs li", has_text="Preprocess anna: finished")).to_be_visible()
        page.get_by_role("button", name="Put away from this list: Preprocess anna").click()
        expect(page.locator("#live .jobs li")).to_have_count(0)
