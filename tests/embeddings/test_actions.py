"""What the Embeddings tab does with the files of embeddings/."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.embeddings.stored import names, put
from ti_core.embeddings.actions import convert, merge_stored, rename, weights_of
from ti_core.embeddings.formats import WRITABLE, load_embedding, save_embedding
from ti_core.errors import UserError
from ti_core.workspace import Workspace


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_converted_copy_lies_outside_and_keeps_the_vectors(workspace: Workspace, suffix: str) -> None:
    rows = load_embedding(put(workspace, "anna.pt")).vectors["clip_l"]
    path = convert("anna.pt", suffix, workspace)
    assert path == workspace.root / "outputs" / "embeddings" / f"anna{suffix}"
    assert torch.allclose(load_embedding(path).vectors["clip_l"], rows, atol=1e-3)
    assert names(workspace) == ["anna.pt"]


def test_rename_takes_the_optimizer_state_along_and_never_overwrites(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    put(workspace, "Berta.safetensors")
    put(workspace, "card.png", name="dora")
    (workspace.embeddings / "anna.pt.optim").write_bytes(b"state")
    with pytest.raises(UserError, match="'berta' exists already"):
        rename("anna.pt", "berta", workspace)
    with pytest.raises(UserError, match="is a picture that shows the name 'dora'"):
        rename("card.png", "emma", workspace)
    with pytest.raises(UserError, match=r"holds /, which a name of a file cannot have\. Write emma"):
        rename("anna.pt", "../emma", workspace)
    assert rename("anna.pt", " emma ", workspace).name == "emma.pt"
    assert names(workspace) == ["Berta.safetensors", "card.png", "emma.pt", "emma.pt.optim"]
    renamed = load_embedding(workspace.embeddings / "emma.pt")
    assert (renamed.step, renamed.checkpoint_hash, renamed.checkpoint_name) == (5, "0123456789", "v1-5")


def test_names_are_taken_by_embeddings_and_not_by_thumbnails(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    put(workspace, "holiday.png", name="beth")
    Image.new("RGB", (64, 64)).save(workspace.embeddings / "clara.png")
    with pytest.raises(UserError, match="'Beth' exists already"):
        rename("anna.pt", "Beth", workspace)
    assert rename("anna.pt", "clara", workspace).name == "clara.pt"


def test_a_rename_that_fails_leaves_the_optimizers_state_where_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(workspace, "anna.pt")
    (workspace.embeddings / "anna.pt.optim").write_bytes(b"state")

    def full(*given: object) -> None:
        raise UserError("The disk is full.")

    monkeypatch.setattr("ti_core.embeddings.actions.save_embedding", full)
    with pytest.raises(UserError, match="full"):
        rename("anna.pt", "emma", workspace)
    assert names(workspace) == ["anna.pt", "anna.pt.optim"]


def test_rename_keeps_whatever_else_a_file_holds(workspace: Workspace) -> None:
    workspace.embeddings.mkdir(parents=True, exist_ok=True)
    lora = workspace.embeddings / "mylora.safetensors"
    save_file({"lora_unet_x.alpha": torch.ones(2), "bundle_emb.anna.string_to_param.*": torch.ones(1, 32)}, lora)
    before = lora.read_bytes()
    assert rename("mylora.safetensors", "other", workspace).read_bytes() == before
    assert names(workspace) == ["other.safetensors"]


def test_merge_makes_a_new_embedding_and_says_what_does_not_fit(workspace: Workspace) -> None:
    put(workspace, "anna.pt", torch.zeros(2, 32))
    put(workspace, "berta.safetensors", torch.ones(2, 32))
    files = ["anna.pt", "berta.safetensors"]
    assert load_embedding(merge_stored(files, "concatenate", "", "both", workspace)).count == 4
    mixed = load_embedding(merge_stored(files, "weighted", "0.7, 0.25", "mixed", workspace)).vectors["clip_l"]
    assert torch.allclose(mixed, torch.full((2, 32), 0.25))
    for weights in ("0,7; 0,25", "0.7; 0.25", "0,7 0,25", "0,7, 0,25"):
        assert weights_of(files, "weighted", weights) == [0.7, 0.25]
    for weights, problem in (("a, b", "Weights are 'a, b'"), ("1", "2 embeddings, but 1 weights")):
        with pytest.raises(UserError, match=problem):
            merge_stored(files, "weighted", weights, "other", workspace)
    with pytest.raises(UserError, match="'both' exists already"):
        merge_stored(files, "average", "", "both", workspace)
