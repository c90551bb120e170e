"""PNG Info: how a picture was made, ours or A1111's, and its settings back into the txt2img form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.painting.picture_info import form_values, painted_file, painted_pictures, read_infotext
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import read_only
from ti_core.ui.thumbnails import thumbnail
from ti_core.ui.widgets import DIRECT, QUEUED, Form, Updates, accepted, message_box, refused

SHOWN_PICTURES = 24
THUMBNAIL_PX = 160


class PictureInfoPanel:
    """The folded part below the form. `form` is the form that is filled in, `checkpoint` the one that is chosen."""

    def __init__(self, context: AppContext, form: Form, checkpoint: Any) -> None:
        self.context, self.form = context, form
        with gr.Accordion("PNG Info: use a picture's settings", open=False, elem_id="txt2img_info_part") as self.part:
            with gr.Row(equal_height=False):
                self.picture = gr.Image(
                    label="Drop a picture here, or click to choose it",
                    type="filepath",
                    image_mode=None,  # so that the file itself is kept, with what it tells
                    sources=["upload", "clipboard"],
                    height=200,
                    min_width=220,
                    elem_id="txt2img_info_picture",
                )
                self.painted = gr.Gallery(
                    label="Painted here: click one",
                    columns=4,
                    height=200,
                    object_fit="cover",
                    interactive=False,
                    allow_preview=False,
                    type="filepath",
                    buttons=[],
                    elem_id="txt2img_info_painted",
                )
            self.text = gr.Textbox(
                label="How it was painted", interactive=False, lines=3, max_lines=8, elem_id="txt2img_info_text"
            )
            self.use = gr.Button("Use these settings", interactive=False, elem_id="txt2img_info_use")
            self.message = message_box("txt2img_info_message")
        shown = [self.text, self.use, self.message]
        self.part.expand(self.listed, None, self.painted, **QUEUED)
        self.picture.upload(self.read, self.picture, shown, **QUEUED)
        self.picture.clear(self.cleared, None, shown, **DIRECT)
        self.painted.select(self.pick, None, shown, **QUEUED)
        filled = [form.widgets[name] for name in form.own]
        self.use.click(self.fill, [self.text, checkpoint], [*filled, self.message], **QUEUED)

    @read_only
    def listed(self) -> Any:
        """The gallery of the pictures that were painted last."""
        names = painted_pictures(self.context.workspace, SHOWN_PICTURES)
        files = [(painted_file(name, self.context.workspace), name) for name in names]
        return gr.update(value=[(thumbnail(file, THUMBNAIL_PX), name) for file, name in files])

    @read_only
    def pick(self, event: gr.SelectData) -> Updates:
        """Tell how the painted picture that was clicked was made."""
        value = event.value if isinstance(event.value, dict) else {}
        try:
            return self._filled(read_infotext(painted_file(str(value.get("caption") or ""), self.context.workspace)))
        except UserError as error:
            return {**self.cleared(), **refused(error, self.message)}

    @read_only
    def read(self, file: str | None) -> Updates:
        """Tell how the dropped picture was made."""
        try:
            return self._filled(read_infotext(Path(file))) if file else self.cleared()
        except UserError as error:
            return {**self.cleared(), **refused(error, self.message)}

    @read_only
    def cleared(self) -> Updates:
        """Nothing is chosen."""
        return {self.text: "", self.use: gr.update(interactive=False), **accepted(self.message)}

    def _filled(self, text: str) -> Updates:
        return {self.text: text, self.use: gr.update(interactive=True), **accepted(self.message)}

    @read_only
    def fill(self, text: str, checkpoint: str) -> Updates:
        """Fill in the form, and tell what is not understood."""
        values, notes = form_values(text, self.context.workspace, checkpoint or "")
        return {
            **self.form.updates(values),
            **accepted(self.message, "\n".join(["The form above is filled in.", *notes])),
        }
