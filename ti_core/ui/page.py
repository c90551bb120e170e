"""Lays the page out and wires its tabs: what the result of one tab fills in on the next."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.checkpoints.facts import SIZES_PX
from ti_core.checkpoints.library import find_checkpoint
from ti_core.errors import UserError
from ti_core.settings import AUTOMATIC, PORTRAITS, TrainSettings
from ti_core.training.presets import PLAN_FIELDS, PREPROCESS_PLAN_FIELDS, SAMPLE_PEOPLE, dataset_folder, sample_recipe
from ti_core.ui.api import build_api
from ti_core.ui.app_context import AppContext
from ti_core.ui.captions_tab import CaptionsTab
from ti_core.ui.compare_tab import CompareTab
from ti_core.ui.create_tab import CreateTab
from ti_core.ui.embeddings_tab import EmbeddingsTab
from ti_core.ui.kept_forms import fill_script, text_of
from ti_core.ui.model_panel import ModelPanel
from ti_core.ui.preprocess_tab import PreprocessTab
from ti_core.ui.run_panel import build_run_panel
from ti_core.ui.server.guarded_blocks import GuardedBlocks
from ti_core.ui.server.roles import current_user, guard_handlers, read_only
from ti_core.ui.templates_tab import TemplatesTab
from ti_core.ui.train_tab import TrainTab
from ti_core.ui.txt2img_tab import Txt2ImgTab
from ti_core.ui.widgets import DIRECT, QUEUED, Form, Updates, accepted, refused

TAB_IDS = ("create", "preprocess", "captions", "templates", "train", "compare", "txt2img", "embeddings")
TITLE = "Textual Inversion"
KEPT_IN_BROWSER = "textual-inversion-forms-1"
NOT_SECRET = (  # gradio scrambles what it keeps; a random key would lose it at each start of the server
    "forms of this page"
)
SHOW_NEW_JOB = (
    "(job) => { if (job && job !== window.newestJob) { window.newestJob = job; window.dispatchEvent(new"
    " Event('job-submitted')); } }"
)
HOLD_CAPTION = """(arrived, ...rest) => {
  const box = document.querySelector("#captions_text textarea");
  // what is typed until the answer would be lost, or stand with another picture
  if (arrived && box) box.readOnly = true;
  return [arrived, ...rest];
}"""
RELEASE_CAPTION = (
    "() => { const box = document.querySelector('#captions_text textarea'); if (box) box.readOnly = false; }"
)
DROPDOWN_KEYS = Path(__file__).with_name("dropdowns.js").read_text(encoding="utf-8")
POLL_NOW = "() => { window.dispatchEvent(new Event('job-stopping')); }"


class Page:
    """All components and handlers; `build()` puts them together."""

    def __init__(self, context: AppContext, chosen_checkpoint: str = PORTRAITS) -> None:
        self.context = context
        self.chosen_checkpoint = chosen_checkpoint

    def build(self) -> gr.Blocks:
        with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
            api_names = build_api(self.context)
            self.my_job = gr.BrowserState("", storage_key="textual-inversion-my-job", secret=NOT_SECRET)
            self.taken_job = gr.BrowserState("", storage_key="textual-inversion-taken-job", secret=NOT_SECRET)
            self.own_px = gr.BrowserState(0, storage_key="textual-inversion-own-size", secret=NOT_SECRET)
            """The own size of the checkpoint that the sizes of the forms belong to: what differs was typed."""
            self.kept_tab = gr.BrowserState(TAB_IDS[0], storage_key=f"{KEPT_IN_BROWSER}-tab", secret=NOT_SECRET)
            self._build_top()
            with gr.Row(elem_id="body"):
                with (
                    gr.Column(scale=11, min_width=340),
                    gr.Tabs(selected="create", overflow_behavior="wrap") as self.tabs,
                ):
                    with gr.Tab("Create embedding", id="create") as create:
                        self.create = CreateTab(self.context, self.my_job, self.checkpoint)
                    with gr.Tab("Preprocess images", id="preprocess") as preprocess:
                        self.preprocess = PreprocessTab(self.context, self.my_job, self.checkpoint)
                    with gr.Tab("Captions", id="captions") as captions:
                        self.captions = CaptionsTab(self.context)
                    with gr.Tab("Templates", id="templates") as templates:
                        self.templates = TemplatesTab(self.context)
                    with gr.Tab("Train", id="train") as train:
                        self.train = TrainTab(self.context, self.my_job, self.model.widgets)
                    with gr.Tab("Compare", id="compare") as compare:
                        self.compare = CompareTab(self.context, self.my_job)
                    with gr.Tab("txt2img", id="txt2img") as txt2img:
                        self.txt2img = Txt2ImgTab(self.context, self.my_job, self.model.widgets)
                    with gr.Tab("Embeddings", id="embeddings") as embeddings:
                        self.embeddings = EmbeddingsTab(self.context, self.my_job, self.checkpoint)
                    self.all_tabs = (create, preprocess, captions, templates, train, compare, txt2img, embeddings)
                with gr.Column(scale=9, min_width=320, elem_id="output"):
                    self.live = build_run_panel(self.context)
            self.message_of = {  # by the kind of the job that answers there
                "create": self.create.message,
                "preprocess": self.preprocess.message,
                "train": self.train.message,
                "resume": self.train.message,
                "compare": self.compare.message,
                "txt2img": self.txt2img.message,
                "embeddings": self.embeddings.message,
                "download": self.model.message,
            }
            self._wire_buttons()
            self._wire_interrupts()
            self._wire_lists()
            self._wire_forms()
            self._wire_reload(blocks)
            guard_handlers(blocks, api_names)
        return blocks

    # ---- layout

    def _build_top(self) -> None:
        with gr.Row(elem_id="top", equal_height=False):
            with gr.Column(scale=11, min_width=300):
                self.model = ModelPanel(self.context, self.chosen_checkpoint, self.my_job)
                self.checkpoint = self.model.widgets["checkpoint"]
            with gr.Column(scale=9, min_width=300, elem_id="start"):
                with gr.Row(equal_height=False):
                    self.person = gr.Dropdown(
                        list(SAMPLE_PEOPLE),
                        value=next(iter(SAMPLE_PEOPLE), None),
                        label="Start here: sample person",
                        scale=3,
                        min_width=190,
                        elem_id="person",
                    )
                    self.sample = gr.Button(
                        "Try the face recipe with sample photos", size="md", scale=5, min_width=220, elem_id="sample"
                    )
                self.follow = gr.Checkbox(
                    False, label="Go to the next tab after each step", container=False, elem_id="follow"
                )

    # ---- wiring

    def _wire_buttons(self) -> None:
        self.train.txt2img = self.txt2img.form
        for tab in (self.create, self.preprocess, self.train, self.compare, self.txt2img):
            inputs = tab.form.components + (self.txt2img.form.components if tab is self.train else [])
            clicked = tab.button.click(tab.start, inputs, [self.my_job, tab.message], **QUEUED)
            clicked.then(None, self.my_job, None, js=SHOW_NEW_JOB)
        for button, start, inputs in [
            *self.embeddings.actions,
            (self.model.download_button, self.model.start_download, [self.model.hub_name]),
        ]:
            clicked = button.click(start, inputs, [self.my_job, self.embeddings.message, self.model.message], **QUEUED)
            clicked.then(None, self.my_job, None, js=SHOW_NEW_JOB)
        everything = [
            self.tabs,
            self.kept_tab,
            self.preprocess.gallery,
            self.taken_job,
            self.model.message,
            self.checkpoint,
            self.create.message,
            self.preprocess.message,
            self.txt2img.message,
            self.compare.message,
            self.compare.form.widgets["run"],
            self.compare.grid,
            self.captions.arrived,
            *self.embeddings.shown,
            *self._train_outputs(),
            *self.preprocess.form.own.values(),
        ]
        self.live.finished(
            self._take_result,
            [
                self.my_job,
                self.follow,
                self.preprocess.form.widgets["destination_directory"],
                self.train.form.widgets["embedding"],
                self.embeddings.chosen,
                self.checkpoint,
                self.compare.form.widgets["run"],
                self.taken_job,
            ],
            everything,
            trigger_mode="always_last",  # a quick job ends while the page still reads its lists after the one before
            **QUEUED,
        ).then(
            self.captions.follow,
            [self.captions.arrived, self.captions.opened, self.captions.text],
            self.captions.shown,
            js=HOLD_CAPTION,
            **QUEUED,
        ).then(None, None, None, js=RELEASE_CAPTION).then(
            self.captions.arrive,
            [self.captions.opened, self.captions.folder, self.captions.message, self.kept_tab],
            self.captions.shown,
            **QUEUED,
        ).then(self.train.described, self.train.form.components, self.train.plan, **DIRECT)
        self.sample.click(
            self._fill_sample,
            self.person,
            [
                self.tabs,
                self.kept_tab,
                self.follow,
                *self.create.form.components,
                *self.preprocess.form.own.values(),
                *self._train_outputs(),
            ],
            **QUEUED,
        )
        widgets = self.train.form.widgets
        self.train.recipe.click(
            self.train.fill_recipe,
            [widgets["dataset_directory"], widgets["embedding"]],
            self._train_outputs(),
            **QUEUED,
        )
        self.train.preset.input(
            self.train.fill_preset,
            [widgets["dataset_directory"], widgets["embedding"], self.train.preset],
            self._train_outputs(),
            **QUEUED,
        )
        drop = [self.preprocess.drop, self.create.form.widgets["name"]]
        self.preprocess.drop.upload(
            self.preprocess.take_photos,
            drop,
            [self.preprocess.form.widgets["source_directory"], self.preprocess.message],
            **QUEUED,
        )

    def _wire_interrupts(self) -> None:
        for button, message, kinds in (
            (self.preprocess.interrupt, self.preprocess.message, ("preprocess",)),
            (self.train.interrupt, self.train.message, ("train", "resume")),
            (self.compare.interrupt, self.compare.message, ("compare",)),
            (self.txt2img.interrupt, self.txt2img.message, ("txt2img",)),
        ):
            button.click(self._interrupting(message, kinds), None, message, **DIRECT).then(
                None, None, None, js=POLL_NOW
            )

    def _train_outputs(self) -> list[Any]:
        return [self.train.message, self.train.preset, *self.train.form.own.values()]

    def _wire_lists(self) -> None:
        """Tabs that show what is on disk read it when they are chosen; a saved template gets into the Train tab's
        list at once.
        """
        captions, templates, embeddings = self.captions, self.templates, self.embeddings
        tabs = dict(zip(TAB_IDS, self.all_tabs, strict=True))
        tabs["captions"].select(captions.enter, [captions.opened, captions.folder], captions.shown, **QUEUED)
        lists = [templates.template, templates.folder, templates.embedding, templates.prompts]
        tabs["compare"].select(
            self.compare.enter,
            self.compare.form.widgets["run"],
            [self.compare.form.widgets["run"], self.compare.grid],
            **DIRECT,
        )
        told = [self.train.form.widgets["dataset_directory"], self.preprocess.form.widgets["source_directory"]]
        self.model.watch(told)
        gr.on(
            [tabs["create"].select, *(field.change for field in told)],
            self.create.suggested,
            told,
            self.create.hint,
            trigger_mode="always_last",
            **DIRECT,
        )
        tabs["templates"].select(templates.enter, templates.facts, lists, **DIRECT)
        templates.saved.then(read_only(lambda: self.train.filled({})), None, self._train_outputs(), **DIRECT)
        waited_for = {
            **QUEUED,
            "show_progress": "full",
            "show_progress_on": embeddings.table,
        }  # the first look loads torch
        tabs["embeddings"].select(
            embeddings.enter, [embeddings.chosen, self.checkpoint], embeddings.shown, **waited_for
        )

    def _wire_forms(self) -> None:
        for tab, names in ((self.train, PLAN_FIELDS), (self.preprocess, PREPROCESS_PLAN_FIELDS)):
            widgets = tab.form.widgets
            gr.on(
                [widgets[name].change for name in names],
                tab.described,
                tab.form.components,
                tab.plan,
                trigger_mode="always_last",
                **DIRECT,
            )
        sizes = [widget for widget, _ in self._sized()]
        self.checkpoint.input(
            self._follow_checkpoint, [self.checkpoint, self.own_px, *sizes], [self.own_px, *sizes], **DIRECT
        )

    def _sized(self) -> list[tuple[Any, Callable[[int], int]]]:
        """The fields of all tabs that follow the size of the checkpoint's pictures, and how."""
        forms = (self.preprocess.form, self.train.form, self.txt2img.form)
        return [
            (form.widgets[name], option.of_size)
            for form in forms
            for name, option in form.settings.options().items()
            if option.of_size
        ]

    def _wire_reload(self, blocks: gr.Blocks) -> None:
        """What is typed is kept in the browser, by the browser: no call for each key. A reload puts it back."""
        kept = gr.BrowserState({}, storage_key=KEPT_IN_BROWSER, secret=NOT_SECRET)
        fields: dict[str, Any] = {
            "follow": self.follow,
            "preset": self.train.preset,
            "own_px": self.own_px,
            **self.model.widgets,
        }
        for form in self.forms:
            fields.update({f"{form.prefix}.{name}": widget for name, widget in form.own.items()})
        started = json.dumps({"started_with": self.chosen_checkpoint})
        named = f"Object.fromEntries({json.dumps(list(fields))}.map((name, i) => [name, values[i]]))"
        keep = (  # a page half put back must not overwrite what was kept
            f"(kept, ...values) => [window.formsAreBack ? Object.assign({started}, {named}) : kept]"
        )

        from_disk = (
            "checkpoint",
            "vae",
            "train.embedding",
            "train.template_file",
            "own_px",
            *(name for name, widget in fields.items() if any(widget is sized for sized, _ in self._sized())),
        )
        typed = {name: widget for name, widget in fields.items() if name not in from_disk}

        @read_only
        def put_back(values: Any) -> Updates:
            return self._put_back(values if isinstance(values, dict) else {})

        for tab in self.all_tabs:
            # gradio also tells of the first tab while the page is being built, which must not overwrite what was kept
            tab.select(
                None,
                self.kept_tab,
                self.kept_tab,
                js=f"(kept) => [window.pageIsBack ? {json.dumps(tab.id)} : kept]",
                show_progress="hidden",
            )
        blocks.load(None, None, None, js=DROPDOWN_KEYS, show_progress="hidden")
        again = (
            f"(tab) => ({{ __type__: 'update', selected: {json.dumps(TAB_IDS)}.includes(tab) ? tab :"
            f" {json.dumps(TAB_IDS[0])} }})"
        )
        restored = blocks.load(None, self.kept_tab, self.tabs, js=again, show_progress="hidden")
        restored.then(None, None, None, js="() => { window.pageIsBack = true; }")
        fill = fill_script(typed, [*fields, "started_with"])
        blocks.load(
            None, [kept, *typed.values()], [*typed.values(), self.model.message], js=fill, show_progress="hidden"
        )
        loaded = blocks.load(put_back, kept, [fields[name] for name in from_disk], **DIRECT)
        loaded.then(self.train.described, self.train.form.components, self.train.plan, **DIRECT)
        loaded.then(None, None, None, js="() => { window.formsAreBack = true; document.body.inert = false; }")
        loaded.then(self.preprocess.described, self.preprocess.form.components, self.preprocess.plan, **DIRECT)
        loaded.then(self.train.gpus_field, None, self.train.form.widgets["gpus"], **DIRECT)
        gr.on(
            [widget.change for widget in fields.values()],
            None,
            [kept, *fields.values()],
            kept,
            js=keep,
            show_progress="hidden",
        )

    @property
    def forms(self) -> tuple[Form, ...]:
        return self.create.form, self.preprocess.form, self.train.form, self.compare.form, self.txt2img.form

    # ---- handlers

    def _put_back(self, values: dict[str, Any]) -> Updates:
        """Fresh lists for the dropdowns that are read from disk, with what was chosen if it is still there, and the
        sizes that go with the checkpoint.
        """
        updates: Updates = {}
        same_start = values.get("started_with") == self.chosen_checkpoint  # another --ckpt beats what was chosen before
        was = text_of(values.get("checkpoint"), "")
        chosen = was if same_start and was and self._is_there(was) else self.chosen_checkpoint
        updates[self.checkpoint] = gr.update(choices=self.model.titles(), value=chosen)
        updates[self.model.widgets["vae"]] = gr.update(
            choices=self.model.vaes(), value=text_of(values.get("vae"), AUTOMATIC)
        )
        stored = {name: values[f"train.{name}"] for name in ("embedding", "template_file") if f"train.{name}" in values}
        if not stored.get("template_file"):
            stored["template_file"] = TrainSettings.defaults()["template_file"]
        updates.update(self.train.filled(stored))
        kept = {form.widgets[name]: values.get(f"{form.prefix}.{name}") for form in self.forms for name in form.own}
        return {
            **updates,
            **self._follow_checkpoint(chosen, values.get("own_px"), *(kept.get(widget) for widget, _ in self._sized())),
        }

    @read_only
    def _follow_checkpoint(self, choice: str | None, before: Any, *sizes: Any) -> Updates:
        """Sizes that went with the checkpoint before (`before`: the own size of its pictures in px) go with this
        one; those that were typed stay.
        """
        try:
            own = find_checkpoint(choice or PORTRAITS, self.context.workspace).size_px
        except UserError:
            own = before if type(before) is int and before > 0 else SIZES_PX[""]
        updates: Updates = {self.own_px: own}
        for (widget, of_size), size in zip(self._sized(), sizes, strict=True):
            is_typed = (
                type(before) is int
                and before > 0
                and isinstance(size, int | float)
                and size not in (0, of_size(before))
            )
            updates[widget] = size if is_typed else of_size(own)
        return updates

    def _is_there(self, checkpoint: Any) -> bool:
        """Whether it is in the list, or is what else may be typed there, such as a path."""
        try:
            return bool(find_checkpoint(str(checkpoint or ""), self.context.workspace))
        except UserError:
            return False

    def _interrupting(self, message: Any, kinds: Collection[str]) -> Callable[[], Updates]:
        """Stops what a tab has begun. Of a running job the run panel tells what comes of it, in every open page."""

        def _interrupt() -> Updates:
            runs = any(job.kind in kinds for job in self.context.jobs.running())
            told = self.context.jobs.interrupt(kinds)
            return accepted(message, "" if runs else told)

        return _interrupt

    @read_only
    def _fill_sample(self, person: str | None) -> Updates:
        """The three forms for a sample person; what depends on the finished pictures follows when they are there."""
        if person not in SAMPLE_PEOPLE:
            return refused(
                UserError("There are no sample photos.", "Choose a person from the list."), self.train.message
            )
        create, preprocess = sample_recipe(person)
        filled = {
            **self.create.form.updates(create),
            **self.preprocess.form.updates(preprocess),
            **self._open("create"),
            self.follow: True,
        }
        directory = preprocess["destination_directory"]
        filled[self.train.form.widgets["dataset_directory"]] = directory
        return filled

    @read_only
    def _take_result(
        self,
        my_job: str,
        follow: bool,
        destination: str,
        embedding: str | None,
        chosen: str | None,
        checkpoint: str,
        run: str | None,
        taken: str = "",
    ) -> Updates:
        """A job has ended. The page that started it moves on; every other page only reads its lists again."""
        updates: Updates = {**self.train.filled({}), **self.compare.enter(run)}
        job = self.context.jobs.get(my_job or "")
        if job is None or not job.has_ended or my_job == taken or not current_user().may_train:
            return updates
        updates[self.taken_job] = (
            my_job  # not taken out of `my_job`, where the next one may be by the time that this arrives
        )
        if job.state == "failed":
            return {
                **updates,
                **refused(UserError(self.context.workspace.without_paths(job.text)), self.message_of[job.kind]),
            }
        if job.state == "finished" and job.kind == "create":
            updates.update(self._after_create(job.result, follow, destination))
        elif job.state == "finished" and job.kind == "preprocess":
            updates.update(self._after_preprocess(job.result, follow, embedding))
            updates[self.captions.arrived] = job.result
        elif job.state == "finished" and job.kind == "download":
            updates[self.checkpoint] = gr.update(choices=self.model.titles())
            updates.update(accepted(self.model.message, f"{job.text} Choose it in the list."))
        elif job.state == "finished" and job.kind == "embeddings":
            updates.update(
                {
                    **self.embeddings.enter(job.result or chosen, checkpoint),
                    **accepted(self.embeddings.message, job.text),
                }
            )
        return updates

    def _open(self, tab: str) -> Updates:
        return {self.tabs: gr.update(selected=tab), self.kept_tab: tab}

    def _after_create(self, name: str, follow: bool, destination: str) -> Updates:
        updates = self.train.filled({"embedding": name})
        if not destination or destination.startswith("datasets/"):
            updates[self.preprocess.form.widgets["destination_directory"]] = dataset_folder(name)
        return {**updates, **accepted(self.create.message), **(self._open("preprocess") if follow else {})}

    def _after_preprocess(self, directory: str, follow: bool, embedding: str | None) -> Updates:
        updates: Updates = {
            self.preprocess.gallery: self.preprocess.finished_pictures(directory),
            self.train.form.widgets["dataset_directory"]: directory,
        }
        if not follow:
            return updates
        return {**updates, **self._open("train"), **self.train.fill_recipe(directory, embedding)}
