"""The Preprocess images tab, with a box for dropped photos and a gallery of the finished pictures."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.data.caption_edits import captioned_of
from ti_core.data.captions import CaptionFiles
from ti_core.data.face_model import GET_IT, face_finder_file, fetch_face_finder
from ti_core.data.images import PHONE_SUFFIXES
from ti_core.data.preprocess import with_own_sizes
from ti_core.errors import UserError, about
from ti_core.events import Emit
from ti_core.jobs.job import Job
from ti_core.settings import CreateSettings, PreprocessSettings
from ti_core.settings.word_kind import ORDINARY
from ti_core.training.presets import dataset_folder, describe_preprocess
from ti_core.ui.part import JobEnd, PageContext, Part, plan_box, wire_plan
from ti_core.ui.photos_panel import CROPPING, build_photos_panel, shown_photos
from ti_core.ui.server.roles import current_user, read_only
from ti_core.ui.server.uploads import TAKEN, ZIP, keep_photos
from ti_core.ui.thumbnails import thumbnail, words_below
from ti_core.ui.widgets import (
    DIRECT,
    QUEUED,
    Form,
    Updates,
    accepted,
    message_box,
    refused,
    submitted,
    wire_changes,
    wire_interrupt,
    wire_order,
)

GALLERY_PICTURES = 100
GALLERY_PX = 512

AUTO_SIZED_HINT = "Each image is cropped around its middle, with a width and height chosen for it."


class PreprocessTab(Part):
    """Form, boxes and answer of the tab. The checkpoint, whose size the pictures get, is that of the top of the page;
    dropped photos are kept under the name that stands in the Create embedding tab.
    """

    id, title = "preprocess", "Preprocess images"
    kinds = ("preprocess", "faces")
    form: Form
    opens_after = "create"

    def __init__(self, page: PageContext) -> None:
        self.context, self.my_job = page.app, page.my_job
        self.form = Form(PreprocessSettings, "preprocess")
        self.form.add("source_directory")
        self.drop = gr.File(
            label="Drop photos here, or click to choose them",
            file_count="multiple",
            file_types=sorted(TAKEN | PHONE_SUFFIXES | {ZIP}),  # the latter are told in our own words
            height=130,
            elem_id="preprocess_drop",
        )
        self.photos = build_photos_panel(self.context)
        for name in PreprocessSettings.options():
            if name not in self.form.widgets and name != "checkpoint":
                self._add(name)
        self.form.share({"checkpoint": page.model["checkpoint"]})
        with gr.Column(elem_classes="start-bar"):
            self.message = message_box("preprocess_message")
            with gr.Row(equal_height=False):
                self.plan = plan_box("preprocess_plan")
                with gr.Row(elem_classes="actions"):
                    self.button = gr.Button("Preprocess", variant="primary", min_width=150, elem_id="preprocess_run")
                    self.interrupt = gr.Button("Interrupt", min_width=90, elem_id="preprocess_interrupt")
        self.gallery = gr.Gallery(
            label="Finished pictures and their captions",
            visible=False,
            columns=4,
            height="auto",
            object_fit="contain",
            interactive=False,
            elem_id="preprocess_gallery",
        )
        self._build_face_finder()
        wire_order(self.button, self.start, self.form.components, self.my_job, self.message)
        wire_interrupt(self.interrupt, self.context, self.kinds, page.my_job, self.message)

    def wire(self, page: PageContext) -> None:
        """Dropped photos are taken, and what stands before the start follows the fields."""
        given = [self.drop, page.field("create", "name")]
        self.drop.upload(self.take_photos, given, [self.form.widgets["source_directory"], self.message], **QUEUED)
        wire_plan(page, self.form, self.described, self.plan)
        drawn = [self.form.widgets[name].change for name in ("source_directory", *CROPPING)]
        values = self.form.components
        wire_changes(drawn, self.look, values, self.photos)
        page.loaded.then(self.look, values, self.photos, **DIRECT)
        self.photos.edited(self.described, values, self.plan, **DIRECT)

    def _build_face_finder(self) -> None:
        """The button is there where faces are looked for without the better finder, for those who may train."""
        self.face_finder = gr.Button(GET_IT, visible=False, elem_id="preprocess_face_finder")
        wire_order(self.face_finder, self.order_face_finder, [], self.my_job, self.message)
        ticks = [self.form.widgets[name] for name in ("face_crop", "focal_crop")]
        gr.on(
            [tick.change for tick in ticks],
            self.offered_face_finder,
            ticks,
            self.face_finder,
            trigger_mode="multiple",  # see wire_changes
            **DIRECT,
        )

    @read_only
    def offered_face_finder(self, *ticked: bool) -> Any:
        """Whether the button is shown."""
        is_there = face_finder_file(self.context.workspace).is_file()
        return gr.update(visible=any(ticked) and not is_there and current_user().may_train)

    def order_face_finder(self) -> Updates:
        """Order the download."""

        def work(emit: Emit, stop: threading.Event) -> None:
            fetch_face_finder(self.context.workspace, emit, stop)

        return submitted(lambda: self.context.submit("faces", GET_IT, work), self.my_job, self.message)

    def _add(self, name: str) -> None:
        """The field, or the whole group that begins with it."""
        checkbox = self.form.settings.options()[name].shown_with
        if checkbox:
            is_on = self.form.settings.defaults()[checkbox]
            with gr.Group(visible=is_on, elem_id=f"preprocess_{checkbox}_fields") as box:
                if checkbox == "auto_sized_crop":
                    gr.Markdown(AUTO_SIZED_HINT, elem_classes="hint", padding=True)
                for each in self.form.settings.switched()[checkbox]:
                    self.form.add(each)
            shown = read_only(lambda ticked: gr.update(visible=bool(ticked)))
            tick = self.form.widgets[checkbox]
            tick.change(shown, tick, box, trigger_mode="multiple", **DIRECT)  # see wire_changes
            return
        self.form.add(name)

    @read_only
    def described(self, *given: Any) -> str:
        """What becomes of the photos, and what to know of them before, or what is still missing."""
        try:
            return describe_preprocess(self.context.workspace, PreprocessSettings.from_dict(self.form.values(given)))
        except UserError as error:
            return str(error)

    @read_only
    def look(self, *given: Any) -> Any:
        """Which photos are shown, and how they will be cropped."""
        try:
            settings = with_own_sizes(PreprocessSettings.from_dict(self.form.values(given)), self.context.workspace)
        except UserError:  # what stands before the start says what is wrong
            return shown_photos(None)
        return shown_photos(settings)

    def take_photos(self, files: Sequence[str] | None, name: str) -> Updates:
        """Copy dropped photos into the workspace and fill in their folder."""
        source = self.form.widgets["source_directory"]
        if not files:
            return {self.message: gr.update()}
        try:
            with about("drop"):
                folder, left_out = keep_photos([Path(file) for file in files], name, self.context.workspace)
        except UserError as error:
            return refused(error, self.message)
        text = "\n".join(left_out)
        return {source: self.context.workspace.shown(folder), **accepted(self.message, text)}

    def start(self, *given: Any) -> Updates:
        """Order the dataset."""
        return submitted(
            lambda: self.context.order_form("preprocess", self.form.values(given)),
            self.my_job,
            self.message,
        )

    @property
    def takes(self) -> list[Any]:
        return [self.form.widgets["destination_directory"]]

    @property
    def gives(self) -> list[Any]:
        return [self.gallery, self.message, self.face_finder, *self.takes]

    def follows(self, job: Job) -> bool:
        """Not after a negative or a slider word: its pictures are painted where it was made."""
        return super().follows(job) and (not isinstance(job.settings, CreateSettings) or job.settings.kind == ORDINARY)

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """A new embedding's pictures get a folder of its name; finished pictures are shown."""
        (destination,) = given
        if (name := end.result_of("create")) and (not destination or destination.startswith("datasets/")):
            return {self.form.widgets["destination_directory"]: dataset_folder(name)}
        if made := end.result_of("preprocess"):
            return {self.gallery: self.finished_pictures(made)}
        if end.result_of("faces") and end.job:  # it is there: the button goes
            return {self.face_finder: gr.update(visible=False), **accepted(self.message, end.job.text)}
        return {}

    def finished_pictures(self, destination: str) -> Any:
        """The gallery's update, with the words that training will read."""
        try:
            files = CaptionFiles.of(self.context.workspace.folder(destination, "Destination directory"))
        except UserError:  # somebody took them away meanwhile
            return gr.update(value=[], visible=False)
        total, captions = len(files.pictures), [captioned_of(each, files) for each in files.pictures[:GALLERY_PICTURES]]
        if not captions:
            return gr.update(value=[], visible=False)
        shown = [(thumbnail(c.picture, GALLERY_PX), words_below(c)) for c in captions]
        count = str(total) if total == len(shown) else f"the first {len(shown)} of {total}"
        return gr.update(value=shown, visible=True, label=f"Finished pictures and their captions ({count})")
