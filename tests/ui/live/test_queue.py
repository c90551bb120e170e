"""The queue in a real browser: ordered by keyboard, on a phone, and there again after the server was ended
at once.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from gradio_client import Client
from playwright.sync_api import expect

from tests.ui.journey import ANSWER_S, SLOW_MS, open_chromium, open_page, running_app, state
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
TRAIN = {
    "embedding": "anna",
    "dataset_directory": f"{SHOWN_SAMPLE_PHOTOS}/anna",
    "template_file": "subject.txt",
    "steps": 100_000,
    "image_every": 0,
    "save_every": 5,
}


def test_the_queue_is_ordered_by_keyboard_and_on_a_phone_and_outlives_the_server(tmp_path: Path) -> None:
    with open_chromium() as browser:
        with running_app(tmp_path, is_killed=True) as (url, _):  # at once: nothing is tidied up
            program = Client(url, verbose=False, httpx_kwargs={"timeout": ANSWER_S})
            created = program.predict(name="anna", api_name="/create_embedding")
            while (status := program.predict(created, api_name="/status"))["state"] != "finished":
                assert status["state"] != "failed", status
                time.sleep(0.2)
            program.predict(**TRAIN, api_name="/train")
            for name in ("second", "third"):
                program.predict(prompt=name, steps=1, api_name="/generate")
            page = open_page(browser, url)
            expect(page.locator("#live .jobs li")).to_have_count(4, timeout=SLOW_MS)
            row = page.locator("#live .jobs li > span:first-child")
            for number, name in enumerate(("second", "third"), 1):
                expect(row.nth(number)).to_have_text(f"txt2img: {name}: waiting, number {number}", timeout=SLOW_MS)
            up = page.get_by_role("button", name="Move up: txt2img: third")
            up.focus()
            page.keyboard.press("Enter")
            expect(row.nth(1)).to_have_text("txt2img: third: waiting, number 1")

            phone = open_page(browser, url, **PHONE)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
            phone.get_by_role("button", name="Cancel: txt2img: second").tap()
            expect(page.locator("#live .jobs li").filter(has_text="second")).to_contain_text("cancelled")
            page.get_by_role("button", name="Run again, with the same settings: txt2img: second").click()
            expect(page.locator("#live .jobs li").filter(has_text="second: waiting")).to_have_count(1)
            expect(page.locator("#live .count")).to_contain_text(re.compile(r"step ([6-9]|\d\d)"), timeout=SLOW_MS)
        with running_app(tmp_path) as (url, _):
            page = open_page(browser, url)
            training = page.locator("#live .jobs li").filter(has_text="Training anna")
            expect(training).to_contain_text(re.compile(r"interrupted at \d+ / 100000"), timeout=SLOW_MS)
            painted = page.locator("#live .jobs li").filter(has_text="txt2img: 1 picture of 128x128: finished")
            expect(painted).to_have_count(2, timeout=SLOW_MS)
            page.get_by_role("button", name=re.compile("Resume from step [0-9]+: Training anna")).click()
            expect(
                page.locator("#live .jobs li").filter(has_text=re.compile("(Resume|Training) anna: running"))
            ).to_have_count(1, timeout=SLOW_MS)
            expect(state(page)).to_have_text("running")
            page.get_by_role("button", name=re.compile("^Stop: (Resume|Training) anna")).click()
            expect(state(page)).to_have_text("interrupted", timeout=SLOW_MS)
