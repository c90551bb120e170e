"""What a word is for, as its file says it, without torch."""

from __future__ import annotations

from ti_core.checkpoints.tensor_headers import read_header
from ti_core.embeddings.embedding import KIND_KEY
from ti_core.embeddings.folder import find_embedding
from ti_core.errors import UserError
from ti_core.settings.word_kind import ORDINARY_WORD, WordKind
from ti_core.workspace import Workspace


def kind_of_file(name: str, workspace: Workspace) -> WordKind:
    """Of the embedding of that name; an ordinary word where there is none, or where its file is a picture or cannot be
    read.
    """
    path = find_embedding(name, workspace) if name.strip() else None
    try:
        return WordKind.parse(read_header(path).metadata.get(KIND_KEY)) if path else ORDINARY_WORD
    except UserError:
        return ORDINARY_WORD
