"""The page's field for folders of other programs, and the row that copies an embedding to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.embeddings.stored import put
from tests.test_other_programs import build
from ti_core.jobs.queue import JobQueue
from ti_core.other_programs import keep_folders
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import Workspace


@pytest.fixture
def page(workspace: Workspace) -> Page:
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    return page


def test_a_folder_that_is_typed_counts_at_once_and_is_kept(page: Page, workspace: Workspace, tmp_path: Path) -> None:
    root, field = build(tmp_path / "ComfyUI", "ComfyUI"), page.model.programs
    assert not page.train.copies.row.visible and field.field.value == []
    updates = field.follow([f'"{root}"'])
    assert updates[field.field]["value"] == [str(root)]
    assert "a.safetensors" in updates[page.model.widgets["checkpoint"]]["choices"]
    assert "v.safetensors" in updates[page.model.widgets["vae"]]["choices"]
    for copies in (page.train.copies, page.embeddings.copies):
        refreshed = copies.refreshed()
        assert refreshed[copies.row]["visible"] and refreshed[copies.program]["choices"] == ["ComfyUI"]
    assert "looks for embeddings in" in updates[page.model.message]["value"]
    put(workspace, "anna.pt")
    told = page.train.copies.copy("anna", "ComfyUI")[page.train.message]["value"]
    assert told == f"Copied to ComfyUI: {workspace.shown(root / 'models' / 'embeddings' / 'anna.pt')}"
    field.follow([])
    assert not page.train.copies.refreshed()[page.train.copies.row]["visible"] and workspace.programs == ()


def test_a_page_that_is_opened_later_knows_the_programs_too(workspace: Workspace, tmp_path: Path) -> None:
    """gradio builds the page once, at the start; what was named since then comes with each load."""
    page = Page(AppContext(workspace, JobQueue(workspace)))
    blocks = page.build()
    assert page.model.programs.read_again()["value"] == []
    root = build(tmp_path / "forge", "Forge")
    page.model.programs.follow([str(root)])
    assert page.model.programs.read_again()["value"] == [str(root)]
    # after a load, and after the folders have changed, each row asks anew
    copies, rows = (page.train.copies, page.embeddings.copies), {}
    for fn in blocks.fns.values():
        for row in (each.row for each in copies if each.row in fn.outputs):
            rows[row] = rows.get(row, 0) + 1
    assert rows == {each.row: 2 for each in copies}
    assert any(fn.outputs == [page.model.programs.field] for fn in blocks.fns.values())


def test_another_folder_is_refused_and_taken_out_again(page: Page, workspace: Workspace, tmp_path: Path) -> None:
    root, field = build(tmp_path / "forge", "Forge"), page.model.programs
    field.follow([str(root)])
    (tmp_path / "photos").mkdir()
    for typed, sentence in ((tmp_path / "photos", "is no folder of AUTOMATIC1111"), (tmp_path, "page's own folder")):
        updates = field.follow([str(root), str(typed)])
        assert updates[field.field]["value"] == [str(root)]
        assert sentence in updates[page.model.message]["value"]
    assert [program.name for program in workspace.programs] == ["Forge"]


def test_a_shared_page_has_no_such_field(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, confined=True)
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    assert not page.model.programs.field.visible
    assert len(page.model.programs.follow([str(tmp_path)])) == 1 and not workspace.programs_file.exists()


def test_a_shared_page_does_not_tell_the_folders_that_were_named_before(tmp_path: Path) -> None:
    root, workspace = build(tmp_path / "ComfyUI", "ComfyUI"), Workspace(tmp_path / "w", confined=True)
    keep_folders(workspace.programs_file, [root])
    page = Page(AppContext(workspace, JobQueue(workspace)))
    blocks = page.build()
    assert workspace.programs[0].root == root, "it is used all the same"
    assert str(root) not in str(page.model.programs.read_again()) + str(blocks.get_config_file())
