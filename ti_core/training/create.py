"""Makes a new embedding from the words that describe it (the Create embedding tab; A1111 1.10.1,
textual_inversion.py: create_embedding).
"""

from __future__ import annotations

from pathlib import Path

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.embeddings.folder import find_embeddings, is_embedding, optimizer_file
from ti_core.embeddings.formats import TRAINABLE, suffix_of_training
from ti_core.embeddings.names import typed_embedding_name
from ti_core.errors import UserError, about
from ti_core.models.families import FAMILIES
from ti_core.settings import CreateSettings
from ti_core.workspace import Workspace


def check_create(settings: CreateSettings, workspace: Workspace) -> Path:
    """The file that would be made; raises UserError or SettingsError if it cannot be."""
    settings.check()
    with about("name"):
        name = typed_embedding_name(settings.name)
        check_is_new(name, workspace, settings.overwrite)
    with about("checkpoint"):
        family = FAMILIES[find_usable_checkpoint(settings.checkpoint, workspace).facts.family]
    return workspace.embeddings / f"{name}{suffix_of_training(family.encoders)}"


def check_is_new(name: str, workspace: Workspace, overwrite: bool) -> None:
    """Raises UserError if there is such an embedding, in any case, unless it is to be overwritten."""
    alike = [other for other in find_embeddings(workspace) if other.lower() == name.lower()]
    there = name if name in alike else next(iter(alike), None)
    if there is not None and not (there == name and overwrite):
        or_else = (
            ", or tick Overwrite Old Embedding"
            if there == name
            else "; prompts make no difference between capital and small letters"
        )
        raise UserError(f"An embedding called '{there}' exists already.", f"Choose another name{or_else}.")


def create_embedding(settings: CreateSettings, workspace: Workspace) -> Path:
    """Write `embeddings/<name>.pt` (SDXL: `.safetensors`) and return its path. Raises UserError with nothing
    written.

    Each text encoder gets the rows of its own token table. An overwritten embedding goes in whatever format it was,
    and its optimizer's state with it. torch is imported only once the form is known to be right.
    """
    path = check_create(settings, workspace)
    from ti_core.embeddings.embedding import Embedding, initial_rows
    from ti_core.embeddings.formats import save_embedding
    from ti_core.models.token_tables import load_token_tables

    vectors, text = {}, settings.initial_text
    for encoder, (tokenizer, table) in load_token_tables(settings.checkpoint, workspace).items():
        ids = tokenizer(text, add_special_tokens=False).input_ids if text.strip() else []
        # A1111 cuts the text for CLIP-L, and not for the text encoder of Stable Diffusion 2
        read = ids if encoder == "clip_h" else ids[: settings.vectors]
        vectors[encoder] = initial_rows(table[read], settings.vectors, table.shape[1])
    save_embedding(path, Embedding(path.stem, vectors, kind=settings.word_kind))
    for file in (path.with_suffix(suffix) for suffix in TRAINABLE):
        optimizer_file(file).unlink(missing_ok=True)
        if file != path and is_embedding(file):
            file.unlink()
    return path
