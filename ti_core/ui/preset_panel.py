"""Presets of one's own, and the form as a file: the folded part below the Train tab's Preset."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ti_core.training.kind_presets import ALL_PRESETS
from ti_core.training.own_presets import list_own
from ti_core.ui.app_context import AppContext

DOWNLOAD = """([name, text]) => {
  if (!text) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""
"""Takes [file name, text] and saves it where the browser puts downloads."""


class PresetPanel:
    """The components, without what they do."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        with gr.Accordion("My presets, export and import", open=False, elem_id="train_own"):
            with gr.Row(equal_height=True, elem_classes="with-refresh"):
                self.name = gr.Textbox(
                    label="Preset name",
                    info="Saves the form under this name. Embedding, dataset and checkpoint are left out.",
                    elem_id="train_own_name",
                )
                self.save = gr.Button("Save preset", min_width=110, scale=0, elem_id="train_own_save")
                self.delete = gr.Button("Delete preset", min_width=120, scale=0, elem_id="train_own_delete")
            with gr.Row(equal_height=True):
                self.export = gr.Button("Export the form", min_width=140, elem_id="train_export")
                self.upload = gr.UploadButton(
                    "Import a form",
                    file_types=[".json"],
                    file_count="single",
                    min_width=140,
                    elem_id="train_import",
                )
        self.exported = gr.JSON(["", ""], visible=False)

    def listed(self, value: str | None) -> Any:
        """An update of the Preset dropdown, with `value` chosen."""
        return gr.update(choices=[*ALL_PRESETS, *list_own(self.context.workspace)], value=value)
