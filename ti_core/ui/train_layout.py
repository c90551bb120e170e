"""How the Train tab looks: what is trained, how long, with which captions; the rest of A1111's fields and ours lies
folded, with a box that finds them. The bar with the button stays in view.
"""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from ti_core.embeddings.folder import find_embeddings
from ti_core.settings import TrainSettings
from ti_core.settings.option import Group
from ti_core.settings.prompts import list_templates
from ti_core.training.kind_presets import ALL_PRESETS
from ti_core.ui.dataset_strip import NO_DATASET
from ti_core.ui.other_programs import CopyToProgram
from ti_core.ui.part import PageContext, plan_box
from ti_core.ui.preset_panel import PresetPanel
from ti_core.ui.rate_picture import rate_picture
from ti_core.ui.widgets import Form, message_box

LENGTH = (("steps", "batch_size", "gradient_accumulation_steps"), ("image_every", "save_every"))
CAPTIONS = (("shuffle_tags", "tag_drop_out"), ("latent_sampling_method",))
IN_ONE_ROW = (("clip_grad_mode", "clip_grad_value"), ("width", "height"))
REST = Group("rest", "Size, folders, clipping and more of A1111")
"""Those of A1111's fields that nobody needs for a face."""
FIND_FIELDS = Path(__file__).with_name("find_fields.js").read_text(encoding="utf-8")


class TrainLayout:
    """The components of the tab, without what they do."""

    form: Form

    def __init__(self, page: PageContext) -> None:
        self.context = page.app
        self.form = Form(TrainSettings, "train")
        self._build_bar()  # first, so that the keyboard reaches the button at once; style.css puts it below the form
        self._build_presets()
        self._build_what()
        self._build_length()
        for names in CAPTIONS:
            self.form.add(*names)
        self._build_folded(set(page.model))
        self.copies = CopyToProgram(self.context, self.form.widgets["embedding"], self.message, "train_copy")
        self.form.share(page.model)

    def _build_bar(self) -> None:
        with gr.Column(elem_id="train_bar", elem_classes="start-bar"):
            self.message = message_box("train_message")
            with gr.Row(equal_height=False):
                self.plan = plan_box("train_plan")
                with gr.Row(elem_classes="actions"):
                    self.button = gr.Button("Train Embedding", variant="primary", min_width=170, elem_id="train-button")
                    self.interrupt = gr.Button("Interrupt", min_width=90, elem_id="train_interrupt")

    def _build_presets(self) -> None:
        with gr.Row(equal_height=False, elem_classes="presets"):
            self.preset = gr.Dropdown(
                list(ALL_PRESETS),
                value=None,
                label="Preset",
                allow_custom_value=True,
                scale=3,
                min_width=200,
                elem_id="train_preset",
                info="Fills in the form. Fast and faithful needs the fewest passes and follows prompts best.",
            )
            self.recipe = gr.Button("Use the face recipe", scale=2, min_width=160, elem_id="train_recipe")
            self.own = PresetPanel(self.context)  # takes a row of its own once it is open

    def _build_what(self) -> None:
        workspace = self.context.workspace
        with gr.Row(equal_height=False):
            with gr.Column(min_width=260):
                self.form.add_refreshed("embedding", lambda: find_embeddings(workspace))
            with gr.Column(min_width=260):
                self.form.add_refreshed("template_file", lambda: list_templates(workspace))
        with gr.Row(equal_height=False):
            self.form.add("dataset_directory")
            self.strip = gr.HTML(NO_DATASET, elem_id="train_dataset")
        self.example = gr.HTML("", elem_id="train_example")

    def _build_length(self) -> None:
        self.form.add("learning_rate")
        usual = TrainSettings()
        self.rate = gr.HTML(rate_picture(usual.learning_rate, usual.steps), elem_id="train_rate")
        for names in LENGTH:
            self.form.add(*names)

    def _build_folded(self, elsewhere: set[str]) -> None:
        """All fields that have no place yet, in groups; what has no group of its own is in the first."""
        groups = {
            group or REST: [name for name in names if name not in self.form.widgets and name not in elsewhere]
            for group, names in TrainSettings.grouped().items()
        }
        self.find = gr.Textbox(
            label="Find a field",
            placeholder="Find a field, such as seed or width",
            container=False,
            show_label=False,
            elem_id="train_find",
        )
        with gr.Column(elem_id="train_folded"):
            for group, names in groups.items():
                with gr.Accordion(group.title, open=False, elem_id=f"train_{group.name}"):
                    for name in names:
                        if name not in self.form.widgets:
                            self.form.add(*next((row for row in IN_ONE_ROW if name in row), (name,)))
        for name in ("gpus", "device"):
            self.form.widgets[name].visible = False  # until it is known how many there are
        # What is looked at when somebody types into the box: label, A1111's name and help of each folded field.
        options = TrainSettings.options()
        self.index = json.dumps(
            {
                f"train_{group.name}": {
                    f"train_{name}": (
                        options[name].label,
                        options[name].a1111,
                        name.replace("_", " "),
                        options[name].help,
                    )
                    for name in names
                }
                for group, names in groups.items()
            }
        )
