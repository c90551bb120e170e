"""Deleting embeddings, asked once, and putting them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from ti_core.embeddings.bin import BIN, delete_embedding, deleted_embeddings, find_listed, restore_embedding
from ti_core.errors import UserError
from ti_core.jobs.in_use import job_using
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import QUEUED, Updates, accepted, disk_dropdown, refused


class EmbeddingsBinPanel:
    """The folded part of the Embeddings tab, whose `message` box it answers in."""

    def __init__(self, context: AppContext, message: Any) -> None:
        self.context, self.message = context, message
        with gr.Accordion("Delete, and put back", open=False, elem_id="embeddings_bin_part") as self.part:
            self.delete = gr.Button("Delete the chosen embedding", elem_id="embeddings_delete")
            with gr.Column(visible=False, elem_id="embeddings_sure") as self.sure:
                self.question = gr.Markdown()
                with gr.Row(elem_classes="actions"):
                    self.yes = gr.Button("Move it to the bin", variant="stop", elem_id="embeddings_delete_yes")
                    self.no = gr.Button("Keep it", elem_id="embeddings_delete_no")
            with gr.Row(equal_height=True, elem_classes="with-refresh"):
                self.binned = disk_dropdown(
                    [],
                    value=None,
                    label="In the bin",
                    info=f"Deleted embeddings lie in {BIN}/ of the workspace.",
                    elem_id="embeddings_binned",
                )
                self.back = gr.Button("Put back", min_width=100, scale=0, elem_id="embeddings_put_back")

    def wire(self, chosen: Any, checkpoint: Any, enter: Callable[..., Updates], shown: list[Any]) -> None:
        """`enter(chosen, checkpoint)` gives the updates of `shown`, the tab's lists."""
        self._enter = enter
        asked = [self.sure, self.question, self.message]
        changed = [*shown, self.sure, self.binned]
        self.part.expand(self.listed, None, self.binned, **QUEUED)
        self.delete.click(self.ask, chosen, asked, **QUEUED)
        self.no.click(self.keep, None, self.sure, **QUEUED)
        self.yes.click(self.move, [chosen, checkpoint], changed, **QUEUED)
        self.back.click(self.put_back, [self.binned, checkpoint], changed, **QUEUED)

    @read_only
    def listed(self) -> Any:
        """The list of what is in the bin, the last deletion first."""
        titles = [deleted.title for deleted in deleted_embeddings(self.context.workspace)]
        return gr.update(choices=titles, value=next(iter(titles), None))

    def ask(self, chosen: str | None) -> Updates:
        """Ask once, with the name; refused at once where a job needs it."""
        try:
            stored = find_listed(chosen or "", self.context.workspace)
            self._check_unused(stored.name)
        except UserError as error:
            return {self.sure: gr.update(visible=False), **refused(error, self.message)}
        text = "Move this file to the bin? Prompts will not know its word any more. You can put it back."
        text += f"\n\n```\n{chosen}\n```"
        return {self.question: text, self.sure: gr.update(visible=True), **accepted(self.message)}

    @read_only
    def keep(self) -> Any:
        """Nothing is deleted."""
        return gr.update(visible=False)

    def move(self, chosen: str | None, checkpoint: str) -> Updates:
        """Delete the chosen embedding."""
        try:
            self._check_unused(find_listed(chosen or "", self.context.workspace).name)
            place = self.context.workspace.shown(delete_embedding(chosen or "", self.context.workspace))
        except UserError as error:
            return {self.sure: gr.update(visible=False), **refused(error, self.message)}
        return self._done("", checkpoint, f"Moved to {place}. It can be put back below.")

    def put_back(self, title: str | None, checkpoint: str) -> Updates:
        """Take one out of the bin, and choose it."""
        try:
            file = restore_embedding(title or "", self.context.workspace)
        except UserError as error:
            return refused(error, self.message)
        name = file.relative_to(self.context.workspace.embeddings).as_posix()
        return self._done(name, checkpoint, f"It is back: {name}.")

    def _done(self, chosen: str, checkpoint: str, message: str) -> Updates:
        return {
            **self._enter(chosen, checkpoint),
            self.sure: gr.update(visible=False),
            self.binned: self.listed(),
            **accepted(self.message, message),
        }

    def _check_unused(self, name: str) -> None:
        job = job_using(name, self.context.jobs)
        if job:
            is_running = "is running" if job.state == "running" else "is waiting"
            raise UserError(f"'{job.title}' {is_running} and needs '{name}'.", "Interrupt or cancel that job first.")
