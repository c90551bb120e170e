"""Names of embeddings: what may be typed, what is there already, and what is kept for other files."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection

from ti_core.embeddings.folder import find_embedding, find_embeddings, stored_embeddings
from ti_core.errors import UserError
from ti_core.typed_names import typed_name
from ti_core.workspace import Workspace, clean_name

_RESERVED = re.compile(r"(state|events|settings-.*|textual_inversion_(loss|evaluation))", re.IGNORECASE)
"""Stems of the files that a run's folder gives a meaning to (runs/folder.py)."""


def typed_embedding_name(text: str, what: str = "Name") -> str:
    """The name as it was typed (`typed_name`). Raises UserError for one that cannot be used, also if the file could be
    taken for a part of a run. `what` is the field's label.
    """
    name = typed_name(text, what)
    if _RESERVED.fullmatch(name):
        raise UserError(f"{what} '{name}' is kept for the files of a training.", "Choose another one, such as anna-01.")
    return name


def known_name(typed: str, workspace: Workspace) -> str:
    """The name of an embedding that is there, whatever program gave it; anything else made safe. Raises UserError
    if nothing is left.
    """
    return existing_name(typed, workspace) or clean_name(typed)


def existing_name(typed: str, workspace: Workspace) -> str:
    """The name of an embedding that can be trained, as it was typed or without spaces around it; empty if there is
    none.
    """
    return next((name for name in (typed, typed.strip()) if name and find_embedding(name, workspace)), "")


def new_embedding_name(text: str, workspace: Workspace, what: str = "Name") -> str:
    """The typed name. Raises UserError if it cannot be used, or if an embedding of that name exists, in any case and
    format.
    """
    name = typed_embedding_name(text, what)
    if name.lower() in {stored.name.lower() for stored in stored_embeddings(workspace)}:
        raise UserError(f"An embedding called '{name}' exists already.", "Choose another name.")
    return name


def describe_new_name(text: str, workspace: Workspace, overwrite: bool = False) -> str:
    """What becomes of a name while it is typed, or why it cannot be used; empty for none. It opens no file."""
    if not text.strip():
        return ""
    try:
        name = typed_embedding_name(text)
    except UserError as error:
        return str(error)
    alike = next((other for other in find_embeddings(workspace) if other.lower() == name.lower()), "")
    if alike and not (overwrite and alike == name):
        return f"There is an embedding called '{alike}' already."
    replaces = ", in the place of the old one" if alike else ""
    return f"It will be saved as {name}{replaces}. Write {name} in prompts."


def free_name(name: str, workspace: Workspace, taken: Collection[str] = ()) -> str:
    """The name, or with the first number from 2 on that no embedding, dataset folder or name of `taken` has."""
    used = {other.lower() for other in (*find_embeddings(workspace), *taken)}
    numbers = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(free for free in numbers if free.lower() not in used and not (workspace.datasets / free).exists())


def similar_name(typed: str, names: Collection[str]) -> str:
    """The one of `names` that is most like what was typed; empty if none is."""
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(typed.strip().casefold(), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else ""
