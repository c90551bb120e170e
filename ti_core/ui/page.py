"""Lays the page out. What each part is and does stands in its own file; a new tab is one more line in `_build_tabs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from ti_core.checkpoints.library import find_checkpoint
from ti_core.errors import UserError
from ti_core.settings import PORTRAITS
from ti_core.ui.api import build_api
from ti_core.ui.app_context import AppContext
from ti_core.ui.captions_tab import CaptionsTab
from ti_core.ui.compare_tab import CompareTab
from ti_core.ui.create_tab import CreateTab
from ti_core.ui.embeddings_tab import EmbeddingsTab
from ti_core.ui.kept_forms import browser_state, fill_script, keep_script, text_of
from ti_core.ui.model_panel import ModelPanel
from ti_core.ui.own_sizes import OwnSizes
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.preprocess_tab import PreprocessTab
from ti_core.ui.run_panel import build_run_panel
from ti_core.ui.server.guarded_blocks import GuardedBlocks
from ti_core.ui.server.roles import current_user, guard_handlers, read_only
from ti_core.ui.start_panel import StartPanel
from ti_core.ui.templates_tab import TemplatesTab
from ti_core.ui.train_tab import TrainTab
from ti_core.ui.txt2img_tab import Txt2ImgTab
from ti_core.ui.widgets import DIRECT, QUEUED, Form, Updates, hidden_button, press_soon_script, refused

TITLE = "Textual Inversion"
KEPT_FORMS = "forms-1"
HERE = Path(__file__).parent
PAGE_SCRIPTS = [
    (HERE / name).read_text(encoding="utf-8")
    for name in ("field_errors.js", "numbers.js", "dropdowns.js", "help.js", "names.js")
]
FORMS_ARE_BACK = "() => { window.formsAreBack = true; document.body.inert = false; }"
T = TypeVar("T", bound=Part)


class Page:
    """All parts of the page; `build()` puts them together."""

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
            self.shared = PageContext(self.context, self.my_job)
            with gr.Row(elem_id="body"):
                with gr.Column(scale=11, min_width=340, elem_id="forms"):
                    self._build_forms()
                with gr.Column(scale=9, min_width=320, elem_id="output"):
                    self.live = self.shared.live = build_run_panel(self.context)
            self.sizes = OwnSizes(self.context, self.checkpoint, self.forms)
            self._wire_job_end()
            self._wire_open_tab(blocks)
            self._wire_forms(blocks)
            for part in self.shared.parts:
                part.wire(self.shared)
            guard_handlers(blocks, api_names)
        return blocks

    # ---- layout

    def _build_forms(self) -> None:
        shared = self.shared
        with gr.Column(elem_id="top"):
            self.start = self._add(StartPanel(shared))
            self.model = self._add(ModelPanel(shared, self.chosen_checkpoint))
            shared.model = self.model.widgets
            self.checkpoint = self.model.widgets["checkpoint"]
        shared.kept_tab = self.kept_tab = browser_state("create", f"{KEPT_FORMS}-tab")  # gradio counts what is in Tabs
        with gr.Tabs(selected="create", overflow_behavior="wrap") as shared.tabs:
            self._build_tabs()

    def _build_tabs(self) -> None:
        self.create = self._add_tab(CreateTab)
        self.preprocess = self._add_tab(PreprocessTab)
        self.captions = self._add_tab(CaptionsTab)
        self.templates = self._add_tab(TemplatesTab)
        self.train = self._add_tab(TrainTab)
        self.compare = self._add_tab(CompareTab)
        self.txt2img = self._add_tab(Txt2ImgTab)
        self.embeddings = self._add_tab(EmbeddingsTab)

    def _add_tab(self, kind: type[T]) -> T:
        with gr.Tab(kind.title, id=kind.id, elem_id=f"tab-{kind.id}") as item:
            tab = self._add(kind(self.shared))
        tab.item = item
        return tab

    def _add(self, part: T) -> T:
        self.shared.parts.append(part)
        return part

    @property
    def tabs(self) -> list[Part]:
        """The parts that are tabs, in their order."""
        return [part for part in self.shared.parts if part.item is not None]

    @property
    def forms(self) -> list[Form]:
        """The forms of all parts."""
        return [part.form for part in self.shared.parts if part.form]

    # ---- a job has ended

    def _wire_job_end(self) -> None:
        """In every open page each part reads its lists anew, and in the page that ordered the job takes what it has
        made.
        """
        parts, shared = self.shared.parts, self.shared
        given = [self.my_job, self.taken_job, self.start.guide, *(widget for part in parts for widget in part.takes)]
        changed = [self.taken_job, *shared.opening]
        for part in parts:
            changed += [widget for widget in (*part.gives, part.message) if widget and widget not in changed]
        shared.job_ended = self.live.finished(
            self.take_result,
            given,
            changed,
            trigger_mode="always_last",  # a quick job ends while the page still reads its lists after the one before
            **QUEUED,
        )

    @read_only
    def take_result(self, my_job: str, taken: str, guided: bool, *given: Any) -> Updates:
        """A job has ended. The page that ordered it moves on; every other page only reads its lists again."""
        job = self.context.jobs.get(my_job or "")
        is_mine = job is not None and job.has_ended and my_job != taken and current_user().may_train
        end = JobEnd(job if is_mine else None, bool(guided))
        updates: Updates = {}
        values = iter(given)
        for part in self.shared.parts:
            updates.update(part.on_job_finished(end, *(next(values) for _ in part.takes)))
        if end.job is None:
            return updates
        updates[self.taken_job] = my_job  # `my_job` stays: it may hold the next one by the time that this arrives
        if end.job.state == "failed":
            box = next(part.message for part in self.shared.parts if end.job.kind in part.kinds)
            updates.update(refused(UserError(self.context.workspace.without_paths(end.job.text)), box))
        elif end.job.state == "finished" and end.guided:
            following = [tab.id for tab in self.tabs if tab.follows(end.job)]
            updates.update(self.shared.open(following[0]) if following else {})
        return updates

    # ---- a reload

    def _wire_open_tab(self, blocks: gr.Blocks) -> None:
        """A reload opens the tab that was open. gradio also tells of the first tab while the page is being built,
        which must not overwrite what was kept.
        """
        ids = [tab.id for tab in self.tabs]
        for tab in self.tabs:
            keep = f"(kept) => [window.pageIsBack ? {json.dumps(tab.id)} : kept]"
            tab.item.select(None, self.kept_tab, self.kept_tab, js=keep, show_progress="hidden")
        open_kept = f"""(tab) => {{
          const selected = {json.dumps(ids)}.includes(tab) ? tab : {json.dumps(ids[0])};
          return {{ __type__: "update", selected }};
        }}"""
        for script in PAGE_SCRIPTS:
            blocks.load(None, None, None, js=script, show_progress="hidden")
        restored = blocks.load(None, self.kept_tab, self.shared.tabs, js=open_kept, show_progress="hidden")
        restored.then(None, None, None, js="() => { window.pageIsBack = true; }")

    def _wire_forms(self, blocks: gr.Blocks) -> None:
        """What is typed is kept in the browser, by the browser: no call for each key. A reload puts it back."""
        kept = browser_state({}, KEPT_FORMS)
        fields: dict[str, Any] = {"own_px": self.sizes.own_px}
        for part in self.shared.parts:
            fields.update(part.kept)
        # What depends on the server's disk is put back by the server, everything else by the browser alone.
        sized = {id(widget) for widget in self.sizes.widgets}
        from_disk = ["own_px", *(name for part in self.shared.parts for name in part.from_disk)]
        from_disk += [name for name, widget in fields.items() if id(widget) in sized]
        typed = {name: widget for name, widget in fields.items() if name not in from_disk}

        # At a reload, in this order: `formsAreBack` lets the page take input, and keep it.
        fill = fill_script(typed, [*fields, "started_with"])
        outputs = [*typed.values(), self.model.message]
        blocks.load(None, [kept, *typed.values()], outputs, js=fill, show_progress="hidden")
        self.shared.loaded = blocks.load(self.put_back, kept, [fields[name] for name in from_disk], **DIRECT)
        self.shared.loaded.then(None, None, None, js=FORMS_ARE_BACK)
        # From then on, whatever changes is kept: all that changes in one moment together.
        keep = hidden_button("keep_forms")
        changes = [widget.change for widget in fields.values()]
        gr.on(changes, None, None, None, js=press_soon_script(keep.elem_id), show_progress="hidden")
        script = keep_script(fields, self.chosen_checkpoint)
        keep.click(None, [kept, *fields.values()], kept, js=script, show_progress="hidden")

    @read_only
    def put_back(self, kept: Any) -> Updates:
        """Fresh lists for the dropdowns that are read from disk, with what was chosen if it is still there, and the
        sizes that go with the checkpoint. `kept` comes from a browser, so it may be anything.
        """
        values = dict(kept) if isinstance(kept, dict) else {}
        same_start = values.get("started_with") == self.chosen_checkpoint  # another --ckpt beats what was chosen before
        was = text_of(values.get("checkpoint"), "")
        values["checkpoint"] = was if same_start and was and self._is_there(was) else self.chosen_checkpoint
        updates: Updates = {}
        for part in self.shared.parts:
            updates.update(part.put_back(values))
        typed = {widget: values.get(name) for part in self.shared.parts for name, widget in part.kept.items()}
        sizes = [typed.get(widget) for widget in self.sizes.widgets]
        return {**updates, **self.sizes.follow_checkpoint(values["checkpoint"], values.get("own_px"), *sizes)}

    def _is_there(self, checkpoint: str) -> bool:
        """Whether it is in the list, or is what else may be typed there, such as a path."""
        try:
            return bool(find_checkpoint(checkpoint, self.context.workspace))
        except UserError:
            return False
