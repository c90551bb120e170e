"""Which embeddings there are in embeddings/, on a tiny checkpoint."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from tests.embeddings.stored import put
from ti_core.embeddings.actions import rename
from ti_core.embeddings.folder import find_stored, stored_embeddings
from ti_core.embeddings.names import new_embedding_name
from ti_core.embeddings.table import table_rows
from ti_core.errors import UserError
from ti_core.models.token_tables import load_token_tables
from ti_core.models.vocabulary import vocabulary_norms
from ti_core.workspace import Workspace


def test_every_format_is_listed_and_ordinary_pictures_are_not(workspace: Workspace) -> None:
    for file in ("clara.safetensors", "anna.pt", "old/berta.pt"):
        put(workspace, file)
    put(workspace, "card.png", name="dora")
    (workspace.embeddings / "broken.pt").write_bytes(b"PK\x03\x04 nothing")
    (workspace.embeddings / "empty.pt").touch()
    Image.new("RGB", (64, 64)).save(workspace.embeddings / "photo.png")
    listed = stored_embeddings(workspace)
    assert [stored.name for stored in listed] == ["anna", "berta", "broken", "clara", "dora"]
    assert [bool(stored.problem) for stored in listed] == [False, False, True, False, False]
    rows = table_rows(workspace, vocabulary_norms(TINY, workspace))
    assert [row[0] for row in rows] == ["anna.pt", "old/berta.pt", "broken.pt", "clara.safetensors", "card.png"]
    assert rows[2][2] == "cannot be read" and "broken.pt" in rows[2][7]
    norm, _ = vocabulary_norms(TINY, workspace)["clip_l"]
    assert rows[0][3:5] == ["2", "5"] and rows[0][6:] == [f"{norm:.3g}", "v1-5"]


def test_linked_folders_are_read_and_a1111s_thumbnails_are_not(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    put(workspace, "anna.pt").rename(elsewhere / "anna.pt")
    (workspace.embeddings / "shared").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(elsewhere)
    put(workspace, "berta.preview.png", name="berta")
    put(workspace, "clara.preview.pt")  # no picture: an embedding of that name
    assert [stored.path.relative_to(workspace.embeddings).as_posix() for stored in stored_embeddings(workspace)] == [
        "shared/anna.pt",
        "clara.preview.pt",
    ]


def test_a_changed_file_is_read_again(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    assert stored_embeddings(workspace)[0].embedding.count == 2  # type: ignore[union-attr]
    put(workspace, "anna.pt", torch.randn(3, 32))
    assert stored_embeddings(workspace)[0].embedding.count == 3  # type: ignore[union-attr]


def test_of_two_files_of_one_name_the_readable_one_is_meant_unless_its_path_is_given(workspace: Workspace) -> None:
    good = put(workspace, "anna.safetensors")
    (workspace.embeddings / "anna.pt").write_bytes(b"broken")
    assert find_stored("anna", workspace).path == good
    with pytest.raises(UserError, match=r"anna\.pt"):
        find_stored("anna.pt", workspace)


def test_what_is_not_there_is_one_clear_sentence(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    with pytest.raises(UserError, match=r"'\.\./x\.pt' is not in embeddings/\. Choose one of: anna\."):
        find_stored("../x.pt", workspace)
    with pytest.raises(UserError, match="No embedding is chosen"):
        find_stored("", workspace)
    with pytest.raises(UserError, match="Name is empty"):
        new_embedding_name(" ", workspace)
