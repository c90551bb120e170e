"""Turns the declarations of ti_core/settings into gradio components, so that no label, default or help text is
written twice.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.settings import OWN_SIZE
from ti_core.settings.option import Option, Settings
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.gradio_internals import page_being_built
from ti_core.ui.server.roles import read_only

HERE = Path(__file__).parent
Updates = dict[Any, Any]
ALL_CHOICES = 100_000
ONLY_THESE = "only-these"
"""The class of a dropdown that takes no text but its choices. dropdowns.js reads it: gradio's markup does not say."""


def disk_dropdown(choices: Sequence[str], value: str | None, **shared: Any) -> Any:
    """A dropdown whose choices are read from disk.

    It takes any text, because gradio would compare with the list of the server's start and refuse what was made
    since; the job says in a clear sentence if there is no such thing. All choices are shown, not the first hundred
    alone, so that dropdowns.js finds the exact name among them; gradio takes None for a hundred.
    """
    classes = "of-several" if shared.get("multiselect") else None
    return gr.Dropdown(
        list(choices),
        value=value,
        allow_custom_value=True,
        num_choices_shown=ALL_CHOICES,
        elem_classes=classes,
        **shared,
    )


def widget(option: Option, default: Any, elem_id: str) -> Any:
    """The component of one option. Number boxes get no limits: settings.check() says all problems at once and at their
    fields, gradio only the first.
    """
    shared = {"label": option.label, "info": option.help, "value": default, "elem_id": elem_id}
    match option.control:
        case "textbox":
            return gr.Textbox(
                placeholder=option.placeholder or None, lines=option.lines, max_lines=max(3, 3 * option.lines), **shared
            )
        case "number":
            return gr.Number(**shared)  # with `precision`, 1.5 would become 2 in silence
        case "slider":
            shared["value"] = option.minimum if option.zero_is_auto and default == OWN_SIZE else default
            return gr.Slider(option.minimum, option.maximum, step=option.step, **shared)
        case "checkbox":
            return gr.Checkbox(**shared)
        case "radio":
            return gr.Radio(list(option.choices), **shared)
        case "dropdown" if option.choices:
            return gr.Dropdown(list(option.choices), elem_classes=ONLY_THESE, **shared)
        case "dropdown":
            return disk_dropdown([default] if default else [], **{**shared, "value": default or None})
    raise AssertionError(f"option '{option.label}' has the unknown control '{option.control}'")


@dataclass
class Form:
    """The widgets of one settings class, by name and in its order."""

    settings: type[Settings]
    prefix: str
    widgets: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    """Widgets that other forms have too, such as the checkpoint at the top of the page."""

    def add(self, *names: str) -> None:
        """Make the widgets of these options here and now; several number boxes share a row."""
        options, defaults = self.settings.options(), self.settings.defaults()
        with gr.Row(equal_height=False, elem_classes="numbers") if len(names) > 1 else nullcontext():
            for name in names:
                self.widgets[name] = widget(options[name], defaults[name], f"{self.prefix}_{name}")

    def add_refreshed(self, name: str, choices: Callable[[], Sequence[str]]) -> None:
        """A dropdown and the button that reads its choices again."""
        with gr.Row(equal_height=True, elem_classes="with-refresh"):
            self.add(name)
            label = self.settings.options()[name].label
            button = gr.Button(
                f"{label}: refresh",
                elem_classes="refresh",
                min_width=40,
                scale=0,
                elem_id=f"{self.prefix}_{name}_refresh",
            )
        button.click(read_only(lambda: gr.update(choices=list(choices()))), None, self.widgets[name], **DIRECT)

    def share(self, widgets: dict[str, Any]) -> None:
        """Take widgets that were made elsewhere, and put all into the order of the settings."""
        self.shared = {name: widget for name, widget in widgets.items() if name in self.settings.options()}
        self.widgets = {name: self.shared.get(name) or self.widgets[name] for name in self.settings.options()}

    @property
    def own(self) -> dict[str, Any]:
        """The widgets that no other form has."""
        return {name: widget for name, widget in self.widgets.items() if name not in self.shared}

    @property
    def names(self) -> list[str]:
        """The names of the settings, in the order of `components`."""
        return list(self.widgets)

    @property
    def components(self) -> list[Any]:
        """All widgets, in the order of the settings: what a handler takes as inputs."""
        return list(self.widgets.values())

    def values(self, given: Sequence[Any]) -> dict[str, Any]:
        """Name of a setting -> its value, from the values of `components`."""
        return dict(zip(self.names, given, strict=True))

    def updates(self, values: dict[str, Any]) -> Updates:
        """Gradio's updates for the values that have a widget here."""
        return {self.widgets[name]: value for name, value in values.items() if name in self.widgets}


# Buttons that may refuse go through gradio's queue, because without it toasts are swallowed; the others answer
# directly. Nothing shows gradio's progress: whenever a call begins or ends, it is written to every component that ever
# showed any.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": []}
QUEUED: dict[str, Any] = {"concurrency_limit": None, **_QUIET}
DIRECT: dict[str, Any] = {"queue": False, **_QUIET}
EACH_TIME: dict[str, Any] = {"trigger_mode": "multiple"}
"""For what follows an event that may come again before it is answered, such as the end of a job: by itself gradio drops
what follows the second time, and what the job made would never be seen.
"""


ANSWERING = ("create", "preprocess", "model", "embeddings")
"""Tabs whose jobs are small: the run panel goes on showing the training (live/answers.js fills their places)."""
ANSWER_CSS = """
.job-answer { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; font-size: 14px; }
.job-answer p { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
.job-answer progress { flex: 1; min-width: 120px; accent-color: #ea580c; }
.job-answer a { font-weight: 600; }
"""


PRESS_WITHIN_MS = 150
_changes = itertools.count(1)


def press_soon_script(button: str) -> str:
    """A function for the browser, called at each change: it presses the button of that id, once for all that changes
    within a moment.
    """
    return f"""() => {{
      const due = (window.pressesDue ??= new Set());
      if (due.has("{button}")) return;
      due.add("{button}");
      setTimeout(() => {{
        due.delete("{button}");
        document.getElementById("{button}")?.click();
      }}, {PRESS_WITHIN_MS});
    }}"""


def hidden_button(elem_id: str) -> Any:
    """What `press_soon_script` presses. It must stand outside the tabs, whose parts are there only once they were
    opened.
    """
    return gr.Button(elem_id, visible="hidden", elem_id=elem_id)


def wire_changes(events: Sequence[Any], handler: Callable[..., Any], inputs: Sequence[Any], outputs: Any) -> None:
    """Let a handler follow the changes of fields; called from `Part.wire`.

    Each handler has a hidden button of its own. Two that wait for the last change of one field would call each other
    for ever: when a call ends, gradio repeats the whole event for a handler that waited, so all others wait again.
    """
    button = hidden_button(f"follow_{next(_changes)}")
    gr.on(list(events), None, None, None, js=press_soon_script(button.elem_id), show_progress="hidden")
    button.click(handler, list(inputs), outputs, trigger_mode="always_last", **DIRECT)


def message_box(elem_id: str) -> Any:
    """Where a tab answers: it takes no room until there is something to say; before it what the run panel tells of its
    job. What is wrong with a field stands at that field, and here a link to it (field_errors.js). Fields are found by
    their ids, which begin as `elem_id` does.
    """
    tab = elem_id.removesuffix("_message")
    if tab in ANSWERING:
        gr.HTML(f'<div class="job-answer" data-tab="{tab}"></div>', css_template=ANSWER_CSS, padding=False)
    box = gr.HTML(
        value="",
        html_template='<div class="message-text" role="status"></div>',
        js_on_load=(HERE / "message.js").read_text(encoding="utf-8"),
        problems=[],
        stamp=0,
        elem_id=elem_id,
        elem_classes="message",
    )
    box.whole_page = page_being_built()
    return box


def name_hint(field: Any) -> Any:
    """A line right below a field, for `wire_hint`; it takes no room while it is empty."""
    return gr.HTML("", elem_id=f"{field.elem_id}_hint", elem_classes="name-hint")


def wire_hint(hint: Any, say: Callable[..., str], given: Sequence[Any]) -> None:
    """Let a hint say what becomes of these fields' values, as they change: which name will be used, or why not."""

    @read_only
    def said(*values: Any) -> str:
        return f"<p>{html.escape(text)}</p>" if (text := say(*values)) else ""

    gr.on([field.change for field in given], said, list(given), hint, trigger_mode="always_last", **DIRECT)


def _place(box: Any, name: str) -> list[Any]:
    """Where the page shows the field that an error is about: its id, its label, the ids of the folds that hold it, from
    outside in, and its tab. A field is called as its setting, after what the ids of its form begin with; those of
    loading the checkpoint stand at the top of the page.
    """
    prefix = str(box.elem_id).removesuffix("_message")
    wanted = [f"{prefix}_{name}", f"model_{name}", name] if name else []
    blocks = {block.elem_id: block for block in box.whole_page.blocks.values() if getattr(block, "elem_id", "")}
    found = next((blocks[elem_id] for elem_id in wanted if elem_id in blocks), None)
    if found is None:
        return ["", "", [], ""]
    folds: list[str] = []
    tab, above = "", found.parent
    while above is not None:
        if isinstance(above, gr.Accordion) and above.elem_id:
            folds.insert(0, above.elem_id)
        tab = tab or (str(above.id) if isinstance(above, gr.Tab) else "")
        above = above.parent
    return [found.elem_id, found.label or name, folds, tab]


_answers = itertools.count(1)


def refused(error: UserError, box: Any) -> Updates:
    """Show an error: at its field, or in the message box if it has none. What was typed stays as it is."""
    problems = [[str(problem), *_place(box, problem.field)] for problem in error.problems]
    return {box: gr.update(value="\n".join(error.problems), problems=problems, stamp=next(_answers))}


def accepted(box: Any, text: str = "") -> Updates:
    """Show a sentence in a message box, or nothing if there is none. Errors at fields go."""
    return {box: gr.update(value=text, problems=[], stamp=next(_answers))}


SHOW_NEW_JOB = """(job) => {
  if (!job || job === window.newestJob) return;
  window.newestJob = job;
  window.dispatchEvent(new Event("job-submitted"));
}"""
SHOW_STOPPING = "() => { window.dispatchEvent(new Event('job-stopping')); }"


def wire_order(button: Any, start: Callable[..., Updates], inputs: Sequence[Any], my_job: Any, box: Any) -> None:
    """Let a button order a job with the values of `inputs`. `start` answers as `submitted` does, and the run panel of
    the page that asked shows the job at once.
    """
    clicked = button.click(start, list(inputs), [my_job, box], **QUEUED)
    clicked.then(None, my_job, None, js=SHOW_NEW_JOB)


def wire_interrupt(button: Any, context: AppContext, kinds: Collection[str], my_job: Any, box: Any) -> None:
    """Let a button stop the job of these kinds, of several the one that this browser has ordered last. Of a running one
    the run panel tells what comes of it, in every open page.
    """

    def _interrupt(mine: Any) -> Updates:
        running = [job for job in context.jobs.running() if job.kind in kinds]
        answer = context.jobs.interrupt(kinds, str(mine))
        return accepted(box, "" if any(job.stop.is_set() for job in running) else answer)

    button.click(_interrupt, my_job, box, **DIRECT).then(None, None, None, js=SHOW_STOPPING)


def submitted(order: Callable[[], str], my_job: Any, box: Any) -> Updates:
    """What every button that orders a job answers. `order` queues it and returns its id, which the
    browser that asked remembers.
    """
    try:
        job = order()
    except UserError as error:
        return refused(error, box)
    return {my_job: job, **accepted(box)}
