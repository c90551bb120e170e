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
from ti_core.embeddings.folder import find_stored, stored_embeddings
from ti_core.embeddings.formats import FORMATS, PICKLE_BEARING, SUFFIXES, WRITABLE
from ti_core.embeddings.merge import MERGE_MODES
from ti_core.embeddings.names import new_embedding_name
from ti_core.embeddings.table import table_rows
from ti_core.errors import UserError
from ti_core.events import Emit, Finished, Notice, Progress
from ti_core.jobs.job import Job
from ti_core.models.vocabulary import nearest_words, norms_if_known, repair_norm
from ti_core.ui.app_context import AppContext
from ti_core.ui.other_programs import CopyToProgram
from ti_core.ui.server.roles import read_only
from ti_core.ui.server.uploads import keep_embedding
from ti_core.ui.widgets import QUEUED, Updates, accepted, disk_dropdown, message_box, refused, submitted, wire_order

COLUMNS = ("Embedding", "Model family", "Vectors", "Step", "Norm", "Norm of words", "Checkpoint")


class EmbeddingsTab:
    """The table of files, and what can be done with them. All that writes is a quick job, so that it never meets a
    training half-way.
    """

    kinds = ("embeddings",)

    def __init__(self, context: AppContext, my_job: Any, checkpoint: Any) -> None:
        self.context, self.my_job, self.checkpoint = context, my_job, checkpoint
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
            column_widths=["24%", "15%", "12%", "9%", "13%", "12%", "15%"],
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
        self.copies = CopyToProgram(context, self.chosen, self.message, "embeddings_copy")
        self._build_actions()
        self.shown = [self.table, self.chosen, self.words, self.message, self.merged]
        self.drop.upload(self.take, [self.drop, self.checkpoint], self.shown, **QUEUED)
        self.refresh.click(self.enter, [self.chosen, self.checkpoint], self.shown, **QUEUED)
        self.table.select(self.pick, self.checkpoint, self.shown, **QUEUED)
        self.chosen.input(self.look, [self.chosen, self.checkpoint], self.shown, **QUEUED)

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
            button = gr.Button("Merge", elem_id="embeddings_merge")
            self._order(button, self.merge, [self.merged, self.mode, self.weights, self.merged_name])

    # ---- looking

    @read_only
    def enter(self, chosen: str | None, checkpoint: str) -> Updates:
        """Fresh lists; what was chosen, a file or the name of a new one, stays if it is there."""
        rows = table_rows(self.context.workspace, norms_if_known(checkpoint, self.context.workspace))
        files = [row[0] for row in rows]
        chosen = next((file for file in files if chosen in (file, Path(file).stem, file.rpartition(": ")[2])), None)
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

    def on_job_finished(self, job: Job, chosen: str | None, checkpoint: str) -> Updates:
        """Look at what was made, or again at what was chosen."""
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
        )

    def repair(self, chosen: str | None, new_name: str, checkpoint: str) -> Updates:
        """Order a copy of the chosen embedding that is as strong as the checkpoint's own words."""
        name = new_name.strip() or f"{Path(chosen or '').stem}-repaired"

        def work() -> Path:
            return repair_norm(chosen or "", name, checkpoint, self.context.workspace)

        return self._start(f"Repair the norm of {chosen}", chosen, work, name)

    def merge(self, chosen: list[str] | None, mode: str, weights: str, new_name: str) -> Updates:
        """Order one embedding out of several. `weights` are numbers with commas between them."""
        files = chosen or []
        work = lambda: actions.merge_stored(files, mode, weights, new_name, self.context.workspace)  # noqa: E731
        return self._start(f"Merge {len(files)} embeddings", files[0] if files else None, work, new_name)

    def _start(self, title: str, chosen: str | None, work: Callable[[], Path], new_name: str | None = None) -> Updates:
        """Refuse at once what needs no opened file; the job says the rest."""

        def job(emit: Emit, stop: threading.Event) -> None:
            emit(Progress(title, 0, 1))
            path = work()
            if new_name is None:
                emit(Notice("It lies outside of embeddings/, because there would be two of one name there."))
            emit(Progress(title, 1, 1))
            emit(Finished(f"Saved: {self.context.workspace.shown(path)}", files=(str(path),)))

        def order() -> str:
            if not chosen:
                raise UserError("No embedding is chosen.", "Choose one in the list.")
            made = new_embedding_name(new_name, self.context.workspace) if new_name is not None else ""
            return self.context.submit("embeddings", title, job, result=made)

        return submitted(order, self.my_job, self.message)
