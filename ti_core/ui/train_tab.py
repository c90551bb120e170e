"""The Train tab: A1111's fields in its order, then ours, folded away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import gradio as gr

from ti_core.embeddings.folder import find_embeddings
from ti_core.errors import UserError
from ti_core.painting.txt2img import preview_values
from ti_core.settings import TrainSettings
from ti_core.settings.prompts import list_templates
from ti_core.training.presets import PRESETS, describe_plan, preset_values
from ti_core.training.suited_preset import recipe_label, suited_preset
from ti_core.ui.app_context import AppContext
from ti_core.ui.other_programs import CopyToProgram
from ti_core.ui.rate_picture import rate_picture
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import (
    DIRECT,
    QUEUED,
    Form,
    Updates,
    accepted,
    message_box,
    refused,
    submitted,
    wire_interrupt,
    wire_order,
)

IN_ONE_ROW = (
    ("clip_grad_mode", "clip_grad_value"),
    ("batch_size", "gradient_accumulation_steps"),
    ("image_every", "save_every"),
)
DEVICE_WITHIN_S = 20.0


class TrainTab:
    """Form, buttons and answer of the tab. `wire` follows when the txt2img tab is there, whose form previews may take
    their values from.
    """

    kinds = ("train", "resume")
    txt2img: Form

    def __init__(self, context: AppContext, my_job: Any, model: dict[str, Any]) -> None:
        self.context, self.my_job = context, my_job
        self.form = Form(TrainSettings, "train")
        gr.Markdown(
            "Train an embedding on a folder of square pictures. Not sure about a field? The recipe fills in all of them"
            " for a face.",
            elem_classes="hint",
        )
        with gr.Row(equal_height=False):
            self.preset = gr.Dropdown(
                list(PRESETS),
                value=None,
                label="Preset",
                scale=3,
                min_width=200,
                elem_id="train_preset",
                info=(
                    "Choose one to fill in the form for your pictures. Fast and faithful learned a face from the fewest"
                    " looks at the pictures (docs/quality.md)."
                ),
            )
            self.recipe = gr.Button("Use the face recipe", scale=2, min_width=160, elem_id="train_recipe")
        for group, names in TrainSettings.grouped().items():
            folded = gr.Accordion(group.title, open=False, elem_id=f"train_{group.name}") if group else nullcontext()
            with folded:
                self._add([name for name in names if name not in model])
        self.form.share(model)
        ordered = self.form.widgets
        self.plan = gr.Textbox(label="Before you start", interactive=False, lines=1, max_lines=7, elem_id="train_plan")
        typed = [ordered["learning_rate"], ordered["steps"]]
        gr.on([widget.change for widget in typed], rate_picture, typed, self.rate, trigger_mode="always_last", **DIRECT)
        with gr.Row(elem_classes="actions"):
            self.button = gr.Button("Train Embedding", variant="primary", elem_id="train_run")
            self.interrupt = gr.Button("Interrupt", elem_id="train_interrupt")
        self.message = message_box("train_message")
        self.copies = CopyToProgram(context, self.form.widgets["embedding"], self.message, "train_copy")

    def wire(self, txt2img: Form) -> None:
        """Let the buttons and the preset act. `txt2img` is the form of that tab."""
        self.txt2img = txt2img
        wire_order(self.button, self.start, self.form.components + txt2img.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, self.message)
        chosen = [self.form.widgets["dataset_directory"], self.form.widgets["embedding"]]
        checkpoint = self.form.widgets["checkpoint"]
        self.recipe.click(self.fill_recipe, [*chosen, checkpoint], self.shown, **QUEUED)
        checkpoint.change(self.labelled, checkpoint, self.recipe, **DIRECT)
        self.preset.input(self.fill_preset, [*chosen, self.preset], self.shown, **QUEUED)

    @property
    def shown(self) -> list[Any]:
        """What filling in the form may change."""
        return [self.message, self.preset, *self.form.own.values()]

    def _add(self, names: list[str]) -> None:
        for name in names:
            if name in self.form.widgets:
                continue
            if name == "embedding":
                self.form.add_refreshed(name, lambda: find_embeddings(self.context.workspace))
            elif name == "template_file":
                self.form.add_refreshed(name, lambda: list_templates(self.context.workspace))
            elif name == "learning_rate":
                self.form.add(name)
                self.rate = gr.HTML(
                    rate_picture(TrainSettings().learning_rate, TrainSettings().steps), elem_id="train_rate"
                )
            elif name == "gpus":
                self.form.add(name)
                self.form.widgets[name].visible = False  # until `gpus_field` has counted them
            else:
                self.form.add(*next((row for row in IN_ONE_ROW if name in row), (name,)))

    @read_only
    def gpus_field(self) -> Any:
        """The field is for computers with more than one."""
        state = self.context.device.latest(DEVICE_WITHIN_S)
        return gr.update(visible=state is not None and state.count > 1)

    @read_only
    def described(self, *given: Any) -> str:
        """The plan of the form in one sentence, or what is still missing."""
        try:
            settings = TrainSettings.from_dict(self.form.values(given))
            return describe_plan(self.context.workspace, settings, self.context.device.latest())
        except UserError as error:
            return str(error)

    @read_only
    def labelled(self, checkpoint: str | None) -> Any:
        """The recipe's button, by what suits the checkpoint."""
        return gr.update(value=recipe_label(checkpoint or "", self.context.workspace))

    def fill_recipe(self, dataset_directory: str, embedding: str | None, checkpoint: str | None = None) -> Updates:
        """Fill the form with what suits the checkpoint's family: as the guide says, or why not."""
        preset, reason = suited_preset(checkpoint or "", self.context.workspace)
        updates = {**self.fill_preset(dataset_directory, embedding, preset), self.preset: preset}
        failed = self.form.widgets["learning_rate"] not in updates
        return updates if failed or not reason else {**updates, **accepted(self.message, reason)}

    def fill_preset(self, dataset_directory: str, embedding: str | None, preset: str) -> Updates:
        """Fill the form with a preset's values for this dataset, or say what is missing for that."""
        try:
            values = preset_values(preset, self.context.workspace, dataset_directory or "", embedding or "")
        except UserError as error:
            return refused(error, self.message)
        return {**self.filled(values), **accepted(self.message)}

    def filled(self, values: dict[str, Any]) -> Updates:
        """Updates for the form; a template that was just written, or an embedding just made, gets into its list too."""
        updates = self.form.updates(values)
        lists = {
            "embedding": find_embeddings(self.context.workspace),
            "template_file": list_templates(self.context.workspace),
        }
        for name, choices in lists.items():
            value = {"value": values[name]} if values.get(name) in choices else {}
            updates[self.form.widgets[name]] = gr.update(choices=choices, **value)
        return updates

    def settings_of(self, given: Sequence[Any]) -> TrainSettings:
        """From the values of this form, followed by those of the txt2img form, which previews may take theirs from."""
        values = self.form.values(given[: len(self.form.names)])
        if values["preview_from_txt2img"]:
            values.update(preview_values(self.txt2img.values(given[len(self.form.names) :])))
        return TrainSettings.from_dict(values)

    def start(self, *given: Any) -> Updates:
        """Submit the training; takes the values of both forms."""
        return submitted(lambda: self.context.order("train", self.settings_of(given)), self.my_job, self.message)
