"""Which embeddings a prompt names."""

from __future__ import annotations

import torch

from tests.embeddings.stored import put
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.embeddings.named_in import named_in
from ti_core.workspace import Workspace


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
