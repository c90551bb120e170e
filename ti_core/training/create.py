"""Makes a new embedding from the words that describe it (the Create embedding tab, reference 3.1)."""

from __future__ import annotations

from pathlib import Path

from ti_core.errors import UserError
from ti_core.settings import CreateSettings
from ti_core.workspace import Workspace, clean_name


def check_create(settings: CreateSettings, workspace: Workspace) -> Path:
    """The file that would be made; raises UserError or SettingsError if it cannot be."""
    settings.check()
    name = clean_name(settings.name)
    path = workspace.embeddings / f"{name}.pt"
    if path.exists() and not settings.overwrite:
        raise UserError(f"An embedding called '{name}' exists already.", "Choose another name, or tick Overwrite Old Embedding.")
    return path


def create_embedding(settings: CreateSettings, workspace: Workspace) -> Path:
    """Write `embeddings/<name>.pt` and return its path. Raises UserError with nothing written.

    torch is imported only once the form is known to be right.
    """
    path = check_create(settings, workspace)
    from ti_core.embeddings.embedding import ENCODER_OF_FIRST_FORMAT, Embedding, initial_rows
    from ti_core.embeddings.pt_file import save_pt
    from ti_core.models.checkpoint import load_token_table

    tokenizer, table = load_token_table(settings.checkpoint, workspace)
    ids = tokenizer(settings.initialization_text, add_special_tokens=False).input_ids if settings.initialization_text.strip() else []
    rows = initial_rows(table[ids[: settings.vectors]], settings.vectors, table.shape[1])
    return save_pt(path, Embedding(path.stem, {ENCODER_OF_FIRST_FORMAT: rows}))
