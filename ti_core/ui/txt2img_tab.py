"""The txt2img tab: paint pictures with any embedding by its name, to try it out."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.settings import Txt2ImgSettings
from ti_core.ui.live.chosen_step import prompt_to_try
from ti_core.ui.part import PageContext, Part
from ti_core.ui.picture_info_panel import PictureInfoPanel
from ti_core.ui.prompt_words import build_prompt_words
from ti_core.ui.widgets import QUEUED, Form, Updates, message_box, refused, submitted, wire_interrupt, wire_order

IN_ONE_ROW = (("sampler", "steps"), ("width", "height"), ("count", "cfg_scale"))


class Txt2ImgTab(Part):
    """Form, buttons and answer of the tab. The pictures appear in the run panel."""

    id = title = "txt2img"
    kinds = ("txt2img",)
    form: Form

    def __init__(self, page: PageContext) -> None:
        self.context, self.my_job, model = page.app, page.my_job, page.model
        self.form = Form(Txt2ImgSettings, "txt2img")
        for name in Txt2ImgSettings.options():
            if name not in self.form.widgets and name not in model:
                self.form.add(*next((row for row in IN_ONE_ROW if name in row), (name,)))
            if name == "negative_prompt":
                build_prompt_words(self.context)
        self.form.share(model)
        with gr.Row(elem_classes="actions"):
            self.button = gr.Button("Generate", variant="primary", elem_id="txt2img_run")
            self.interrupt = gr.Button("Interrupt", elem_id="txt2img_interrupt")
        self.message = message_box("txt2img_message")
        PictureInfoPanel(self.context, self.form, model["checkpoint"])
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, page.my_job, self.message)

    def wire(self, page: PageContext) -> None:
        """A step of the run panel is tried here, with the prompt of its preview."""
        prompt = self.form.widgets["prompt"]

        def try_step(event: gr.EventData) -> Updates:
            try:
                return {prompt: prompt_to_try(self.context, event._data), **page.open(self.id)}
            except UserError as error:
                return refused(UserError(self.context.workspace.without_paths(str(error))), self.message)

        page.live.try_step(try_step, None, [prompt, self.message, *page.opening], **QUEUED)

    def start(self, *given: Any) -> Updates:
        """Order the pictures."""
        return submitted(
            lambda: self.context.order_form("txt2img", self.form.values(given)),
            self.my_job,
            self.message,
        )
