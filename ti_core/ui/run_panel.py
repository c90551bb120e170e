"""The run panel: one gr.HTML that draws what live.py tells it, and changes the queue. It draws; the server keeps the
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.program.control import PICTURE, SAVE
from ti_core.ui.app_context import AppContext
from ti_core.ui.run_actions import change_run
from ti_core.ui.server.roles import check_may_train, current_user

HERE = Path(__file__).parent / "live"
SCRIPTS = (
    "state.js",
    "head.js",
    "chart.js",
    "readout.js",
    "pictures.js",
    "hero.js",
    "filmstrip.js",
    "large.js",
    "actions.js",
    "tell_end.js",
    "messages.js",
    "files.js",
    "lanes.js",
    "queue.js",
    "runs.js",
    "answers.js",
    "below.js",
    "poll.js",
)
"""In this order: the last one starts when the functions and the state of the others are there."""
BELOW = ("chart", "messages", "files", "runs")
"""The parts below the picture, from top to bottom: markup and style of each in files of its own."""
MARK_BELOW = "<!-- below: runs -->"
POLL_MS = 800
"""So that 19 of 20 pages show news within a second, the way to them included."""


def use_shown_step(context: AppContext, asked: Any) -> str:
    """Put a step of a training into embeddings/; a sentence for the page. What is asked comes from outside, so it
    may be anything.
    """
    job_id, step = (asked.get("job"), asked.get("step")) if isinstance(asked, dict) else (None, None)
    job = context.job(str(job_id))
    try:
        check_may_train()
        if job is None or not job.run_folder or not job.folder or type(step) is not int:
            return "This run is not known any more. Use the Compare tab."
        return context.use_step(Path(job.folder), step)
    except UserError as error:
        return context.workspace.without_paths(str(error))


def job_action(context: AppContext, asked: Any) -> str:
    """Do to a job of the queue what a button asks for. Gives a sentence for the page, also where it is refused."""
    wish = asked if isinstance(asked, dict) else {}
    job, jobs = str(wish.get("job", "")), context.jobs
    try:
        check_may_train()
        match wish.get("action"):
            case "up":
                return jobs.move_up(job)
            case "cancel":
                return jobs.cancel(job)
            case "put_away":
                return jobs.put_away(job)
            case "again":
                return f"In the line: {jobs.again(job, current_user().name).title}."
            case "resume":
                return f"In the line: {jobs.resume(job, current_user().name).title}."
            case "picture_now":
                return jobs.ask(job, PICTURE)
            case "save_now":
                return jobs.ask(job, SAVE)
            case "free":
                return jobs.free(job)
        return "There is no such button."
    except UserError as error:
        return context.workspace.without_paths(str(error))


def _joined(names: Sequence[str]) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def panel_html() -> str:
    """The panel's markup: live.html, with the parts BELOW in the place that it leaves them."""
    whole = (HERE / "live.html").read_text(encoding="utf-8")
    return whole.replace(MARK_BELOW, _joined([f"{part}.html" for part in BELOW]))


def build_run_panel(context: AppContext) -> Any:
    """The panel. Of its custom events 'finished' fires once in every open page when a job has ended, and 'take_run' in
    the page where somebody wants the settings of a run in the form: `run` is its folder, and `go_on` says that it is to
    be trained on.
    """

    def use_step(asked: Any) -> str:
        return use_shown_step(context, asked)

    def change_job(asked: Any) -> str:
        return job_action(context, asked)

    def change_run_of_page(asked: Any) -> dict[str, str]:
        return change_run(context, asked)

    change_run_of_page.__name__ = "change_run"
    return gr.HTML(
        value="",
        html_template=panel_html(),
        css_template=_joined(["live.css", *(f"{part}.css" for part in BELOW)]),
        js_on_load=_joined(SCRIPTS),
        server_functions=[use_step, change_job, change_run_of_page],
        elem_id="live",
        poll_ms=POLL_MS,
    )
