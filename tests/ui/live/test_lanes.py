"""The run panel with two devices: a lane for each; every button works on its own job. With one it looks as ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.journey import free_port, open_chromium, open_page
from ti_core.errors import Interrupted
from ti_core.events import Emit, Started, StepDone
from ti_core.jobs.job import Job
from ti_core.jobs.place import BIG, SMALL, ServerPlace
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceState
from ti_core.program.control import wishes_of
from ti_core.settings import TrainSettings
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace

pytestmark = pytest.mark.browser


class Card(ServerPlace):
    """A card whose trainings stand at half of their steps until they are stopped."""

    def __init__(self, name: str) -> None:
        super().__init__(name, frozenset({BIG, SMALL}))
        self.device.report(DeviceState("cuda", f"Test card {name[-1]}", 8 * 2**30, 2))
        self.wishes, self.heard = list[str](), threading.Event()

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        emit(Started(job.title, 100))
        emit(StepDone(50, 0.1, 0.005, f"a photo for {job.title}", 1.0))
        self.holds = "sd15.safetensors"
        while not job.stop.wait(0.02):
            self.wishes += wishes_of(job.stop)
            if self.wishes:
                self.heard.set()
        raise Interrupted

    def release(self) -> None:
        self.holds = ""


def train(jobs: JobQueue, name: str) -> Job:
    return jobs.submit("train", f"Train {name}", lambda *_: None, settings=TrainSettings(embedding=name))


def look_at_two(page: Page, jobs: JobQueue, cards: list[Card]) -> None:
    anna, berta, again = train(jobs, "anna"), train(jobs, "berta"), train(jobs, "anna")
    lanes = page.locator(".lanes li")
    expect(lanes).to_have_count(2)
    expect(lanes.nth(0)).to_contain_text("cuda:0")
    expect(page.locator(".lanes")).to_contain_text("Train anna")
    expect(page.locator(".lanes")).to_contain_text("Train berta")
    rows = page.locator(".jobs li")
    expect(rows.nth(2)).to_contain_text("waiting, number 1, after 'Train anna'")

    # a lane leads to its job, and the buttons of the panel are that job's
    second = page.locator(".lanes .lane", has_text="Train berta")
    second.click()
    expect(page.locator(".title")).to_have_text("Train berta")
    expect(second).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Picture now").click()
    expect(page.locator(".answer")).to_have_text("A picture comes as soon as this step is done.")
    place = next(card for card in cards if card.name == berta.place)
    assert place.heard.wait(30) and place.wishes == ["picture"]
    assert next(card for card in cards if card.name == anna.place).wishes == []
    page.get_by_role("button", name="Interrupt: Train berta").click()
    jobs.wait_for(berta, 30)
    assert (berta.state, anna.state, again.state) == ("interrupted", "running", "waiting")
    free = page.locator(".lanes li", has_text=berta.place).get_by_role("button", name="Free the card's memory")
    expect(page.locator(".lanes")).to_contain_text("keeps sd15.safetensors")
    expect(page.locator(".title")).to_have_text("Train berta")  # it was chosen, so it stays
    free.click()
    expect(free).to_be_hidden()
    expect(page.locator(".queue-note")).to_contain_text(f"{berta.place} gives its memory back.")


def test_two_devices_have_two_lanes_and_each_job_its_own_buttons(tmp_path: Path) -> None:
    workspace, cards = Workspace(tmp_path), [Card("cuda:0"), Card("cuda:1")]
    jobs = JobQueue(workspace, places=cards)
    blocks = start_page(workspace, ServerOptions(free_port()), jobs)
    try:
        with open_chromium() as browser:
            page = open_page(browser, f"http://127.0.0.1:{blocks.server_port}")
            look_at_two(page, jobs, cards)
    finally:
        for job in (*jobs.waiting(), *jobs.running()):
            jobs.cancel(job.id)
        blocks.close()
        jobs.close()


def test_one_device_has_no_lane_and_says_what_it_keeps(tmp_path: Path) -> None:
    workspace, card = Workspace(tmp_path), Card("cuda:0")
    jobs = JobQueue(workspace, places=[card])
    blocks = start_page(workspace, ServerOptions(free_port()), jobs)
    try:
        with open_chromium() as browser:
            page = open_page(browser, f"http://127.0.0.1:{blocks.server_port}")
            anna = train(jobs, "anna")
            expect(page.locator(".state")).to_have_text("running")
            expect(page.locator(".lanes")).to_be_hidden()
            expect(page.locator(".kept-model")).to_be_hidden()
            expect(page.locator(".jobs li")).to_have_text(["Train anna: runningStop"])
            jobs.cancel(anna.id)
            expect(page.locator(".kept-model")).to_contain_text("sd15.safetensors is kept in memory")
            page.get_by_role("button", name="Free the card's memory").click()
            expect(page.locator(".kept-model")).to_be_hidden()
            assert card.holds == ""
    finally:
        blocks.close()
        jobs.close()
