"""The Embeddings tab: what is in embeddings/, what the words mean to the model, and converting, renaming, repairing
and merging them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.embeddings import actions
from ti_core.embeddings.folder import find_stored, shown_word, stored_embeddings
from ti_core.embeddings.formats import FORMATS, PICKLE_BEARING, SUFFIXES, WRITABLE
from ti_core.embeddings.merge import MERGE_MODES
from ti_core.embeddings.names import describe_new_name, new_embedding_name
from ti_core.embeddings.table import table_rows
from ti_core.errors import UserError, about
from ti_core.events import Emit, Finished, Notice, Progress
from ti_core.models.vocabulary import nearest_words, norms_if_known, repair_norm
from ti_core.settings.emphasis import escaped
from ti_core.settings.prompts import split_at_names
from ti_core.ui.embeddings_bin_panel import EmbeddingsBinPanel
from ti_core.ui.other_programs import CopyToProgram
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import read_only
from ti_core.ui.server.uploads import keep_embedding
from ti_core.ui.widgets import (
    QUEUED,
    Updates,
    accepted,
    disk_dropdown,
    message_box,
    name_hint,
    refused,
    submitted,
    wire_hint,
    wire_order,
)
from ti_core.workspace import clean_name

COLUMNS = ("Embedding", "Word for prompts", "Model family", "Vectors", "Step", "Norm", "Norm of words", "Checkpoint")


class EmbeddingsTab(Part):
    """The table of files, and what can be done with them. All that writes is a quick job, so that it never meets a
    training half-way.
    """

    id, title = "embeddings", "Embeddings"
    kinds = ("embeddings",)

    def __init__(self, page: PageContext) -> None:
        self.context, self.my_job, self.checkpoint = page.app, page.my_job, page.model["checkpoint"]
        gr.Markdown(
            "The norm says how strong a word is. One much higher than the norm of words drowns the rest of the prompt:"
            " use Repair the norm.",
            elem_classes="hint",
        )
        self.table = gr.Dataframe(
            headers=list(COLUMNS),
            datatype="str",
            value=[],
            label="Files in embeddings/: click one",
            interactive=False,
            max_height=300,
            wrap=True,
            column_widths=["20%", "16%", "15%", "9%", "7%", "11%", "10%", "12%"],
            elem_id="embeddings_table",
        )
        with gr.Row(equal_height=True, elem_classes="with-refresh"):
            self.chosen = disk_dropdown(
                [],
                value=None,
                label="Embedding",
                info="Choose what to look at or to change.",
                elem_id="embeddings_chosen",
            )
            self.refresh = gr.Button(
                "Embeddings: refresh", elem_classes="refresh", min_width=40, scale=0, elem_id="embeddings_refresh"
            )
        with gr.Row(elem_classes="actions"):
            self.to_prompt = gr.Button("Put its word into the txt2img prompt", elem_id="embeddings_to_prompt")
            self.to_negative = gr.Button("Into the negative prompt", elem_id="embeddings_to_negative")
        self.words = gr.Dataframe(
            headers=["Vector", "Norm", "Nearest words of the checkpoint (1 means the same)"],
            datatype="str",
            value=[],
            interactive=False,
            wrap=True,
            label="Nearest words",
            visible=False,
            max_height=260,
            column_widths=["12%", "13%", "75%"],
            elem_id="embeddings_words",
        )
        self.message = message_box("embeddings_message")
        self.copies = CopyToProgram(self.context, self.chosen, self.message, "embeddings_copy")
        self._build_actions()
        self.bin = EmbeddingsBinPanel(self.context, self.message)
        self.shown = [self.table, self.chosen, self.words, self.message, self.merged]
        self.drop.upload(self.take, [self.drop, self.checkpoint], self.shown, **QUEUED)
        self.refresh.click(self.enter, [self.chosen, self.checkpoint], self.shown, **QUEUED)
        self.table.select(self.pick, self.checkpoint, self.shown, **QUEUED)
        self.chosen.input(self.look, [self.chosen, self.checkpoint], self.shown, **QUEUED)
        self.bin.wire(self.chosen, self.checkpoint, self.enter, self.shown)

    def _wire_prompts(self, page: PageContext) -> None:
        for button, name in ((self.to_prompt, "prompt"), (self.to_negative, "negative_prompt")):
            box = page.field("txt2img", name)

            def put(chosen: str | None, text: str, box: Any = box) -> Updates:
                prompt = self.named(chosen, text)
                if prompt is None:
                    return refused(UserError("No embedding is chosen.", "Choose one in the list."), self.message)
                return {box: prompt, **page.open("txt2img"), **accepted(self.message)}

            button.click(read_only(put), [self.chosen, box], [box, *page.opening, self.message], **QUEUED)

    def named(self, chosen: str | None, text: str) -> str | None:
        """The prompt with the chosen embedding's word at its end, if it is not in it yet; None where none is chosen."""
        try:
            name = find_stored(chosen or "", self.context.workspace).name
        except UserError:
            return None
        if any(found for found, _ in split_at_names(text or "", [name])):
            return text
        return f"{(text or '').rstrip()} {escaped(name)}".strip()

    def _build_actions(self) -> None:
        """The folded parts below the table: what writes, each with the button that orders it."""
        self._build_convert()
        self._build_upload()
        self._build_rename()
        self._build_repair()
        self._build_merge()

    def _order(self, button: Any, start: Callable[..., Updates], inputs: list[Any]) -> None:
        wire_order(button, start, inputs, self.my_job, self.message)

    def _build_convert(self) -> None:
        with gr.Accordion("Convert and download", open=False, elem_id="embeddings_convert_part"):
            self.format = gr.Radio(
                [*WRITABLE, actions.ONETRAINER],
                value=".safetensors",
                label="Format",
                elem_id="embeddings_format",
                info=", ".join(f"{each.suffix} {each.description}" for each in FORMATS if each.save)
                + ". OneTrainer goes on training its own alone.",
            )
            wire_hint(name_hint(self.format), self._says_copy, [self.chosen, self.format])
            self._order(gr.Button("Convert", elem_id="embeddings_convert"), self.convert, [self.chosen, self.format])

    def _build_upload(self) -> None:
        takes_pickles = self.context.allow_pickle
        suffixes = [suffix for suffix in SUFFIXES if takes_pickles or suffix not in PICKLE_BEARING]
        with gr.Accordion("Upload", open=False, elem_id="embeddings_upload_part"):
            self.drop = gr.File(
                label=f"Drop an embedding here ({', '.join(suffixes)})",
                file_types=suffixes,
                height=110,
                elem_id="embeddings_drop",
            )

    def _build_rename(self) -> None:
        with gr.Accordion("Rename", open=False, elem_id="embeddings_rename_part"):
            self.new_name = gr.Textbox(
                label="New name",
                info="The new word for prompts. A name that exists is refused.",
                elem_id="embeddings_new_name",
            )
            wire_hint(name_hint(self.new_name), self._says_new, [self.new_name])
            self._order(gr.Button("Rename", elem_id="embeddings_rename"), self.rename, [self.chosen, self.new_name])

    def _build_repair(self) -> None:
        with gr.Accordion("Repair the norm", open=False, elem_id="embeddings_repair_part"):
            self.repaired = gr.Textbox(
                label="Name of the repaired copy",
                elem_id="embeddings_repaired",
                info=(
                    "Makes a copy that is as strong as the checkpoint's own words; the old file stays. Empty adds"
                    " -repaired to the name."
                ),
            )
            wire_hint(name_hint(self.repaired), self._says_new, [self.repaired])
            button = gr.Button("Repair", elem_id="embeddings_repair")
            self._order(button, self.repair, [self.chosen, self.repaired, self.checkpoint])

    def _build_merge(self) -> None:
        with gr.Accordion("Merge", open=False, elem_id="embeddings_merge_part"):
            self.merged = disk_dropdown(
                [],
                value=None,
                multiselect=True,
                label="Embeddings to merge",
                info="Choose two or more.",
                elem_id="embeddings_merged",
            )
            self.mode = gr.Radio(
                list(MERGE_MODES),
                value="concatenate",
                label="How",
                elem_id="embeddings_mode",
                info=(
                    "Choose concatenate to have both things in one word; average, weighted and slerp mix them, and need"
                    " the same number of vectors in each. slerp mixes two and keeps their strength."
                ),
            )
            with gr.Row(equal_height=False, elem_classes="numbers"):
                self.weights = gr.Textbox(
                    label="Weights",
                    info="For weighted and slerp: one number each, such as 0.7, 0.3.",
                    elem_id="embeddings_weights",
                )
                self.merged_name = gr.Textbox(
                    label="Name of the merged embedding",
                    info="The new word for prompts.",
                    elem_id="embeddings_merged_name",
                )
            wire_hint(name_hint(self.merged_name), self._says_new, [self.merged_name])
            button = gr.Button("Merge", elem_id="embeddings_merge")
            self._order(button, self.merge, [self.merged, self.mode, self.weights, self.merged_name])

    def _says_new(self, typed: str) -> str:
        return describe_new_name(typed, self.context.workspace)

    def _says_copy(self, chosen: str | None, suffix: str) -> str:
        return f"It will be saved as {actions.converted_file(chosen, suffix)}." if chosen else ""

    # ---- looking

    @read_only
    def enter(self, chosen: str | None, checkpoint: str) -> Updates:
        """Fresh lists; what was chosen, a file or the name of a new one, stays if it is there."""
        rows = table_rows(self.context.workspace, norms_if_known(checkpoint, self.context.workspace))
        files = [row[0] for row in rows]
        chosen = next((file for file in files if chosen in (file, shown_word(file))), None)
        looked = self.look(chosen, checkpoint) if chosen else {self.words: gr.update(visible=False)}
        return {
            self.table: gr.update(value=rows),
            self.merged: gr.update(choices=files),
            **looked,
            self.chosen: gr.update(choices=files, value=chosen),
        }

    @read_only
    def pick(self, checkpoint: str, event: gr.SelectData) -> Updates:
        """Look at the file whose row was clicked."""
        return self.look(str(event.row_value[0]), checkpoint)

    @read_only
    def look(self, chosen: str | None, checkpoint: str) -> Updates:
        """The nearest words of each vector, or why there are none."""
        try:
            stored = find_stored(chosen or "", self.context.workspace)
            nearest = nearest_words(chosen or "", checkpoint, self.context.workspace)
        except UserError as error:
            return {self.chosen: chosen, self.words: gr.update(visible=False), **accepted(self.message, str(error))}
        numbers = [
            (f"{i + 1} {encoder}" if len(stored.content.norms) > 1 else str(i + 1), norm)
            for encoder, norms in stored.content.norms.items()
            for i, norm in enumerate(norms)
        ]
        rows = [
            [number, f"{norm:.3g}", ", ".join(f"{word} {cosine:.2f}" for word, cosine in words)]
            for (number, norm), words in zip(numbers, nearest, strict=True)
        ]
        return {
            self.chosen: chosen,
            self.words: gr.update(value=rows, visible=True, label=f"Nearest words of {stored.name}"),
            **accepted(self.message),
        }

    def take(self, file: str | None, checkpoint: str) -> Updates:
        """Keep a dropped embedding, and look at it."""
        try:
            path = keep_embedding(Path(file or ""), self.context.workspace, self.context.allow_pickle)
        except UserError as error:
            return refused(error, self.message)
        return {
            **self.enter(path.name, checkpoint),
            **accepted(self.message, f"Saved: {self.context.workspace.shown(path)}. {self._words_of(path)}"),
        }

    def _words_of(self, path: Path) -> str:
        """Which word to type for a file of embeddings/."""
        words = [stored.name for stored in stored_embeddings(self.context.workspace) if stored.path == path]
        return f"In prompts write: {', '.join(words)}" if words else ""

    # ---- jobs

    def wire(self, page: PageContext) -> None:
        """The tab reads the disk when it is chosen."""
        waited_for = {**QUEUED, "show_progress": "full", "show_progress_on": self.table}
        self.item.select(self.enter, self.takes, self.shown, **waited_for)  # the first look loads torch
        self._wire_prompts(page)
        self.copies.wire(page)

    @property
    def takes(self) -> list[Any]:
        return [self.chosen, self.checkpoint]

    @property
    def gives(self) -> list[Any]:
        return self.shown

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """Look at what was made, or again at what was chosen."""
        chosen, checkpoint = given
        job = end.job
        if not job or job.kind != "embeddings" or job.state != "finished":
            return {}
        return {**self.enter(job.result or chosen, checkpoint), **accepted(self.message, job.text)}

    def convert(self, chosen: str | None, suffix: str) -> Updates:
        """Order the chosen embedding in another format, outside of embeddings/."""
        return self._start(
            f"Convert {chosen} to {suffix}",
            chosen,
            lambda: actions.convert(chosen or "", suffix, self.context.workspace),
        )

    def rename(self, chosen: str | None, new_name: str) -> Updates:
        """Order a new name for the chosen embedding."""
        return self._start(
            f"Rename {chosen}",
            chosen,
            lambda: actions.rename(chosen or "", new_name, self.context.workspace),
            new_name,
            self.new_name,
        )

    def repair(self, chosen: str | None, new_name: str, checkpoint: str) -> Updates:
        """Order a copy of the chosen embedding that is as strong as the checkpoint's own words."""
        name = new_name.strip() or (clean_name(f"{shown_word(chosen)}-repaired") if chosen else "")

        def work() -> Path:
            return repair_norm(chosen or "", name, checkpoint, self.context.workspace)

        return self._start(f"Repair the norm of {chosen}", chosen, work, name, self.repaired)

    def merge(self, chosen: list[str] | None, mode: str, weights: str, new_name: str) -> Updates:
        """Order one embedding out of several. `weights` are numbers with commas between them."""
        files = chosen or []

        def work() -> Path:
            return actions.merge_stored(files, mode, weights, new_name, self.context.workspace)

        try:
            actions.weights_of(files, mode, weights)
        except UserError as error:
            return refused(error, self.message)
        return self._start(f"Merge {len(files)} embeddings", files[0], work, new_name, self.merged_name)

    def _start(
        self,
        title: str,
        chosen: str | None,
        work: Callable[[], Path],
        new_name: str | None = None,
        name_box: Any = None,
    ) -> Updates:
        """Refuse at once what needs no opened file; the job says the rest. `name_box` is where a new name is typed."""

        def job(emit: Emit, stop: threading.Event) -> None:
            emit(Progress(title, 0, 1))
            path = work()
            if new_name is None:
                emit(Notice("It lies outside of embeddings/, because there would be two of one name there."))
            emit(Progress(title, 1, 1))
            emit(Finished(f"Saved: {self.context.workspace.shown(path)}", files=(str(path),)))

        def order() -> str:
            if not chosen:
                raise UserError("No embedding is chosen.", "Choose one in the list.", field="chosen")
            made = ""
            if new_name is not None:
                with about(name_box.elem_id):
                    made = new_embedding_name(new_name, self.context.workspace, name_box.label)
            return self.context.submit("embeddings", title, job, result=made)

        return submitted(order, self.my_job, self.message)
