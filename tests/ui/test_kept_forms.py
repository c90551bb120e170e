"""What a browser kept by another version of the page: what fits is put back, and the rest is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.ui.journey import open_chromium
from ti_core.jobs.queue import JobQueue
from ti_core.ui.app_context import AppContext
from ti_core.ui.kept_forms import fill_script, rule_of
from ti_core.ui.page import Page
from ti_core.workspace import Workspace


def test_a_widget_says_what_it_takes() -> None:
    assert [
        rule_of(widget)
        for widget in (
            gr.Checkbox(),
            gr.Number(),
            gr.Slider(0, 1),
            gr.Textbox(),
            gr.Dropdown([], allow_custom_value=True),
        )
    ] == [
        "boolean",
        "number",
        "number",
        "string",
        "string",
    ]
    assert rule_of(gr.Radio(["on", "off"])) == ["on", "off"]


def test_only_what_fits_is_put_back_and_the_rest_is_told() -> None:
    widgets = {
        "tags": gr.Checkbox(label="Shuffle tags"),
        "steps": gr.Number(label="Max steps"),
        "rate": gr.Textbox(label="Rate"),
        "method": gr.Radio(["once", "random"], label="Method"),
        "run": gr.Dropdown([], allow_custom_value=True, label="Run"),
    }
    usual = [False, 100, "0.005", "once", "a"]
    good = {"tags": True, "steps": None, "rate": "0.1", "method": "random", "run": None}
    cases: list[tuple[Any, list[Any], tuple[str, ...]]] = [
        (good, [True, None, "0.1", "random", None], ()),
        ({"steps": 7}, [False, 7, "0.005", "once", "a"], ()),
        ({**good, "started_with": "x", "colour": "red"}, [True, None, "0.1", "random", None], ("colour",)),
        (
            {"tags": "false", "steps": "150", "rate": {"a": 1}, "method": "gone", "run": 5},
            usual,
            ("Shuffle tags", "Max steps", "Rate", "Method", "Run"),
        ),
        (
            {"tags": None, "steps": [], "rate": 5, "method": None},
            usual,
            ("Shuffle tags", "Max steps", "Rate", "Method"),
        ),
        *((odd, usual, ()) for odd in (None, 5, "x", [], True)),
    ]
    script = fill_script(widgets, [*widgets, "started_with"])
    with open_chromium() as browser:
        page = browser.new_page()
        for kept, filled, told in cases:
            *values, message = page.evaluate(f"given => ({script})(...given)", [kept, *usual])
            assert values == filled
            assert bool(message.get("visible")) == bool(told) and all(name in message["value"] for name in told)


@pytest.mark.parametrize("odd", [5, ["a"], {"a": 1}, True, None, "x"])
def test_lists_and_sizes_take_nothing_odd(tmp_path: Path, odd: object) -> None:
    jobs = JobQueue(Workspace(tmp_path), is_paused=True)
    page = Page(AppContext(Workspace(tmp_path), jobs))
    page.build()
    names = (
        "checkpoint",
        "vae",
        "train.embedding",
        "train.template_file",
        "train.width",
        "txt2img.height",
        "started_with",
    )
    updates = page.put_back({name: odd for name in names} | {"started_with": page.chosen_checkpoint})
    sizes = [
        updates[form.widgets[side]] for form in (page.train.form, page.txt2img.form) for side in ("width", "height")
    ]
    assert all(type(size) in (int, float) for size in sizes)
    assert (
        isinstance(updates[page.model.widgets["vae"]]["value"], str)
        and updates[page.checkpoint]["value"] == page.chosen_checkpoint
    )
    jobs.close()
