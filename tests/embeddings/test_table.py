"""The list of the Embeddings tab."""

from __future__ import annotations

import torch

from tests.conftest import TINY
from tests.embeddings.stored import put
from ti_core.embeddings.table import table_rows
from ti_core.models.vocabulary import vocabulary_norms
from ti_core.workspace import Workspace


def test_a_word_of_zeros_has_one_norm(workspace: Workspace) -> None:
    put(workspace, "zeros.pt", torch.zeros(2, 32))
    assert table_rows(workspace, vocabulary_norms(TINY, workspace))[0][5] == "0"
