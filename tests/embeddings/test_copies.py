"""Copies of an embedding lie where each of seven programs looks, and lose nothing that was there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.embeddings.stored import names, put
from tests.test_other_programs import TREES, build
from ti_core.embeddings.copies import copy_targets, copy_to
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.other_programs import PROGRAMS, keep_folders
from ti_core.workspace import Workspace


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_copy_lies_where_the_program_looks(tmp_path: Path, name: str) -> None:
    workspace, root = Workspace(tmp_path / "work"), build(tmp_path / "it", name)
    keep_folders(workspace.programs_file, [root])
    put(workspace, "anna.pt")
    target = copy_to("anna.pt", name, workspace)
    assert target == root / TREES[name][2] / "anna.pt"
    assert target.read_bytes() == (workspace.embeddings / "anna.pt").read_bytes()


def test_what_was_there_is_kept_and_the_same_is_not_copied_again(tmp_path: Path) -> None:
    workspace, root = Workspace(tmp_path / "work"), build(tmp_path / "it", "ComfyUI")
    keep_folders(workspace.programs_file, [root])
    put(workspace, "anna.pt")
    target = copy_to("anna", "ComfyUI", workspace)
    first = target.read_bytes()
    assert copy_to("anna", "ComfyUI", workspace) == target
    assert [path.name for path in target.parent.iterdir()] == ["anna.pt"]
    put(workspace, "anna.pt", torch.ones(1, 32))
    copy_to("anna", "ComfyUI", workspace)
    assert target.with_name("anna.pt.backup-1").read_bytes() == first != target.read_bytes()


def test_a_card_becomes_a_file_that_all_programs_read(tmp_path: Path) -> None:
    workspace, root = Workspace(tmp_path / "work"), build(tmp_path / "it", "ComfyUI")
    keep_folders(workspace.programs_file, [root])
    card = put(workspace, "anna.png")
    target = copy_to("anna.png", "ComfyUI", workspace)
    assert target.name == "anna.pt" and names(workspace) == ["anna.png"]
    assert torch.equal(*(next(iter(load_embedding(path).vectors.values())) for path in (card, target)))


def test_programs_of_one_name_differ_by_their_folders_and_our_own_home_is_none(tmp_path: Path) -> None:
    home, other, third = (build(tmp_path / name / "it", "Forge") for name in ("a", "b", "c"))
    workspace = Workspace(tmp_path / "work", ui_dirs=(home, other, third))
    assert list(copy_targets(workspace)) == ["Forge", "Forge (it)"]
    assert copy_targets(Workspace(tmp_path)) == {}
    put(workspace, "anna.pt")
    with pytest.raises(UserError, match="No program 'Fooocus' is known"):
        copy_to("anna", "Fooocus", workspace)
    with pytest.raises(UserError, match="is not in embeddings"):
        copy_to("berta", "Forge", workspace)
