"""Which fields of the Preprocess images tab appear with which checkbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ti_core.jobs.queue import JobQueue
from ti_core.settings import PreprocessSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import Workspace


def group_of(component: Any) -> Any:
    """The gr.Group around a component, None if there is none."""
    while component is not None and not isinstance(component, gr.Group):
        component = component.parent
    return component


def test_the_fields_of_a_crop_are_hidden_until_its_box_is_ticked(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    widgets = page.preprocess.form.widgets
    for checkbox, names in PreprocessSettings.switched().items():
        groups = {id(group_of(widgets[name])): group_of(widgets[name]) for name in names}
        (group,) = groups.values()
        assert isinstance(group, gr.Group) and not group.visible and group.elem_id == f"preprocess_{checkbox}_fields"
        assert isinstance(widgets[checkbox], gr.Checkbox) and group_of(widgets[checkbox]) is None


def test_finished_pictures_have_the_words_that_they_are_trained_with_and_a_broken_one_hides_none(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    folder = tmp_path / "datasets" / "anna"
    folder.mkdir(parents=True)
    (folder / "00000-0-old.png").write_bytes(b"no picture")
    for name in ("00001-0-new", "00002-0-captioned"):
        Image.new("RGB", (800, 400)).save(folder / f"{name}.png")
    (folder / "00002-0-captioned.txt").write_text("smiling\n", encoding="utf-8")
    shown = page.preprocess.finished_pictures("datasets/anna")["value"]
    assert [(Image.open(file).size, words) for file, words in shown] == [
        ((512, 512), "old"),
        ((512, 256), "new"),
        ((512, 256), "smiling"),
    ]
    assert not page.preprocess.finished_pictures("datasets/nobody")["visible"]


def test_a1111s_sub_groups_hold_its_fields_13_to_24() -> None:
    names = list(PreprocessSettings.options())
    boxes = PreprocessSettings.switched()
    assert [n for box in ("split_oversized", "focal_crop", "auto_sized_crop") for n in boxes[box]] == names[12:24]
