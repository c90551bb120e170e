"""Puts embeddings into a workspace's embeddings/, for the tests of what is done with them."""

from __future__ import annotations

from pathlib import Path

import torch

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.workspace import Workspace


def put(workspace: Workspace, file: str, rows: torch.Tensor | None = None, name: str = "") -> Path:
    """Save two random vectors of width 32, or `rows`, under the file's stem or the given name."""
    rows = torch.randn(2, 32, generator=torch.Generator().manual_seed(1)) if rows is None else rows
    path = workspace.embeddings / file
    return save_embedding(path, Embedding(name or path.stem, {"clip_l": rows}, 5, "0123456789", "v1-5"))


def names(workspace: Workspace) -> list[str]:
    """All files below embeddings/, sorted."""
    return sorted(
        path.relative_to(workspace.embeddings).as_posix() for path in workspace.embeddings.rglob("*") if path.is_file()
    )
