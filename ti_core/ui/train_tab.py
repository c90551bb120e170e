"""The Train tab: what its fields, presets and buttons do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.embeddings.folder import find_embedding, find_embeddings, find_stored
from ti_core.embeddings.names import known_name
from ti_core.errors import Problem, SettingsError, UserError
from ti_core.jobs.job import Job
from ti_core.painting.txt2img import preview_values
from ti_core.runs.folder import saved_settings
from ti_core.runs.history import first_step_of
from ti_core.settings import AUTOMATIC, PaintDatasetSettings, TrainSettings
from ti_core.settings.form_file import form_text, parse_form, read_form, without_missing
from ti_core.settings.option import KeptSettings
from ti_core.settings.prompts import list_templates
from ti_core.training.kind_presets import ALL_PRESETS, all_preset_values
from ti_core.training.own_presets import FORM, delete_own, list_own, load_own, save_own
from ti_core.training.presets import GUIDE, describe_plan
from ti_core.training.suited_preset import recipe_label, suited_preset
from ti_core.ui.dataset_strip import dataset_strip, example_prompt
from ti_core.ui.part import JobEnd, PageContext, Part, wire_plan
from ti_core.ui.preset_panel import DOWNLOAD
from ti_core.ui.rate_picture import rate_picture
from ti_core.ui.server.roles import read_only
from ti_core.ui.train_layout import FIND_FIELDS, TrainLayout
from ti_core.ui.widgets import (
    DIRECT,
    EACH_TIME,
    QUEUED,
    Form,
    Updates,
    accepted,
    refused,
    submitted,
    wire_changes,
    wire_interrupt,
    wire_order,
)
from ti_core.workspace import clean_name

DEVICE_WITHIN_S = 20.0
SEEN = (
    *("dataset_directory", "template_file", "embedding", "shuffle_tags", "tag_drop_out"),
    *("checkpoint", "width", "height", "keep_size", "aspect_buckets"),
    *("subfolders", "caption_lines", "keep_first", "pruned_tags", "prune_traits"),
    *("kind", "slider_on"),
)
"""The fields that the thumbnails and the example prompt show."""


class TrainTab(TrainLayout, Part):
    """Form, buttons and answer of the tab."""

    id, title = "train", "Train"
    kinds = ("train", "resume")
    opens_after = "preprocess"
    form: Form

    def __init__(self, page: PageContext) -> None:
        super().__init__(page)
        self.my_job = page.my_job
        self.txt2img: Form | None = None

    def wire(self, page: PageContext) -> None:
        """Let the buttons and the presets act. Previews may take their values from the form of the txt2img tab."""
        self.txt2img = txt2img = page.form("txt2img")
        fields = self.form.widgets
        wire_order(self.button, self.start, self.form.components + txt2img.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, page.my_job, self.message)
        chosen = [fields["dataset_directory"], fields["embedding"]]
        checkpoint = fields["checkpoint"]
        self.recipe.click(self.fill_recipe, [*chosen, checkpoint], self.shown, **QUEUED)
        suits = [checkpoint, fields["embedding"]]
        for field in suits:
            field.change(self.labelled, suits, self.recipe, **DIRECT)
        page.loaded.then(self.labelled, suits, self.recipe, **DIRECT)
        self.preset.input(self.fill_preset, [*chosen, self.preset], self.filled_in, **QUEUED)
        self._wire_own_presets(page)
        self.copies.wire(page)
        wire_plan(page, self.form, self.described, self.plan)
        typed = [fields["learning_rate"], fields["steps"]]
        wire_changes([field.change for field in typed], rate_picture, typed, self.rate)
        seen, shown = [fields[name] for name in SEEN], [self.strip, self.example]
        wire_changes([field.change for field in seen], self.look, seen, shown)
        for event in (page.loaded, page.job_ended):
            event.then(self.look, seen, shown, **DIRECT, **EACH_TIME)
        find = FIND_FIELDS.replace("= INDEX", f"= {self.index}")
        self.find.change(None, self.find, None, js=find, show_progress="hidden")
        counted = page.loaded.then(self.gpus_field, None, fields["gpus"], **DIRECT)
        counted.then(self.device_field, None, fields["device"], **DIRECT)

        @read_only
        def take_run(event: gr.EventData) -> Updates:
            return {**self.take_run(str(event.run), bool(event.go_on)), **page.open(self.id)}

        page.live.take_run(take_run, None, [*page.opening, *self.of_run], **QUEUED)

    def _wire_own_presets(self, page: PageContext) -> None:
        own, values = self.own, self.form.components
        named = [own.name, self.preset]
        own.save.click(self.save_preset, [*named, *values], [self.preset, self.message], **QUEUED)
        own.delete.click(self.delete_preset, self.preset, [self.preset, self.message], **QUEUED)
        both = [*values, *page.form("txt2img").components]
        own.export.click(self.export, both, [own.exported, self.message], **QUEUED).then(
            None, own.exported, None, js=DOWNLOAD
        )
        own.upload.upload(self.import_form, own.upload, self.filled_in, **QUEUED)

    # ---- what a browser keeps, and what a job that has ended changes

    @property
    def kept(self) -> dict[str, Any]:
        return {**super().kept, "preset": self.preset}

    @property
    def from_disk(self) -> tuple[str, ...]:
        return "train.embedding", "train.template_file", "preset"

    def put_back(self, kept: Mapping[str, Any]) -> Updates:
        """Fresh lists with what was chosen if it is still there."""
        stored = {name: kept[f"train.{name}"] for name in ("embedding", "template_file") if f"train.{name}" in kept}
        if not stored.get("template_file"):
            stored["template_file"] = TrainSettings.defaults()["template_file"]
        preset = kept.get("preset")
        known = preset in ALL_PRESETS or preset in list_own(self.context.workspace)
        return {**self.filled(stored), self.preset: self.own.listed(preset if known else None)}

    @property
    def takes(self) -> list[Any]:
        return [self.form.widgets["embedding"], self.form.widgets["checkpoint"]]

    @property
    def gives(self) -> list[Any]:
        return self.shown

    def follows(self, job: Job) -> bool:
        """Also after a slider's pictures; those of a negative word are looked through first, where they are."""
        is_slider = isinstance(job.settings, PaintDatasetSettings) and not job.settings.badly
        return is_slider or super().follows(job)

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """A new embedding is chosen, a new dataset is what to train on, and a guided page fills in the recipe."""
        if name := end.result_of("create"):
            return self.filled({"embedding": name})
        painted = end.result_of("paint_dataset")
        if painted and not (end.guided and end.job and self.follows(end.job)):
            return self.filled({"dataset_directory": painted})
        made = painted or end.result_of("preprocess")
        if made and end.guided:
            return {**self.fill_recipe(made, *given), self.form.widgets["dataset_directory"]: made}
        return self.filled({"dataset_directory": made} if made else {})

    # ---- what is said while somebody types

    @property
    def shown(self) -> list[Any]:
        """What filling in the form may change."""
        return [self.message, self.preset, *self.form.own.values()]

    @property
    def filled_in(self) -> list[Any]:
        """What a whole form may change: also how the checkpoint is loaded."""
        return [*self.shown, *self.form.shared.values()]

    @read_only
    def gpus_field(self) -> Any:
        """The field is for computers with more than one."""
        state = self.context.device.latest(DEVICE_WITHIN_S)
        return gr.update(visible=state is not None and state.count > 1)

    @read_only
    def device_field(self) -> Any:
        """So is this one."""
        there = self.context.jobs.devices()
        return gr.update(choices=[AUTOMATIC, *there], visible=len(there) > 1)

    @read_only
    def described(self, *given: Any) -> str:
        """The plan of the form in one sentence, or what is still missing."""
        try:
            settings = TrainSettings.from_dict(self.form.values(given))
            device = self.context.jobs.device_state(settings.device) or self.context.device.latest()
            return describe_plan(self.context.workspace, settings, device)
        except UserError as error:
            return str(error)

    @read_only
    def look(self, *seen: Any) -> Updates:
        """The dataset at a glance, with the crops of the training, and one prompt that it will build of it."""
        settings = TrainSettings.from_kept(dict(zip(SEEN, seen, strict=True))).settings
        workspace = self.context.workspace
        return {self.strip: dataset_strip(workspace, settings), self.example: example_prompt(workspace, settings)}

    @read_only
    def labelled(self, checkpoint: str | None, embedding: str | None = None) -> Any:
        """The recipe's button, by what suits checkpoint and word; orange where that is not the guide's recipe."""
        preset, _ = suited_preset(checkpoint or "", self.context.workspace, embedding or "")
        return gr.update(value=recipe_label(preset), variant="secondary" if preset == GUIDE else "primary")

    # ---- presets

    def fill_recipe(self, dataset_directory: str, embedding: str | None, checkpoint: str | None = None) -> Updates:
        """Fill the form with what suits the checkpoint's family: as the guide says, or why not."""
        preset, reason = suited_preset(checkpoint or "", self.context.workspace, embedding or "")
        updates = {**self.fill_preset(dataset_directory, embedding, preset), self.preset: preset}
        failed = self.form.widgets["learning_rate"] not in updates
        return updates if failed or not reason else {**updates, **accepted(self.message, reason)}

    def fill_preset(self, dataset_directory: str, embedding: str | None, preset: str | None) -> Updates:
        """Fill the form with a preset's values for this dataset, or say what is missing for that."""
        try:
            if preset in list_own(self.context.workspace):
                return self.fill_kept(*load_own(preset or "", self.context.workspace))
            values = all_preset_values(preset or "", self.context.workspace, dataset_directory or "", embedding or "")
        except UserError as error:
            return refused(error, self.message)
        return {**self.filled(values), **accepted(self.message)}

    @property
    def of_run(self) -> list[Any]:
        """What `take_run` may change: the shared fields too."""
        return [self.message, self.preset, *self.form.components]

    @read_only
    def take_run(self, run: str, go_on: bool) -> Updates:
        """Fill in the form as a run on disk was trained, with more steps where it is to be trained on."""
        try:
            listed = self.context.runs.find(run)
            kept = saved_settings(listed.folder)
            values, sentences = kept.settings.to_dict(), kept.sentences()
            if go_on:
                at, sentence = self._where_it_stands(values["embedding"], listed.step)
                sentences.append(sentence)
                if at >= values["steps"]:  # as many again
                    values["steps"] += at - first_step_of(listed.folder)
        except UserError as error:
            return refused(error, self.message)
        sentences.insert(0, f"The form holds the settings of {listed.run}.")
        return {**self.filled(values), self.preset: None, **accepted(self.message, " ".join(sentences))}

    def _where_it_stands(self, embedding: str, last_step: int) -> tuple[int, str]:
        """The step of the embedding in embeddings/ as it is now, and a sentence. Raises UserError if it is gone."""
        path = find_embedding(known_name(embedding, self.context.workspace), self.context.workspace)
        if path is None:
            raise UserError(
                f"Embedding '{embedding}' is not in embeddings/ any more.",
                "Open the run and press Use this step, then Train on.",
            )
        at = find_stored(path.name, self.context.workspace).content.step or 0
        other = "" if at == last_step else f", and the run's last one is {last_step}. Use this step takes another one"
        return at, f"The training goes on from step {at} of '{embedding}'{other}."

    def fill_kept(self, kept: KeptSettings[TrainSettings], given: dict[str, Any], message: str = "") -> Updates:
        """Fill in the values that a file gives; the others stay, and what cannot be used is said after `message`."""
        said = [message, *without_missing(kept).sentences()]
        name = given.get("embedding", "")
        if name and name not in find_embeddings(self.context.workspace):
            said.append(f"There is no embedding called '{name[:60]}' here: choose or create one.")
        return {**self.filled(given), **accepted(self.message, "\n".join(filter(None, said)))}

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

    def values_of(self, given: Sequence[Any]) -> dict[str, Any]:
        """From the values of this form, followed by those of the txt2img form, which previews may take theirs from.
        Raises UserError for what is wrong in that form.
        """
        values = self.form.values(given[: len(self.form.names)])
        if values["preview_from_txt2img"] and self.txt2img:
            try:
                values.update(preview_values(self.txt2img.values(given[len(self.form.names) :])))
            except UserError as error:
                raise SettingsError([Problem(p, f"{self.txt2img.prefix}_{p.field}") for p in error.problems]) from None
        return values

    def save_preset(self, name: str, chosen: str | None, *given: Any) -> Updates:
        """Keep the form under a name."""
        try:
            settings = TrainSettings.from_dict(self.form.values(given))
            saved = save_own(name or "", settings, self.context.workspace, chosen or "")
        except UserError as error:
            return refused(error, self.message)
        return {self.preset: self.own.listed(saved), **accepted(self.message, f"Saved: presets/{saved}.json.")}

    def delete_preset(self, chosen: str | None) -> Updates:
        """Delete the chosen preset, if it is one of one's own."""
        try:
            if not chosen or chosen in ALL_PRESETS:
                raise UserError("No preset of your own is chosen.", "Choose it under Preset, then press Delete preset.")
            delete_own(chosen, self.context.workspace)
        except UserError as error:
            return refused(error, self.message)
        return {self.preset: self.own.listed(None), **accepted(self.message, f"Deleted: presets/{chosen}.json.")}

    # ---- the form as a file

    @read_only
    def export(self, *given: Any) -> Updates:
        """The form as [file name, text], which the browser saves. Previews that take their values from the txt2img
        tab have them in the file, because the command line has no such tab.
        """
        try:
            settings = TrainSettings.from_dict(self.values_of(given))
            name = clean_name(settings.embedding) if settings.embedding.strip() else "form"
        except UserError as error:
            return {self.own.exported: ["", ""], **refused(error, self.message)}
        return {self.own.exported: [f"train-{name}.json", form_text(FORM, settings)], **accepted(self.message)}

    @read_only
    def import_form(self, file: str | None) -> Updates:
        """Fill in the form from a file that Export has saved."""
        try:
            text = read_form(Path(file)) if file else ""
            kept, given = parse_form(text, FORM, TrainSettings)
        except UserError as error:
            return refused(error, self.message)
        name = Path(file or "").name[:60]
        message = f"Read: {name}. Fields that it does not name stay as they are."
        return {**self.fill_kept(kept, given, message), self.preset: None}

    # ---- the start

    def start(self, *given: Any) -> Updates:
        """Submit the training; takes the values of both forms."""
        return submitted(
            lambda: self.context.order_form("train", self.values_of(given)),
            self.my_job,
            self.message,
        )
