"""Names of embeddings: what may be typed, what is there already, and what is kept for other files."""

from __future__ import annotations

import re

from ti_core.embeddings.folder import find_embeddings, stored_embeddings
from ti_core.errors import UserError
from ti_core.workspace import Workspace, clean_name

_RESERVED = re.compile(r"(state|events|settings-.*|textual_inversion_(loss|evaluation))", re.IGNORECASE)
"""Stems of the files that a run's folder gives a meaning to (runs/folder.py)."""


def clean_embedding_name(text: str) -> str:
    """The typed name made safe as a file name, as `clean_name` does. Raises UserError if nothing is left, or if the
    file could be taken for a part of a run.
    """
    name = clean_name(text)
    if _RESERVED.fullmatch(name):
        raise UserError(f"Name '{name}' is kept for the files of a training.", "Choose another one, such as anna-01.")
    return name


def known_name(typed: str, workspace: Workspace) -> str:
    """The name of an embedding that is there, whatever program gave it; anything else made safe. Raises UserError
    if nothing is left.
    """
    return typed if typed in find_embeddings(workspace) else clean_name(typed)


def new_embedding_name(text: str, workspace: Workspace) -> str:
    """The typed name, made safe. Raises UserError if an embedding of that name exists, in any case and format."""
    name = clean_embedding_name(text)
    if name.lower() in {stored.name.lower() for stored in stored_embeddings(workspace)}:
        raise UserError(f"An embedding called '{name}' exists already.", "Choose another name.")
    return name
