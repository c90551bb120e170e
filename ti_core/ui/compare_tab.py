"""The Compare tab: choose the step of a run by eye, in a grid of pictures, and use it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.painting.comparison import Comparison, newest_comparison
from ti_core.runs.folder import find_runs, saved_steps
from ti_core.settings import CompareSettings
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import check_may_train, read_only
from ti_core.ui.widgets import DIRECT, Form, Updates, message_box, submitted, wire_interrupt, wire_order

HERE = Path(__file__).parent
IN_ONE_ROW = (("steps", "every_nth"), ("sampling_steps", "cfg_scale"))


class CompareTab(Part):
    """Form, buttons, answer and grid. The grid that is shown is the newest, for every page."""

    id, title = "compare", "Compare"
    kinds = ("compare",)
    form: Form

    def __init__(self, page: PageContext) -> None:
        self.context, self.my_job = page.app, page.my_job
        self.form = Form(CompareSettings, "compare")
        with gr.Row(elem_id="compare_parts"):  # one below the other, until there is a grid (compare.js)
            with gr.Column(scale=4, min_width=320):
                self._build_form()
            with gr.Column(scale=9, min_width=320):
                self.grid = gr.HTML(
                    value="",
                    js_on_load=(HERE / "compare.js").read_text(encoding="utf-8"),
                    server_functions=[self._use_step()],
                    elem_id="compare_grid",
                )
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, page.my_job, self.message)

    def _build_form(self) -> None:
        for name in CompareSettings.options():
            if name == "run":
                self.form.add_refreshed(name, lambda: find_runs(self.context.workspace))
            elif name not in self.form.widgets:
                self.form.add(*next((row for row in IN_ONE_ROW if name in row), (name,)))
        with gr.Row(elem_classes="actions"):
            self.button = gr.Button("Compare", variant="primary", elem_id="compare_run_button")
            self.interrupt = gr.Button("Interrupt", elem_id="compare_interrupt")
        self.message = message_box("compare_message")

    def wire(self, page: PageContext) -> None:
        """The tab reads the disk when it is chosen."""
        self.item.select(self.enter, self.takes, [*self.takes, self.grid], **DIRECT)

    @property
    def takes(self) -> list[Any]:
        return [self.form.widgets["run"]]

    @property
    def gives(self) -> list[Any]:
        return [*self.takes, self.grid]

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """Fresh lists, and the newest grid."""
        return self.enter(*given)

    def _use_step(self) -> Any:
        def use_step_of_run(asked: Any) -> str:
            return self.use(asked)

        return use_step_of_run

    def use(self, asked: Any) -> str:
        """What "Use this step" answers. `asked` comes from outside, so it may be anything."""
        run, step = (asked.get("run"), asked.get("step")) if isinstance(asked, dict) else (None, None)
        workspace = self.context.workspace
        try:
            check_may_train()
            if not isinstance(run, str) or type(step) is not int:
                return "This run is not there any more. Press refresh."
            return self.context.use_step(workspace.folder(run, "Run"), step)
        except UserError as error:
            return workspace.without_paths(str(error))

    @read_only
    def enter(self, run: str | None) -> Updates:
        """Fresh lists and the newest grid, when the tab is chosen or a job has ended."""
        runs, newest = find_runs(self.context.workspace), newest_comparison(self.context.workspace)
        chosen = run if run in runs or self._holds_copies(run) else next(iter(runs), None)
        return {
            self.form.widgets["run"]: gr.update(choices=runs, value=chosen),
            self.grid: self.table(newest) if newest else "",
        }

    def _holds_copies(self, run: str | None) -> bool:
        """Whether what was typed is a run, such as one of another log directory, which no list shows."""
        try:
            return bool(saved_steps(self.context.workspace.folder(run or "", "Run")))
        except UserError:
            return False

    def table(self, made: Comparison) -> str:
        """The grid as HTML: a column for each step with its button, a row for each prompt and seed."""
        key = Path(made.grid).parent.name

        def picture(file: str, title: str) -> str:
            address, title = html.escape(self.context.url(file, key), quote=True), html.escape(title, quote=True)
            return f'<img src="{address}" alt="{title}" title="{title}" tabindex="0" role="button" loading="lazy">'

        def row_of(name: str, cells: str) -> str:
            named = f'<tr class="row-name"><td colspan="{len(made.steps)}">{html.escape(name)}</td></tr>'
            return f"{named}<tr>{cells}</tr>"

        head = "".join(f"<th>{html.escape(column)}</th>" for column in made.columns) or "".join(
            f'<th class="{"best" if step == made.best else ""}">step'
            f" {step}{' · best' if step == made.best else ''}</th>"
            for step in made.steps
        )
        shown = made.columns or [f"step {step}" for step in made.steps]
        photos = "".join(picture(file, f"training photo {i}") for i, file in enumerate(made.photos, 1))
        rows = [row_of("training photos", f'<td class="photos" colspan="{len(made.steps)}">{photos}</td>')]
        rows = rows if photos else []
        for (prompt, seed), files in zip(made.rows, made.cells, strict=True):
            titled = [(file, f"{column}: {prompt}, seed {seed}") for file, column in zip(files, shown, strict=True)]
            rows.append(row_of(f"{prompt}, seed {seed}", "".join(f"<td>{picture(*each)}</td>" for each in titled)))
        buttons = "".join(
            f'<td><button type="button" data-step="{step}" aria-label="Use this step: {step}">'
            "Use this step</button></td>"
            for step in (dict.fromkeys(made.steps) if made.columns else made.steps)
        )
        body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}<tr>{buttons}</tr></tbody>"
        return self._framed(made, body, html.escape(self.context.url(made.grid, key), quote=True))

    def _framed(self, made: Comparison, body: str, picture: str) -> str:
        """The table with what stands above it, and the large view."""
        run = html.escape(json.dumps(made.run), quote=True)
        head_line = (
            f'<p><strong>{html.escape(made.run)}</strong> <a href="{picture}" download>Download as one picture</a>'
            ' <button type="button" class="width" aria-pressed="true">Wide</button></p>'
        )
        enlarged = (
            '<img alt=""><p></p><div><button type="button" class="before">Previous</button>'
            '<button type="button" class="after">Next</button><button type="button" class="close">Close</button></div>'
            "<p>Arrow keys: left and right change the step, up and down the prompt.</p>"
        )
        return (
            f'<div class="comparison" data-run="{run}" style="--steps: {len(made.steps)}">{head_line}'
            f'<p class="used" role="status"></p><div class="scroll"><table>{body}</table></div>'
            f'<dialog aria-label="Picture">{enlarged}</dialog></div>'
        )

    def start(self, *given: Any) -> Updates:
        """Order the grid."""
        return submitted(
            lambda: self.context.order_form("compare", self.form.values(given)),
            self.my_job,
            self.message,
        )
