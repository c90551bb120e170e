"""Embeddings beside the words of a tiny checkpoint's own vocabulary."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import TINY
from tests.embeddings.stored import put
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.models.token_tables import load_token_tables
from ti_core.models.vocabulary import nearest_words, repair_norm, vocabulary_norms
from ti_core.workspace import Workspace


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


def test_repair_gives_every_vector_the_norm_of_the_vocabulary(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    norm, width = vocabulary_norms(TINY, workspace)["clip_l"]
    repaired = load_embedding(repair_norm("anna.pt", "anna-repaired", TINY, workspace))
    assert width == 32 and repaired.norms["clip_l"] == pytest.approx([norm, norm], rel=1e-5)
    assert load_embedding(workspace.embeddings / "anna.pt").norms["clip_l"] != repaired.norms["clip_l"]
