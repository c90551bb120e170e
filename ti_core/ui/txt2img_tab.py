"""The txt2img tab: paint pictures with any embedding by its name, to try it out."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ti_core.settings import Txt2ImgSettings
from ti_core.ui.part import PageContext, Part
from ti_core.ui.widgets import Form, Updates, message_box, submitted, wire_interrupt, wire_order

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
        self.form.share(model)
        with gr.Row(elem_classes="actions"):
            self.button = gr.Button("Generate", variant="primary", elem_id="txt2img_run")
            self.interrupt = gr.Button("Interrupt", elem_id="txt2img_interrupt")
        self.message = message_box("txt2img_message")
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, self.message)

    def start(self, *given: Any) -> Updates:
        """Order the pictures."""
        return submitted(
            lambda: self.context.order("txt2img", Txt2ImgSettings.from_dict(self.form.values(given))),
            self.my_job,
            self.message,
        )
