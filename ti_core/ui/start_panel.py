"""The top of the page: its title, the four stations of a training, and where to begin: with the sample or the latest
run.
"""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.errors import UserError
from ti_core.runs.folder import files_of_steps, find_runs
from ti_core.training.presets import SAMPLE_PEOPLE, sample_recipe
from ti_core.ui.part import PageContext, Part
from ti_core.ui.server.roles import read_only
from ti_core.ui.thumbnails import picture_tag
from ti_core.ui.widgets import DIRECT, ONLY_THESE, QUEUED, Updates, accepted, message_box, refused
from ti_core.workspace import SAMPLE_PHOTOS

HERE = Path(__file__).parent
OPEN_RUN = (HERE / "open_run.js").read_text(encoding="utf-8")
STATIONS = (
    ("Name", "create", ("create",)),
    ("Photos", "preprocess", ("preprocess", "captions")),
    ("Train", "train", ("templates", "train")),
    ("Choose", "compare", ("compare", "txt2img", "embeddings")),
)
"""Name of a station, the tab that it opens, and the tabs that belong to it."""
SHOWN_PX = 96
SAMPLES_SHOWN = 2


def heading() -> str:
    """HTML: the page's title, and the stations as buttons; stations.js marks the one where the page is."""
    steps = "".join(
        f'<li><button type="button" data-tab="{tab}" data-tabs="{" ".join(tabs)}"><b>{number}</b> {name}</button></li>'
        for number, (name, tab, tabs) in enumerate(STATIONS, 1)
    )
    return f'<h1>Textual Inversion</h1><nav class="stations" aria-label="Steps of a training"><ol>{steps}</ol></nav>'


def sample_pictures(person: str | None) -> str:
    """HTML: some photos of a sample person; empty if there is no such person."""
    if person not in SAMPLE_PEOPLE:
        return ""
    photos = [file for file in sorted((SAMPLE_PHOTOS / person).iterdir()) if file.suffix != ".txt"]
    return _pictures(photos[:SAMPLES_SHOWN], f"Sample photo of {person}")


def _pictures(files: Iterable[Path], name: str) -> str:
    return "".join(picture_tag(file, SHOWN_PX, name) for file in files)


class StartPanel(Part):
    """Title and stations; below them the sample on a page without runs, else the latest run."""

    def __init__(self, page: PageContext) -> None:
        self.page, self.workspace = page, page.app.workspace
        person = next(iter(SAMPLE_PEOPLE), None)
        with gr.Row(elem_id="heading", equal_height=False):
            gr.HTML(heading(), js_on_load=(HERE / "stations.js").read_text(encoding="utf-8"), elem_id="stations")
            self.guide = gr.Checkbox(
                False, label="Guide me to the next tab", container=False, min_width=190, scale=0, elem_id="follow"
            )
        is_used = bool(find_runs(self.workspace))
        with gr.Row(elem_id="start", visible=not is_used) as self.first:
            self.pictures = gr.HTML(sample_pictures(person), elem_id="sample_pictures")
            self.person = gr.Dropdown(
                list(SAMPLE_PEOPLE),
                value=person,
                label="Sample person",
                show_label=False,
                container=False,
                scale=0,
                min_width=110,
                elem_id="person",
                elem_classes=ONLY_THESE,
            )
            self.sample = gr.Button(
                "Try the face recipe with sample photos",
                variant="primary",
                size="md",
                scale=4,
                min_width=200,
                elem_id="sample",
            )
        with gr.Row(elem_id="latest", visible=is_used) as self.latest:
            self.latest_run = gr.HTML(self.latest_line() if is_used else "", elem_id="latest_run")
            self.open_latest = gr.Button("Open", size="sm", scale=0, min_width=90, elem_id="open_latest")
            self.show_sample = gr.Button("Sample photos", size="sm", scale=0, min_width=130, elem_id="show_sample")
        self.message = message_box("start_message")

    @property
    def kept(self) -> dict[str, Any]:
        return {"follow": self.guide}

    def wire(self, page: PageContext) -> None:
        """The sample fills three forms; the latest run is opened in the run panel."""
        filled = [
            *page.form("create").own.values(),
            *page.form("preprocess").own.values(),
            page.field("train", "dataset_directory"),
        ]
        changed = [*page.opening, self.guide, self.message, *filled]
        self.sample.click(self.fill_sample, self.person, changed, **QUEUED)
        self.person.change(read_only(sample_pictures), self.person, self.pictures, **DIRECT)
        shown = [self.first, self.latest, self.latest_run]
        both = read_only(lambda: (gr.update(visible=True), gr.update(visible=False)))
        self.show_sample.click(both, None, shown[:2], **DIRECT)
        page.loaded.then(self.greeting, None, shown, **DIRECT)
        self.open_latest.click(None, None, None, js=OPEN_RUN, show_progress="hidden")

    # ---- the latest run

    @read_only
    def greeting(self) -> Updates:
        """The sample on a page that was not used yet, else the latest run."""
        line = self.latest_line()
        return {
            self.first: gr.update(visible=not line),
            self.latest: gr.update(visible=bool(line)),
            self.latest_run: line,
        }

    def latest_line(self) -> str:
        """HTML: the latest run with its last picture; empty if there is none."""
        runs = find_runs(self.workspace)
        if not runs:
            return ""
        folder = self.workspace.root / runs[0]
        steps = files_of_steps(folder)
        picture = next((files["picture"] for _, files in reversed(steps.items()) if "picture" in files), None)
        name = html.escape(folder.name)
        day = _day(folder.parent.name)
        sentence = f"Your latest run: <strong>{name}</strong>, {len(steps)} steps to choose from, {day}."
        drawn = _pictures([picture], f"Last picture of {folder.name}") if picture else ""
        return f'<p class="latest" data-run="{html.escape(runs[0], quote=True)}">{drawn}<span>{sentence}</span></p>'

    # ---- the sample

    @read_only
    def fill_sample(self, person: str | None) -> Updates:
        """The three forms for a sample person; what depends on the finished pictures follows when they are there."""
        if person not in SAMPLE_PEOPLE:
            return refused(UserError("There are no sample photos.", "Choose a person from the list."), self.message)
        jobs = self.page.app.jobs
        ordered = [job.result for job in (*jobs.running(), *jobs.waiting()) if job.kind == "create"]
        create, preprocess = sample_recipe(person, self.workspace, ordered)
        return {
            **self.page.form("create").updates(create),
            **self.page.form("preprocess").updates(preprocess),
            **self.page.open("create"),
            **accepted(self.message),
            self.guide: True,
            self.page.field("train", "dataset_directory"): preprocess["destination_directory"],
        }


def _day(folder: str) -> str:
    """A run's date as people write it; the folder's name where it is no date."""
    try:
        day = datetime.date.fromisoformat(folder)
    except ValueError:
        return html.escape(folder)
    return f"{day.day} {day:%B %Y}"
