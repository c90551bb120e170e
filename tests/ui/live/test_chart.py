"""The chart in a real browser: what it tells under the pointer, its tools, and that all of its lines can be seen."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.runs.disk import make_run
from tests.ui.live.panel import panel
from ti_core.events import Evaluated, Finished, Started, StepDone
from ti_core.jobs.queue import JobQueue

CONTRAST = """([line, box]) => {
  const numbers = (element, name) => getComputedStyle(element)[name].match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = Number(getComputedStyle(line).opacity) * Number(getComputedStyle(line).strokeOpacity);
  const back = numbers(box, "backgroundColor").slice(0, 3);
  const front = numbers(line, "stroke").slice(0, 3).map((v, i) => v * opacity + back[i] * (1 - opacity));
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


def trains(last_step: int = 20, total: int = 40) -> Any:
    """The loss falls from 1 to 1 / 20; every fifth step is evaluated, and the word gets strong."""

    def work(emit: Any, stop: threading.Event) -> None:
        emit(Started("Training anna", total))
        for step in range(1, last_step + 1):
            emit(StepDone(step, 1 / step, 0.005 if step < 11 else 0.001, "a photo of anna", 0.1))
            if step % 5 == 0:
                emit(Evaluated(step, 7 + abs(step - 10) / 100, step / 10, 10, [7.0], (0.3, 0.5), "a"))
        emit(Finished("Done."))

    return work


def open_chart(page: Page, jobs: JobQueue) -> Locator:
    jobs.submit("train", "Train anna", trains())
    page.locator("#chart > summary").click()
    expect(page.locator("#live .loss-name")).to_contain_text("loss 0.05")
    return page.locator("#chart .drawing")


def points(page: Page, line: str) -> list[tuple[float, float]]:
    drawn = page.locator(f"#chart polyline.{line}").get_attribute("points") or ""
    return [(float(x), float(y)) for x, y in (point.split(",") for point in drawn.split())]


@pytest.mark.browser
def test_the_chart_tells_the_step_under_the_pointer_and_under_the_keys(tmp_path: Path) -> None:
    with panel(tmp_path) as (page, jobs):
        drawing, readout = open_chart(page, jobs), page.locator("#chart .readout")
        box = drawing.bounding_box()
        assert box
        expect(page.locator("#chart .to")).to_have_text("step 40")  # the axis goes to Max steps
        drawing.hover(position={"x": 1 + (box["width"] - 2) * 9 / 39, "y": 40})
        expect(readout).to_have_text(
            re.compile(r"step 10 · loss 0\.1 · smoothed 0\.\d+ · evaluation 7, norm 1 · learning rate 0\.005")
        )
        drawing.hover(position={"x": box["width"] - 3, "y": 40})  # beyond the last step there is
        expect(readout).to_contain_text("step 20 · loss 0.05")
        page.mouse.move(5, 5)
        expect(readout).to_have_text("")
        drawing.focus()
        for key, step in (("ArrowLeft", 19), ("ArrowLeft", 18), ("Home", 1), ("ArrowRight", 2), ("End", 20)):
            page.keyboard.press(key)
            expect(readout).to_contain_text(f"step {step} ·")
        jobs.submit("train", "Train berta", trains(15, 15))  # another run: nothing is pointed at that is not there
        expect(page.locator("#chart .to")).to_have_text("step 15")
        expect(readout).to_contain_text("step 15 ·")


@pytest.mark.browser
def test_smoothing_and_log_scale_change_the_lines(tmp_path: Path) -> None:
    with panel(tmp_path) as (page, jobs):
        open_chart(page, jobs)
        assert points(page, "raw")[0][1] == 10 and points(page, "raw")[-1][1] == 140
        assert points(page, "raw")[-1][0] == pytest.approx(600 * 19 / 39, abs=0.1)
        before = points(page, "loss")
        page.get_by_role("slider", name="Smoothing").fill("0")
        assert points(page, "loss") == points(page, "raw") != before
        page.get_by_role("slider", name="Smoothing").fill("99")
        assert all(y < 40 for _, y in points(page, "loss")), "hardly anything moves it"
        half = points(page, "raw")[9]  # 0.1 of losses from 0.05 to 1
        page.get_by_role("checkbox", name="Log scale").check()
        assert half[1] > 130 and points(page, "raw")[9][1] == pytest.approx(140 - 130 * 0.231, abs=1)
        # the evaluation has a scale of its own, and its best step is marked
        assert [y for _, y in points(page, "evaluation")] == [75, 140, 75, 10]
        expect(page.locator("#chart .eval-name")).to_have_text(
            "evaluation 7.1 at step 20, best step 10, from 7 to 7.1 on a scale of its own"
        )
        expect(page.locator("#chart .best-name")).to_have_text("best step 10")
        x = float(page.locator("#chart .best-line").get_attribute("x1") or 0)
        assert x == pytest.approx(points(page, "evaluation")[1][0], abs=0.1)


@pytest.mark.browser
def test_another_run_is_laid_over_by_choice(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-01-30", "berta", steps=(50, 60), total=60)
    with panel(tmp_path) as (page, jobs):
        open_chart(page, jobs)
        assert points(page, "other") == []
        page.get_by_role("combobox", name="Beside it").select_option(label="berta, 2026-01-30")
        expect(page.locator("#chart .other-name")).to_have_text("berta, smoothed")
        expect(page.locator("#chart .to")).to_have_text("step 60")
        assert len(points(page, "other")) == 60
        page.locator("#chart .drawing").focus()
        page.keyboard.press("Home")
        expect(page.locator("#chart .readout")).to_contain_text("berta 1 ·")
        page.get_by_role("combobox", name="Beside it").select_option(value="")
        expect(page.locator("#chart .other-name")).to_be_hidden()
        assert points(page, "other") == []


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_line_has_a_contrast_of_three_to_its_ground(tmp_path: Path, theme: str) -> None:
    make_run(tmp_path, "2026-01-30", "berta", steps=(50, 60), total=60)
    with panel(tmp_path, color_scheme=theme) as (page, jobs):
        open_chart(page, jobs)
        page.get_by_role("combobox", name="Beside it").select_option(label="berta, 2026-01-30")
        page.locator("#chart .norms > summary").click()
        page.locator("#chart .drawing").focus()
        page.keyboard.press("Home")
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        for line in ("raw", "loss", "rate", "evaluation", "other", "best-line", "pointer-line", "norm"):
            ground = "#chart .norms svg" if line == "norm" else "#chart .drawing"
            both = [page.locator(f"#chart svg .{line}").element_handle(), page.locator(ground).element_handle()]
            assert page.evaluate(CONTRAST, both) >= 3, (line, theme)


@pytest.mark.browser
def test_a_strong_word_is_told_in_one_sentence_and_the_norm_is_folded(tmp_path: Path) -> None:
    with panel(tmp_path) as (page, jobs):
        open_chart(page, jobs)
        expect(page.locator("#chart .strong-word")).to_have_text(
            re.compile("^Strong word: it may overrule the rest of a prompt. ")
        )
        expect(page.get_by_role("button", name="Repair", exact=True)).to_be_hidden()  # there is no run to repair
        expect(page.locator("#chart .norms svg")).to_be_hidden()
        expect(page.locator("#chart .norm-name")).to_have_text("2; ordinary words have 0.3 to 0.5 (band)")
