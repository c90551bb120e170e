"""Lays the page out, and lets what one tab has made fill in the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.checkpoints.library import find_checkpoint
from ti_core.errors import UserError
from ti_core.jobs.job import Job
from ti_core.settings import AUTOMATIC, PORTRAITS, TrainSettings
from ti_core.training.presets import SAMPLE_PEOPLE, dataset_folder, sample_recipe
from ti_core.ui.api import build_api
from ti_core.ui.app_context import AppContext
from ti_core.ui.captions_tab import CaptionsTab
from ti_core.ui.compare_tab import CompareTab
from ti_core.ui.create_tab import CreateTab
from ti_core.ui.embeddings_tab import EmbeddingsTab
from ti_core.ui.kept_forms import browser_state, fill_script, keep_script, text_of
from ti_core.ui.model_panel import ModelPanel
from ti_core.ui.own_sizes import OwnSizes
from ti_core.ui.preprocess_tab import PreprocessTab
from ti_core.ui.run_panel import build_run_panel
from ti_core.ui.server.guarded_blocks import GuardedBlocks
from ti_core.ui.server.roles import current_user, guard_handlers, read_only
from ti_core.ui.templates_tab import TemplatesTab
from ti_core.ui.train_tab import TrainTab
from ti_core.ui.txt2img_tab import Txt2ImgTab
from ti_core.ui.widgets import DIRECT, QUEUED, Form, Updates, accepted, refused

TITLE = "Textual Inversion"
TAB_IDS = ("create", "preprocess", "captions", "templates", "train", "compare", "txt2img", "embeddings")
KEPT_FORMS = "forms-1"
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
OPEN_KEPT_TAB = f"""(tab) => {{
  const selected = {json.dumps(TAB_IDS)}.includes(tab) ? tab : {json.dumps(TAB_IDS[0])};
  return {{ __type__: "update", selected }};
}}"""
FORMS_ARE_BACK = "() => { window.formsAreBack = true; document.body.inert = false; }"


class Page:
    """All components and handlers; `build()` puts them together."""

    def __init__(self, context: AppContext, chosen_checkpoint: str = PORTRAITS) -> None:
        self.context = context
        self.chosen_checkpoint = chosen_checkpoint

    def build(self) -> gr.Blocks:
        """All of the page, with every handler guarded."""
        with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
            api_names = build_api(self.context)  # before all buttons, because gradio names whoever comes first
            # What each browser keeps: the job it ordered last, the one whose result it took, and the open tab.
            self.my_job = browser_state("", "my-job")
            self.taken_job = browser_state("", "taken-job")
            self.kept_tab = browser_state(TAB_IDS[0], f"{KEPT_FORMS}-tab")
            self._build_top()
            with gr.Row(elem_id="body"):
                with (
                    gr.Column(scale=11, min_width=340),
                    gr.Tabs(selected="create", overflow_behavior="wrap") as self.tabs,
                ):
                    self._build_tabs()
                with gr.Column(scale=9, min_width=320, elem_id="output"):
                    self.live = build_run_panel(self.context)
            # What crosses from one tab to another.
            self.sizes = OwnSizes(self.context, self.checkpoint, [tab.form for tab in self._with_sizes])
            self._wire_job_end()
            self._wire_sample()
            self._wire_lists()
            self._wire_plans()
            self._wire_open_tab(blocks)
            self._wire_forms(blocks)
            guard_handlers(blocks, api_names)
        return blocks

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms whose values a browser keeps."""
        return self.create.form, self.preprocess.form, self.train.form, self.compare.form, self.txt2img.form

    @property
    def _with_sizes(self) -> tuple[PreprocessTab, TrainTab, Txt2ImgTab]:
        return self.preprocess, self.train, self.txt2img

    @property
    def message_of(self) -> dict[str, Any]:
        """Kind of a job -> the message box of the tab that ordered it."""
        tabs = (self.create, self.preprocess, self.train, self.compare, self.txt2img, self.embeddings, self.model)
        return {kind: tab.message for tab in tabs for kind in tab.kinds}

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

    def _build_tabs(self) -> None:
        context, my_job, model = self.context, self.my_job, self.model.widgets
        with gr.Tab("Create embedding", id="create") as create:
            self.create = CreateTab(context, my_job, self.checkpoint)
        with gr.Tab("Preprocess images", id="preprocess") as preprocess:
            self.preprocess = PreprocessTab(context, my_job, self.checkpoint, self.create.form.widgets["name"])
        with gr.Tab("Captions", id="captions") as captions:
            self.captions = CaptionsTab(context)
        with gr.Tab("Templates", id="templates") as templates:
            self.templates = TemplatesTab(context)
        with gr.Tab("Train", id="train") as train:
            self.train = TrainTab(context, my_job, model)
        with gr.Tab("Compare", id="compare") as compare:
            self.compare = CompareTab(context, my_job)
        with gr.Tab("txt2img", id="txt2img") as txt2img:
            self.txt2img = Txt2ImgTab(context, my_job, model)
        with gr.Tab("Embeddings", id="embeddings") as embeddings:
            self.embeddings = EmbeddingsTab(context, my_job, self.checkpoint)
        self.train.wire(self.txt2img.form)
        self.model.programs.wire(self.model, [self.train.copies, self.embeddings.copies])
        all_tabs = (create, preprocess, captions, templates, train, compare, txt2img, embeddings)
        self.tab_of = dict(zip(TAB_IDS, all_tabs, strict=True))

    # ---- wiring

    def _wire_job_end(self) -> None:
        """When a job has ended, in every open page: fresh lists, and in the page that ordered it what comes next."""
        captions, preprocess, train = self.captions, self.preprocess, self.train
        run = self.compare.form.widgets["run"]
        given = [
            self.my_job,
            self.follow,
            preprocess.form.widgets["destination_directory"],
            train.form.widgets["embedding"],
            self.embeddings.chosen,
            self.checkpoint,
            run,
            self.taken_job,
        ]
        changed = [
            self.tabs,
            self.kept_tab,
            self.taken_job,
            self.checkpoint,
            preprocess.gallery,
            self.compare.grid,
            run,
            captions.arrived,
            *self.embeddings.shown,
            *train.shown,
            *preprocess.form.own.values(),
            *(tab.message for tab in (self.model, self.create, preprocess, self.txt2img, self.compare)),
        ]
        # The lists, and what the job has made.
        ended = self.live.finished(
            self._take_result,
            given,
            changed,
            trigger_mode="always_last",  # a quick job ends while the page still reads its lists after the one before
            **QUEUED,
        )
        # The Captions tab opens the new dataset; what is typed there meanwhile is saved first.
        followed = ended.then(
            captions.follow,
            [captions.arrived, captions.opened, captions.text],
            captions.shown,
            js=HOLD_CAPTION,
            **QUEUED,
        )
        released = followed.then(None, None, None, js=RELEASE_CAPTION)
        arrived = [captions.opened, captions.folder, captions.message, self.kept_tab]
        released.then(captions.arrive, arrived, captions.shown, **QUEUED).then(
            train.described, train.form.components, train.plan, **DIRECT
        )

    def _wire_sample(self) -> None:
        filled = [*self.create.form.components, *self.preprocess.form.own.values(), *self.train.shown]
        self.sample.click(self._fill_sample, self.person, [self.tabs, self.kept_tab, self.follow, *filled], **QUEUED)

    def _wire_lists(self) -> None:
        """Tabs that show what is on disk read it when they are chosen; a saved template gets into the Train tab's
        list at once.
        """
        captions, templates, embeddings, compare = self.captions, self.templates, self.embeddings, self.compare
        self.tab_of["captions"].select(captions.enter, [captions.opened, captions.folder], captions.shown, **QUEUED)
        run = compare.form.widgets["run"]
        self.tab_of["compare"].select(compare.enter, run, [run, compare.grid], **DIRECT)
        folders = [self.train.form.widgets["dataset_directory"], self.preprocess.form.widgets["source_directory"]]
        self.model.watch(folders)
        gr.on(
            [self.tab_of["create"].select, *(field.change for field in folders)],
            self.create.suggested,
            folders,
            self.create.hint,
            trigger_mode="always_last",
            **DIRECT,
        )
        lists = [templates.template, templates.folder, templates.embedding, templates.prompts]
        self.tab_of["templates"].select(templates.enter, templates.facts, lists, **DIRECT)
        templates.saved.then(read_only(lambda: self.train.filled({})), None, self.train.shown, **DIRECT)
        waited_for = {**QUEUED, "show_progress": "full", "show_progress_on": embeddings.table}
        self.tab_of["embeddings"].select(  # the first look loads torch
            embeddings.enter, [embeddings.chosen, self.checkpoint], embeddings.shown, **waited_for
        )

    def _wire_plans(self) -> None:
        """What stands before the start is written anew whenever a field changes that it depends on."""
        for tab in (self.train, self.preprocess):
            gr.on(
                [tab.form.widgets[name].change for name in tab.form.settings.names("changes_plan")],
                tab.described,
                tab.form.components,
                tab.plan,
                trigger_mode="always_last",
                **DIRECT,
            )

    def _wire_open_tab(self, blocks: gr.Blocks) -> None:
        """A reload opens the tab that was open. gradio also tells of the first tab while the page is being built,
        which must not overwrite what was kept.
        """
        for name, tab in self.tab_of.items():
            keep = f"(kept) => [window.pageIsBack ? {json.dumps(name)} : kept]"
            tab.select(None, self.kept_tab, self.kept_tab, js=keep, show_progress="hidden")
        blocks.load(None, None, None, js=DROPDOWN_KEYS, show_progress="hidden")
        restored = blocks.load(None, self.kept_tab, self.tabs, js=OPEN_KEPT_TAB, show_progress="hidden")
        restored.then(None, None, None, js="() => { window.pageIsBack = true; }")

    def _wire_forms(self, blocks: gr.Blocks) -> None:
        """What is typed is kept in the browser, by the browser: no call for each key. A reload puts it back."""
        kept = browser_state({}, KEPT_FORMS)
        fields: dict[str, Any] = {"follow": self.follow, "preset": self.train.preset, "own_px": self.sizes.own_px}
        fields.update(self.model.widgets)
        for form in self.forms:
            fields.update({f"{form.prefix}.{name}": widget for name, widget in form.own.items()})
        # What depends on the server's disk is put back by the server, everything else by the browser alone.
        sized = {id(widget) for widget in self.sizes.widgets}
        from_disk = ["checkpoint", "vae", "train.embedding", "train.template_file", "own_px"]
        from_disk += [name for name, widget in fields.items() if id(widget) in sized]
        typed = {name: widget for name, widget in fields.items() if name not in from_disk}

        # At a reload, in this order: `formsAreBack` lets the page take input, and keep it.
        fill = fill_script(typed, [*fields, "started_with"])
        outputs = [*typed.values(), self.model.message]
        blocks.load(None, [kept, *typed.values()], outputs, js=fill, show_progress="hidden")
        loaded = blocks.load(self.put_back, kept, [fields[name] for name in from_disk], **DIRECT)
        loaded.then(self.train.described, self.train.form.components, self.train.plan, **DIRECT)
        loaded.then(None, None, None, js=FORMS_ARE_BACK)
        loaded.then(self.preprocess.described, self.preprocess.form.components, self.preprocess.plan, **DIRECT)
        loaded.then(self.train.gpus_field, None, self.train.form.widgets["gpus"], **DIRECT)
        # From then on, whatever changes is kept.
        gr.on(
            [widget.change for widget in fields.values()],
            None,
            [kept, *fields.values()],
            kept,
            js=keep_script(fields, self.chosen_checkpoint),
            show_progress="hidden",
        )

    # ---- handlers

    @read_only
    def put_back(self, kept: Any) -> Updates:
        """Fresh lists for the dropdowns that are read from disk, with what was chosen if it is still there, and the
        sizes that go with the checkpoint. `kept` comes from a browser, so it may be anything.
        """
        values = kept if isinstance(kept, dict) else {}
        same_start = values.get("started_with") == self.chosen_checkpoint  # another --ckpt beats what was chosen before
        was = text_of(values.get("checkpoint"), "")
        chosen = was if same_start and was and self._is_there(was) else self.chosen_checkpoint
        stored = {name: values[f"train.{name}"] for name in ("embedding", "template_file") if f"train.{name}" in values}
        if not stored.get("template_file"):
            stored["template_file"] = TrainSettings.defaults()["template_file"]
        typed = {form.widgets[name]: values.get(f"{form.prefix}.{name}") for form in self.forms for name in form.own}
        sizes = [typed.get(widget) for widget in self.sizes.widgets]
        vae = text_of(values.get("vae"), AUTOMATIC)
        return {
            self.checkpoint: gr.update(choices=self.model.titles(), value=chosen),
            self.model.widgets["vae"]: gr.update(choices=self.model.vaes(), value=vae),
            **self.train.filled(stored),
            **self.sizes.follow_checkpoint(chosen, values.get("own_px"), *sizes),
        }

    def _is_there(self, checkpoint: Any) -> bool:
        """Whether it is in the list, or is what else may be typed there, such as a path."""
        try:
            return bool(find_checkpoint(str(checkpoint or ""), self.context.workspace))
        except UserError:
            return False

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
        updates[self.taken_job] = my_job  # `my_job` stays: it may hold the next one by the time that this arrives
        if job.state == "failed":
            problem = UserError(self.context.workspace.without_paths(job.text))
            updates.update(refused(problem, self.message_of[job.kind]))
        elif job.state == "finished" and job.kind == "create":
            updates.update(self._after_create(job, follow, destination))
        elif job.state == "finished" and job.kind == "preprocess":
            updates.update(self._after_preprocess(job, follow, embedding, checkpoint))
        elif job.state == "finished" and job.kind == "download":
            updates.update(self.model.on_job_finished(job))
        elif job.state == "finished" and job.kind == "embeddings":
            updates.update(self.embeddings.on_job_finished(job, chosen, checkpoint))
        return updates

    def _open(self, tab: str) -> Updates:
        return {self.tabs: gr.update(selected=tab), self.kept_tab: tab}

    def _after_create(self, job: Job, follow: bool, destination: str) -> Updates:
        """The new embedding is chosen for training, and its pictures get a folder of its name."""
        updates = self.train.filled({"embedding": job.result})
        if not destination or destination.startswith("datasets/"):
            updates[self.preprocess.form.widgets["destination_directory"]] = dataset_folder(job.result)
        return {**updates, **accepted(self.create.message), **(self._open("preprocess") if follow else {})}

    def _after_preprocess(self, job: Job, follow: bool, embedding: str | None, checkpoint: str) -> Updates:
        """The finished pictures are shown, can be captioned, and are what to train on."""
        updates: Updates = {
            **self.preprocess.on_job_finished(job),
            self.train.form.widgets["dataset_directory"]: job.result,
        }
        if follow:
            updates.update({**self._open("train"), **self.train.fill_recipe(job.result, embedding, checkpoint)})
        return {**updates, self.captions.arrived: job.result}
