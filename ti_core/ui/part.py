"""What the page asks of each of its parts: the tabs, and the checkpoint and the start above them. `page.py` only lays
them out; what crosses from one part to another goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gradio as gr

from ti_core.jobs.job import Job
from ti_core.ui.app_context import AppContext
from ti_core.ui.widgets import DIRECT, EACH_TIME, Form, Updates, wire_changes


@dataclass(frozen=True)
class JobEnd:
    """A job has ended, as one open page hears of it. `job` is None in the pages that did not order it: what they list
    is old all the same. `guided` says whether the page goes on to the next tab by itself.
    """

    job: Job | None = None
    guided: bool = False

    def result_of(self, *kinds: str) -> str:
        """What a finished job of one of these kinds has made; empty for every other job."""
        job = self.job
        return job.result if job and job.state == "finished" and job.kind in kinds else ""


@dataclass
class PageContext:
    """What the parts of one page share. All of it is there when `Part.wire` is called."""

    app: AppContext
    my_job: Any
    """The id of the job that this browser ordered last."""
    tabs: Any = None
    kept_tab: Any = None
    """The name of the open tab, kept by each browser."""
    model: dict[str, Any] = field(default_factory=dict)
    """The checkpoint and how it is loaded, by the names of the settings."""
    parts: list[Part] = field(default_factory=list)
    live: Any = None
    """The run panel, with its events `take_run` and `try_step`."""
    job_ended: Any = None
    """Event: all parts have taken what they wanted of a job that ended."""
    programs_named: Any = None
    """Event: the folders of other programs have changed."""
    loaded: Any = None
    """Event: what the browser kept is back in the forms."""

    def form(self, tab: str) -> Form:
        """The form of the tab of that name."""
        return next(part.form for part in self.parts if part.id == tab and part.form)

    def field(self, tab: str, name: str) -> Any:
        """The widget of one setting of that tab's form."""
        return self.form(tab).widgets[name]

    def open(self, tab: str) -> Updates:
        """Updates that bring a tab to the front; a handler that uses them has `opening` among its outputs."""
        return {self.tabs: gr.update(selected=tab), self.kept_tab: tab}

    @property
    def opening(self) -> list[Any]:
        """The components that `open` updates."""
        return [self.tabs, self.kept_tab]


class Part:
    """One part of the page. A tab has an `id` and a `title`; its components are made when it is."""

    id: ClassVar[str] = ""
    title: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of jobs that it orders: their failures are told in its message box."""
    opens_after: ClassVar[str] = ""
    """The kind of job after which a guided page comes here."""
    form: Form | None = None
    message: Any = None
    item: Any = None
    """The gr.Tab of a tab."""

    def __init__(self, page: PageContext) -> None:
        """Makes its components, here and now."""

    def wire(self, page: PageContext) -> None:
        """Called once all parts are there: what happens when the tab is chosen, and what other parts are needed for."""

    def follows(self, job: Job) -> bool:
        """Whether a guided page comes here after this job."""
        return bool(self.opens_after) and self.opens_after == job.kind

    # ---- what a browser keeps

    @property
    def kept(self) -> dict[str, Any]:
        """Name -> widget of what a reload puts back."""
        form = self.form
        return {f"{form.prefix}.{name}": widget for name, widget in form.own.items()} if form else {}

    @property
    def from_disk(self) -> tuple[str, ...]:
        """The names in `kept` whose choices are on the server's disk, so that `put_back` fills them in."""
        return ()

    def put_back(self, kept: Mapping[str, Any]) -> Updates:
        """Updates for the widgets of `from_disk`. `kept` comes from a browser, so its values may be anything."""
        return {}

    # ---- when a job has ended

    @property
    def takes(self) -> list[Any]:
        """The components whose values `on_job_finished` needs."""
        return []

    @property
    def gives(self) -> list[Any]:
        """The components that `on_job_finished` may change."""
        return []

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """What a job that has ended changes here; `given` are the values of `takes`."""
        return {}


def plan_box(elem_id: str) -> Any:
    """What stands before the start, beside the button that begins it."""
    return gr.Textbox(
        label="Before you start",
        interactive=False,
        container=False,
        show_label=False,
        lines=1,
        max_lines=4,
        scale=5,
        min_width=260,
        elem_id=elem_id,
    )


def wire_plan(page: PageContext, form: Form, described: Callable[..., Any], plan: Any) -> None:
    """What stands before the start is written anew whenever a field changes that it depends on, when the page has
    been put back, and when a job has ended, which may have changed the folders that it tells of.
    """
    changes = [form.widgets[name].change for name in form.settings.names("changes_plan")]
    wire_changes(changes, described, form.components, plan)
    for event in (page.loaded, page.job_ended):
        event.then(described, form.components, plan, **DIRECT, **EACH_TIME)
