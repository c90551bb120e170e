"""The top of the page: which checkpoint, and how it is loaded; A1111's quick settings. Train and txt2img take their
values from here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.checkpoints.hashes import known_hash
from ti_core.checkpoints.library import OWN, find_checkpoint, find_checkpoints, find_vaes
from ti_core.data.images import find_images
from ti_core.data.picture_checks import cartoon_sentences
from ti_core.errors import UserError, about
from ti_core.events import Emit
from ti_core.models.families import FAMILIES
from ti_core.painting.few_steps import few_steps_sentence
from ti_core.settings import AUTOMATIC, TrainSettings, prediction_label
from ti_core.ui.kept_forms import text_of
from ti_core.ui.other_programs import ProgramFolders
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import (
    DIRECT,
    Updates,
    accepted,
    disk_dropdown,
    message_box,
    submitted,
    widget,
    wire_changes,
    wire_order,
)


class ModelPanel(Part):
    """`widgets` holds the checkpoint's dropdown and the options of loading, by the names of the settings."""

    kinds = ("download",)

    def __init__(self, page: PageContext, chosen: str) -> None:
        self.context, self.chosen, self.my_job = page.app, chosen, page.my_job
        options, defaults = TrainSettings.options(), TrainSettings.defaults()
        option = options["checkpoint"]
        with gr.Row(elem_classes="with-refresh"):
            checkpoint = disk_dropdown(
                self.titles(), value=chosen, label=option.label, info=option.help, elem_id="checkpoint"
            )
            self.refresh = gr.Button(
                f"{option.label}: refresh", elem_classes="refresh", min_width=40, scale=0, elem_id="checkpoint_refresh"
            )
        self.widgets: dict[str, Any] = {"checkpoint": checkpoint}
        self.facts = gr.Textbox(
            label="This checkpoint",
            value=self.described(chosen),
            interactive=False,
            container=False,
            max_lines=3,
            elem_id="checkpoint_facts",
        )
        with gr.Accordion("VAE, clip skip, precision, download", open=False, elem_id="model_more"):
            vae = options["vae"]
            with gr.Row(equal_height=False, elem_classes="numbers"):
                self.widgets["vae"] = disk_dropdown(
                    self.vaes(), value=AUTOMATIC, label=vae.label, info=vae.help, elem_id="model_vae"
                )
                self.widgets["clip_skip"] = widget(options["clip_skip"], defaults["clip_skip"], "model_clip_skip")
            with gr.Row(equal_height=False, elem_classes="numbers"):
                for name in ("prediction_type", "precision"):
                    self.widgets[name] = widget(options[name], defaults[name], f"model_{name}")
            with gr.Row(equal_height=True, elem_classes="with-refresh"):
                self.hub_name = gr.Textbox(
                    label="Model on the hub",
                    placeholder="owner/name",
                    elem_id="hub_name",
                    info=(
                        "Type its name as huggingface.co shows it, owner/name, or owner/name/file.safetensors. It needs"
                        " the internet, once."
                    ),
                )
                self.download_button = gr.Button("Download", min_width=90, scale=0, elem_id="hub_download")
            programs = gr.Column()
        self.message = message_box("model_message")
        with programs:
            self.programs = ProgramFolders(self.context, self.message)
        wire_order(self.download_button, self.start_download, [self.hub_name], self.my_job, self.message)

    def wire(self, page: PageContext) -> None:
        """What is told of the checkpoint depends on the photos' and the dataset's folder too."""
        folders = [page.field("train", "dataset_directory"), page.field("preprocess", "source_directory")]
        checkpoint = self.widgets["checkpoint"]
        described = [checkpoint, *folders]
        wire_changes([field.change for field in described], self.described, described, self.facts)
        self.programs.wire(page, self.lists)
        self.refresh.click(self.read_again, described, [checkpoint, self.widgets["vae"], self.facts], **DIRECT)

    def titles(self) -> list[str]:
        """The checkpoints that can be chosen, with the one that the page started with."""
        titles = [checkpoint.title for checkpoint in find_checkpoints(self.context.workspace)]
        return titles if self.chosen in titles else [*titles, self.chosen]

    def vaes(self) -> list[str]:
        """The VAEs that can be chosen, after the two that are no files."""
        return [AUTOMATIC, OWN, *(vae.title for vae in find_vaes(self.context.workspace))]

    @read_only
    def read_again(self, choice: str | None, *folders: str | None) -> Updates:
        """Fresh lists and facts, also of a file that was replaced."""
        return {**self.lists(), self.facts: self.described(choice, *folders)}

    def lists(self) -> Updates:
        """Fresh lists of checkpoints and VAEs."""
        return {
            self.widgets["checkpoint"]: gr.update(choices=self.titles()),
            self.widgets["vae"]: gr.update(choices=self.vaes()),
        }

    @read_only
    def described(self, choice: str | None, *folders: str | None) -> str:
        """Family, what it predicts, size, precision, file size and hash of the chosen checkpoint, and whether it
        can draw the pictures in `folders`, or why it cannot be used.
        """
        try:
            file = find_checkpoint(choice or self.chosen, self.context.workspace)
            facts = file.facts
            facts.check(other_vae=True)
        except UserError as error:
            return str(error)
        family = FAMILIES[facts.family].title + (" inpainting" if facts.inpainting else "")
        hashed = known_hash(file.path, self.context.workspace.hashes_file)
        lacks = "needs a VAE: choose one below" if facts.missing else ""
        size = f"{facts.bytes / 1e9:.1f} GB" if facts.bytes >= 1e9 else f"{facts.bytes / 1e6:.0f} MB"
        predicts = prediction_label(facts.prediction, facts.zero_terminal_snr)
        said = [
            family,
            predicts,
            f"{facts.size_px} px",
            facts.precision,
            size,
            f"hash {hashed}" if hashed else "",
            lacks,
        ]
        facts_line = " · ".join(fact for fact in said if fact)
        few_steps = few_steps_sentence(file)
        return "\n".join(
            [
                facts_line,
                *filter(None, [few_steps]),
                *cartoon_sentences(choice or self.chosen, self._pictures(folders), self.context.workspace),
            ]
        )

    def _pictures(self, folders: Sequence[str | None]) -> list[Path]:
        found: list[Path] = []
        for folder in folders:
            if folder and folder.strip():
                with contextlib.suppress(UserError):  # its own tab says what is the matter with it
                    found += find_images(self.context.workspace.folder(folder, "Folder"))
        return found

    @property
    def kept(self) -> dict[str, Any]:
        return self.widgets

    @property
    def from_disk(self) -> tuple[str, ...]:
        return "checkpoint", "vae"

    def put_back(self, kept: Mapping[str, Any]) -> Updates:
        """Fresh lists with what was chosen."""
        return {
            self.widgets["checkpoint"]: gr.update(choices=self.titles(), value=kept["checkpoint"]),
            self.widgets["vae"]: gr.update(choices=self.vaes(), value=text_of(kept.get("vae"), AUTOMATIC)),
        }

    @property
    def gives(self) -> list[Any]:
        return [self.widgets["checkpoint"], self.message]

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """The downloaded model gets into the list."""
        job = end.job
        if not job or job.kind != "download" or job.state != "finished":
            return {}
        updates = accepted(self.message, f"{job.text} Choose it in the list.")
        return {self.widgets["checkpoint"]: gr.update(choices=self.titles()), **updates}

    def start_download(self, name: str) -> Updates:
        """Queue the download of a hub model; it gets into the list when it is there."""
        from ti_core.models.hub import check_download, download_checkpoint

        def work(emit: Emit, stop: threading.Event) -> None:
            download_checkpoint(name, self.context.workspace, emit, stop)

        def order() -> str:
            with about("hub_name"):
                if not name.strip():
                    raise UserError(
                        "Model on the hub is empty.", "Type its name as huggingface.co shows it: owner/name."
                    )
                check_download(name, self.context.workspace)
            return self.context.submit("download", f"Download {name.strip()}", work)

        return submitted(order, self.my_job, self.message)
