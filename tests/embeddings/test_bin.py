"""Deleted embeddings can be put back, and no name leads out of the workspace."""

from __future__ import annotations

import pytest
import torch

from tests.embeddings.stored import put
from ti_core.embeddings.bin import BIN, delete_embedding, deleted_embeddings, restore_embedding
from ti_core.embeddings.folder import optimizer_file
from ti_core.errors import UserError
from ti_core.workspace import Workspace


def test_a_deleted_embedding_comes_back_with_its_optimizer_state(workspace: Workspace) -> None:
    file = put(workspace, "people/anna.pt", torch.ones(1, 32))
    content = file.read_bytes()
    optimizer_file(file).write_bytes(b"state")
    place = delete_embedding("people/anna.pt", workspace)
    assert not file.exists() and not optimizer_file(file).exists()
    assert place.read_bytes() == content and place.is_relative_to(workspace.root / BIN)
    (deleted,) = deleted_embeddings(workspace)
    assert deleted.title.startswith("people/anna.pt, deleted 20")
    assert restore_embedding(deleted.title, workspace) == file
    assert file.read_bytes() == content and optimizer_file(file).read_bytes() == b"state"
    assert deleted_embeddings(workspace) == [] and not any((workspace.root / BIN).iterdir())


def test_two_deletions_of_one_name_are_both_kept_and_a_taken_name_is_not_replaced(workspace: Workspace) -> None:
    for value in (1.0, 2.0, 3.0):
        file = put(workspace, "anna.pt", torch.full((1, 32), value))
        if value < 3:
            delete_embedding("anna.pt", workspace)
    content = file.read_bytes()
    first, second = deleted_embeddings(workspace)
    assert first.title != second.title
    with pytest.raises(UserError, match="'anna' exists already"):
        restore_embedding(first.title, workspace)
    assert file.read_bytes() == content and len(deleted_embeddings(workspace)) == 2


def test_one_that_cannot_be_read_can_be_deleted(workspace: Workspace) -> None:
    workspace.embeddings.mkdir(parents=True, exist_ok=True)
    (workspace.embeddings / "broken.pt").write_bytes(b"no embedding")
    assert delete_embedding("broken.pt", workspace).is_file()


@pytest.mark.parametrize("name", ["", "../secret.pt", "/etc/passwd", "anna", "anna.pt\0", "none.pt"])
def test_only_what_is_in_the_lists_is_moved(workspace: Workspace, name: str) -> None:
    put(workspace, "anna.pt", torch.ones(1, 32))
    (workspace.root / "secret.pt").write_bytes(b"x")
    with pytest.raises(UserError):
        delete_embedding(name, workspace)
    with pytest.raises(UserError):
        restore_embedding(name, workspace)
    assert (workspace.root / "secret.pt").is_file() and (workspace.embeddings / "anna.pt").is_file()
