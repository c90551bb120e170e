"""The txt2img tab: paint pictures with any embedding by its name, to try it out."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ti_core.settings import Txt2ImgSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.picture_info_panel import PictureInfoPanel
from ti_core.ui.prompt_words import build_prompt_words
from ti_core.ui.widgets import Form, Updates, message_box, submitted, wire_interrupt, wire_order

IN_ONE_ROW = (("sampler", "steps"), ("width", "height"), ("count", "cfg_scale"))


class Txt2ImgTab:
    """Form, buttons and answer of the tab. The pictures appear in the run panel."""

    kinds = ("txt2img",)

    def __init__(self, context: AppContext, my_job: Any, model: dict[str, Any]) -> None:
        self.context, self.my_job = context, my_job
        self.form = Form(Txt2ImgSettings, "txt2img")
        for name in Txt2ImgSettings.options():
            if name not in self.form.widgets and name not in model:
                self.form.add(*next((row for row in IN_ONE_ROW if name in row), (name,)))
            if name == "negative_prompt":
                build_prompt_words(context)
        self.form.share(model)
        with gr.Row(elem_classes="actions"):
            self.button = gr.Button("Generate", variant="primary", elem_id="txt2img_run")
            self.interrupt = gr.Button("Interrupt", elem_id="txt2img_interrupt")
        self.message = message_box("txt2img_message")
        PictureInfoPanel(context, self.form, model["checkpoint"])
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, context, self.kinds, self.message)

    def start(self, *given: Any) -> Updates:
        """Order the pictures."""
        return submitted(
            lambda: self.context.order_form("txt2img", self.form.values(given)),
            self.my_job,
            self.message,
        )
