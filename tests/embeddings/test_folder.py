"""What the Embeddings tab does with the files of embeddings/, on a tiny checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.conftest import TINY
from ti_core.checkpoints.library import WRITABLE
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import (
    convert,
    find_stored,
    merge_stored,
    named_in,
    nearest_words,
    new_embedding_name,
    rename,
    repair_norm,
    stored_embeddings,
    table_rows,
    vocabulary_norms,
)
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.errors import UserError
from ti_core.models.token_tables import load_token_tables
from ti_core.workspace import Workspace


def put(workspace: Workspace, file: str, rows: torch.Tensor | None = None, name: str = "") -> Path:
    rows = torch.randn(2, 32, generator=torch.Generator().manual_seed(1)) if rows is None else rows
    path = workspace.embeddings / file
    return save_embedding(path, Embedding(name or path.stem, {"clip_l": rows}, 5, "0123456789", "v1-5"))


def names(workspace: Workspace) -> list[str]:
    return sorted(
        path.relative_to(workspace.embeddings).as_posix() for path in workspace.embeddings.rglob("*") if path.is_file()
    )


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
    rows = table_rows(workspace, TINY)
    assert [row[0] for row in rows] == ["anna.pt", "old/berta.pt", "broken.pt", "clara.safetensors", "card.png"]
    assert rows[2][1] == "cannot be read" and "broken.pt" in rows[2][6]
    norm, _ = vocabulary_norms(TINY, workspace)["clip_l"]
    assert rows[0][2:4] == ["2", "5"] and rows[0][5:] == [f"{norm:.3g}", "v1-5"]


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


def test_a_prompt_names_embeddings_by_whole_words_in_any_case(workspace: Workspace) -> None:
    for file in ("anna.pt", "anna-01.pt", "ann.pt", "wide.pt"):
        put(workspace, file, torch.ones(1, 768) if file == "wide.pt" else None)
    put(workspace, "anna.safetensors", torch.zeros(1, 32))
    found = named_in(["a photo of ANNA, wide"], workspace, {"clip_l": 32})
    assert list(found.vectors) == list(found.hashes) == ["anna"]
    assert len(found.vectors["anna"]["clip_l"]) == 2  # the .pt, not the .safetensors of the same name
    assert len(found.left_out) == 1 and found.left_out[0].startswith("'wide' was trained for another model")
    assert list(named_in(["anna-01"], workspace, {"clip_l": 32}).vectors) == [
        "anna-01"
    ]  # the longer name wins, as where it is painted
    put(workspace, "wide-b.pt")
    assert not named_in(["wide-b"], workspace, {"clip_l": 32}).left_out
    assert not named_in(["a photo of Anna"], workspace, {"clip_l": 32}, own="anna").vectors


def test_of_one_name_the_file_that_training_writes_is_used(workspace: Workspace) -> None:
    """Of SDXL that is the .safetensors: a .pt beside it would hold the vectors of before."""
    both = {"clip_l": torch.zeros(1, 32), "clip_g": torch.zeros(1, 48)}
    for suffix, value in ((".pt", 0.0), (".safetensors", 1.0)):
        save_embedding(
            workspace.embeddings / f"wide{suffix}",
            Embedding("wide", {encoder: rows + value for encoder, rows in both.items()}),
        )
        save_embedding(
            workspace.embeddings / f"narrow{suffix}", Embedding("narrow", {"clip_l": torch.full((1, 32), value)})
        )
    found = named_in(["wide"], workspace, {"clip_l": 32, "clip_g": 48})
    assert found.vectors["wide"]["clip_g"].eq(1).all()
    assert named_in(["narrow"], workspace, {"clip_l": 32}).vectors["narrow"]["clip_l"].eq(0).all()


def test_the_nearest_word_of_a_words_own_vector_is_that_word(workspace: Workspace) -> None:
    tokenizer, table = load_token_tables(TINY, workspace)["clip_l"]
    token = tokenizer("smiling", add_special_tokens=False).input_ids[0]
    put(workspace, "anna.pt", torch.stack([5 * table[token], -table[token]]))
    first, second = nearest_words("anna", TINY, workspace, count=4)
    assert first[0][0] == tokenizer.decode([token]).strip() and first[0][1] == pytest.approx(1, abs=1e-4)
    assert len(first) == 4 and [cosine for _, cosine in first] == sorted((cosine for _, cosine in first), reverse=True)
    assert second[0][1] < 0.9
    put(workspace, "wide.pt", torch.ones(1, 768))
    with pytest.raises(UserError, match="'wide' has vectors of 768 numbers, and the words of tiny have 32"):
        nearest_words("wide", TINY, workspace)


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
    assert rename("anna.pt", "../emma", workspace).name == "emma.pt"
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

    monkeypatch.setattr("ti_core.embeddings.formats.save_embedding", full)
    with pytest.raises(UserError, match="full"):
        rename("anna.pt", "emma", workspace)
    assert names(workspace) == ["anna.pt", "anna.pt.optim"]


def test_a_word_of_zeros_has_one_norm(workspace: Workspace) -> None:
    put(workspace, "zeros.pt", torch.zeros(2, 32))
    assert table_rows(workspace, TINY)[0][4] == "0"


def test_rename_keeps_whatever_else_a_file_holds(workspace: Workspace) -> None:
    workspace.embeddings.mkdir(parents=True, exist_ok=True)
    lora = workspace.embeddings / "mylora.safetensors"
    save_file({"lora_unet_x.alpha": torch.ones(2), "bundle_emb.anna.string_to_param.*": torch.ones(1, 32)}, lora)
    before = lora.read_bytes()
    assert rename("mylora.safetensors", "other", workspace).read_bytes() == before
    assert names(workspace) == ["other.safetensors"]


def test_of_two_files_of_one_name_the_readable_one_is_meant_unless_its_path_is_given(workspace: Workspace) -> None:
    good = put(workspace, "anna.safetensors")
    (workspace.embeddings / "anna.pt").write_bytes(b"broken")
    assert find_stored("anna", workspace).path == good
    with pytest.raises(UserError, match=r"anna\.pt"):
        find_stored("anna.pt", workspace)


def test_repair_gives_every_vector_the_norm_of_the_vocabulary(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    norm, width = vocabulary_norms(TINY, workspace)["clip_l"]
    repaired = load_embedding(repair_norm("anna.pt", "anna-repaired", TINY, workspace))
    assert width == 32 and repaired.norms["clip_l"] == pytest.approx([norm, norm], rel=1e-5)
    assert load_embedding(workspace.embeddings / "anna.pt").norms["clip_l"] != repaired.norms["clip_l"]


def test_merge_makes_a_new_embedding_and_says_what_does_not_fit(workspace: Workspace) -> None:
    put(workspace, "anna.pt", torch.zeros(2, 32))
    put(workspace, "berta.safetensors", torch.ones(2, 32))
    files = ["anna.pt", "berta.safetensors"]
    assert load_embedding(merge_stored(files, "concatenate", "", "both", workspace)).count == 4
    mixed = load_embedding(merge_stored(files, "weighted", "0.7, 0.25", "mixed", workspace)).vectors["clip_l"]
    assert torch.allclose(mixed, torch.full((2, 32), 0.25))
    for weights, problem in (("a, b", "Weights are 'a, b'"), ("1", "2 embeddings, but 1 weights")):
        with pytest.raises(UserError, match=problem):
            merge_stored(files, "weighted", weights, "other", workspace)
    with pytest.raises(UserError, match="'both' exists already"):
        merge_stored(files, "average", "", "both", workspace)


def test_what_is_not_there_is_one_clear_sentence(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    with pytest.raises(UserError, match=r"'\.\./x\.pt' is not in embeddings/\. Choose one of: anna\."):
        find_stored("../x.pt", workspace)
    with pytest.raises(UserError, match="No embedding is chosen"):
        find_stored("", workspace)
    with pytest.raises(UserError, match="Name is empty"):
        new_embedding_name(" ", workspace)
