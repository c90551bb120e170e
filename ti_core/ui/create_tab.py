"""The Create embedding tab."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from ti_core.data.initialization import NO_HINT, SLIDER_HINT, initialization_hint
from ti_core.embeddings.names import describe_new_name
from ti_core.settings import CreateSettings
from ti_core.settings.word_kind import SLIDER
from ti_core.ui.kind_panel import KindPanel
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import (
    Form,
    Updates,
    accepted,
    message_box,
    name_hint,
    submitted,
    wire_changes,
    wire_hint,
    wire_order,
)

FIELDS = ("name", "initialization_text", "vectors", "overwrite")
"""Those of every kind of word, in A1111's order."""


class CreateTab(Part):
    """Form, button and answer of the tab."""

    id, title = "create", "Create embedding"
    kinds = ("create", "paint_dataset")
    form: Form

    def __init__(self, page: PageContext) -> None:
        self.context, self.my_job = page.app, page.my_job
        self.form = Form(CreateSettings, "create")
        for name in FIELDS:
            self.form.add(name)
            if name == "initialization_text":
                self.hint = gr.HTML(_hint(NO_HINT), elem_id="create_hint", padding=False)
            if name == "name":
                hint = name_hint(self.form.widgets[name])
        wire_hint(hint, self.says_name, [self.form.widgets[name] for name in ("name", "overwrite")])
        self.kind = KindPanel(self.context, self.form)
        self.form.share({"checkpoint": page.model["checkpoint"]})
        with gr.Column(elem_classes="start-bar"):
            self.message = message_box("create_message")
            with gr.Row(elem_classes="actions"):
                self.button = gr.Button("Create embedding", variant="primary", elem_id="create_run")
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        self.kind.build_painting(page.model, self.my_job, self.message)

    def wire(self, page: PageContext) -> None:
        """The hint follows the folders of the pictures; the painted pictures follow the name."""
        folders = [page.field("train", "dataset_directory"), page.field("preprocess", "source_directory")]
        name, kind = self.takes
        events = [self.item.select, *(field.change for field in (kind, *folders))]
        wire_changes(events, self.suggested, [kind, *folders], self.hint)
        wire_changes([name.change], self.kind.pictures_of, [name, kind], self.kind.pictures)

    @property
    def gives(self) -> list[Any]:
        return [self.message, self.kind.pictures]

    @property
    def takes(self) -> list[Any]:
        return [self.form.widgets[name] for name in ("name", "kind")]

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """The name is made: nothing is left to say. Painted pictures of a negative word are there to be ticked."""
        name, kind = given
        if end.result_of("paint_dataset"):
            return {**accepted(self.message), self.kind.pictures: self.kind.pictures_of(name, kind)}
        return accepted(self.message) if end.result_of("create") else {}

    def says_name(self, name: str, overwrite: bool) -> str:
        """Which name will be used, or why it cannot be."""
        return describe_new_name(name, self.context.workspace, overwrite)

    @read_only
    def suggested(self, kind: str | None, *folders: str | None) -> str:
        """HTML: what the captions of the pictures say about the initialization text; of a slider its own words do."""
        if kind == SLIDER:
            return _hint(SLIDER_HINT)
        return _hint(initialization_hint([folder for folder in folders if folder], self.context.workspace))

    def start(self, *given: Any) -> Updates:
        """Order the new embedding."""
        return submitted(
            lambda: self.context.order_form("create", self.form.values(given)),
            self.my_job,
            self.message,
        )


def _hint(text: str) -> str:
    """HTML. Captions come from anybody, and as Markdown their pictures and links would be fetched."""
    return f'<p class="hint">{html.escape(text)}</p>'
