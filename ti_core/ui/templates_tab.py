"""The Templates tab: write the sentences of a training, and see the prompts that they give with a dataset's
captions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import gradio as gr

from ti_core.data.caption_edits import dataset_folders
from ti_core.data.template_edits import captions_of, is_shipped, preview_prompts, read_template, save_template
from ti_core.embeddings.folder import find_embeddings
from ti_core.errors import UserError, about
from ti_core.settings import TrainSettings
from ti_core.settings.prompts import RECIPE_TEMPLATE_LINE, find_template, list_templates
from ti_core.ui.drafts import KEEP_TEMPLATE, RESTORE_TEMPLATE
from ti_core.ui.kept_forms import browser_state
from ti_core.ui.part import PageContext, Part
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import DIRECT, QUEUED, Updates, accepted, disk_dropdown, message_box, refused

DROP_OUT = TrainSettings.options()["tag_drop_out"]
SHUFFLE = TrainSettings.options()["shuffle_tags"]
NEW_TEMPLATE = f"{RECIPE_TEMPLATE_LINE}\n"


class TemplatesTab(Part):
    """`opened` is the template whose text is in the box, and the text as it was read: only that one is replaced by
    Save.

    It is no gr.State, for which every open page would hold a connection all the time, and a browser has but six to
    one server.
    """

    id, title = "templates", "Templates"

    def __init__(self, page: PageContext) -> None:
        self.context = context = page.app
        self.opened = gr.JSON(["", NEW_TEMPLATE], visible=False)
        gr.Markdown(
            "One sentence a line. In training, **[name]** becomes the embedding's name and **[filewords]** the"
            " picture's caption.",
            elem_classes="hint",
        )
        with gr.Row(equal_height=True, elem_classes="with-refresh"):
            self.template = disk_dropdown(
                list_templates(context.workspace),
                value=None,
                label="Template",
                info="Choose one to read or change it.",
                elem_id="templates_template",
            )
            self.new = gr.Button("New template", min_width=150, scale=0, elem_id="templates_new")
        self.text = gr.Textbox(
            NEW_TEMPLATE,
            label="Sentences",
            info="Every training picture takes one line by chance. At least one line needs [name].",
            lines=8,
            max_lines=20,
            elem_id="templates_text",
        )
        with gr.Row(equal_height=True, elem_classes="with-refresh"):
            self.name = gr.Textbox(
                label="Template name",
                info="It is saved in templates/. Those that come with the project are copied, never changed.",
                elem_id="templates_name",
            )
            self.save = gr.Button("Save template", variant="primary", min_width=150, scale=0, elem_id="templates_save")
        self.message = message_box("templates_message")
        with gr.Accordion("The prompts that come of it", open=True):
            self._build_preview()
        self._wire()

    def _build_preview(self) -> None:
        workspace = self.context.workspace
        with gr.Row(equal_height=False, elem_classes="numbers"):
            self.folder = disk_dropdown(
                dataset_folders(workspace),
                value=None,
                label="Dataset folder",
                info="Whose captions are filled in. Empty takes an example.",
                elem_id="templates_folder",
            )
            self.embedding = disk_dropdown(
                find_embeddings(workspace),
                value=None,
                label="Embedding",
                info="Whose name is filled in. Empty takes an example.",
                elem_id="templates_embedding",
            )
        with gr.Row(equal_height=False):
            self.shuffle = gr.Checkbox(
                False, label=SHUFFLE.label, info="As in the Train tab.", elem_id="templates_shuffle"
            )
            self.drop_out = gr.Slider(
                0, 1, value=0, step=0.1, label=DROP_OUT.label, info="As in the Train tab.", elem_id="templates_drop_out"
            )
        self.prompts = gr.Textbox(
            label="Five prompts, drawn by chance", interactive=False, lines=5, max_lines=12, elem_id="templates_prompts"
        )
        self.again = gr.Button("Draw again", elem_id="templates_again")

    def _wire(self) -> None:
        shown = [self.opened, self.template, self.text, self.name, self.message]
        opened = self.template.input(self.open, [self.template, self.text, self.opened], shown, **QUEUED)
        begun = self.new.click(self.start_new, [self.text, self.opened], shown, **QUEUED)
        self.saved = self.save.click(self.save_one, [self.name, self.text, self.opened], shown, **QUEUED)
        # What is typed and not saved yet is kept by the browser.
        self.drafts = browser_state({}, "template-draft")
        typed = [self.opened, self.text, self.name]
        for event in (self.text.input, self.name.input, opened.then, begun.then, self.saved.then):
            event(None, typed, self.drafts, js=KEEP_TEMPLATE, show_progress="hidden")
        self.facts = facts = [self.text, self.folder, self.embedding, self.shuffle, self.drop_out]
        gr.on(
            [widget.change for widget in facts], self.preview, facts, self.prompts, trigger_mode="always_last", **DIRECT
        )
        self.again.click(self.draw_again, facts, self.prompts, **DIRECT)

    def wire(self, page: PageContext) -> None:
        """The tab reads the disk when it is chosen, and what was typed before comes back; a saved template gets into
        the Train tab's list at once.
        """
        lists = [self.template, self.folder, self.embedding, self.prompts]
        entered = self.item.select(self.enter, self.facts, lists, **DIRECT)
        typed = [self.opened, self.text, self.name]
        entered.then(None, [*typed, self.drafts], [*typed, self.message], js=RESTORE_TEMPLATE, show_progress="hidden")
        listed = read_only(lambda: gr.update(choices=list_templates(self.context.workspace)))
        self.saved.then(listed, None, page.field("train", "template_file"), **DIRECT)

    @read_only
    def enter(self, text: str, folder: str | None, embedding: str | None, shuffle: bool, drop_out: float) -> Updates:
        """The tab is chosen: fresh lists, the newest dataset and the last embedding where nothing is chosen yet,
        and prompts of both.
        """
        workspace = self.context.workspace
        folders, embeddings = dataset_folders(workspace), find_embeddings(workspace)
        folder = folder or next(iter(folders), None)
        embedding = embedding or next(reversed(embeddings), None)
        return {
            self.template: gr.update(choices=list_templates(workspace)),
            self.folder: gr.update(choices=folders, value=folder),
            self.embedding: gr.update(choices=embeddings, value=embedding),
            self.prompts: self.preview(text, folder, embedding, shuffle, drop_out),
        }

    @read_only
    def open(self, name: str | None, text: str, opened: Sequence[str]) -> Updates:
        """Show another template. Sentences that were not saved are told in the message box, to be copied."""
        try:
            with about("template"):
                read = read_template(name or "", self.context.workspace)
                path = find_template(name or "", self.context.workspace)
        except UserError as error:
            return refused(error, self.message)
        message = (
            [f"'{path.name}' comes with the project and stays as it is. Saving makes your own copy."]
            if is_shipped(path)
            else []
        )
        message += _unsaved(text, opened)
        return {
            self.opened: [path.name, read],
            self.text: read,
            self.name: path.name,
            **accepted(self.message, "\n".join(message)),
        }

    @read_only
    def start_new(self, text: str, opened: Sequence[str]) -> Updates:
        """Clear the box for a new template; what was not saved is told, to be copied."""
        message = "\n".join(_unsaved(text, opened))
        return {
            self.opened: ["", NEW_TEMPLATE],
            self.template: None,
            self.text: NEW_TEMPLATE,
            self.name: "",
            **accepted(self.message, message),
        }

    def save_one(self, name: str, text: str, opened: Sequence[str]) -> Updates:
        """Write the template, and choose it in the lists."""
        try:
            file = save_template(name, text, self.context.workspace, opened[0])
        except UserError as error:
            return refused(error, self.message)
        listed, read = (
            gr.update(choices=list_templates(self.context.workspace), value=file),
            read_template(file, self.context.workspace),
        )
        return {
            self.opened: [file, read],
            self.name: file,
            self.template: listed,
            # What is the same already is left alone: somebody may type on before this answer has come.
            **({} if read.strip() == text.strip() else {self.text: read}),
            **accepted(
                self.message,
                f"Saved: {self.context.workspace.shown(self.context.workspace.templates / file)}. It is in the list of"
                " the Train tab.",
            ),
        }

    @read_only
    def draw_again(self, text: str, folder: str | None, embedding: str | None, shuffle: bool, drop_out: float) -> str:
        """Other examples of the prompts that the text makes."""
        return self.preview(text, folder, embedding, shuffle, drop_out, random.randrange(2**32))

    @read_only
    def preview(
        self, text: str, folder: str | None, embedding: str | None, shuffle: bool, drop_out: float, seed: int = 0
    ) -> str:
        """Five prompts, or what is wrong: while somebody types, a toast would be in the way."""
        try:
            captions = captions_of(folder or "", self.context.workspace)
            return "\n".join(preview_prompts(text, captions, embedding or "", shuffle, drop_out, seed))
        except UserError as error:
            return str(error)


def _unsaved(text: str, opened: Sequence[str]) -> list[str]:
    is_typed = bool(text.split()) and text.split() != opened[1].split()
    return [f"What was in the box was not saved. Copy it from here if you need it:\n{text}"] if is_typed else []
