"""Copies of an embedding in the folders where other programs look for theirs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from ti_core.embeddings.folder import find_stored
from ti_core.embeddings.formats import FORMAT_OF_SUFFIX, save_embedding, suffix_of_training
from ti_core.errors import UserError
from ti_core.files import first_free, save_atomically
from ti_core.other_programs import OtherProgram
from ti_core.workspace import Workspace


def copy_targets(workspace: Workspace) -> dict[str, OtherProgram]:
    """Title -> each known program that a copy can go to: all but the one that our embeddings lie in anyway."""
    home, found = workspace.embeddings.resolve(), {}
    for program in workspace.programs:
        if program.embeddings[0].resolve() != home:
            title = program.name if program.name not in found else f"{program.name} ({program.root.name})"
            found[title if title not in found else f"{program.name} ({program.root})"] = program
    return found


def copy_to(file: str, title: str, workspace: Workspace) -> Path:
    """Copy an embedding, by its path below embeddings/ or its name, to where that program looks. A card goes as
    .pt or .safetensors, which all programs read. What was there under its name stays as <name>.backup-1, -2, ...

    Raises UserError.
    """
    targets = copy_targets(workspace)
    if title not in targets:
        raise UserError(f"No program '{title[:60]}' is known.", f"Choose one of: {', '.join(targets) or 'none yet'}.")
    stored, folder = find_stored(file, workspace), targets[title].embeddings[0]
    is_picture = FORMAT_OF_SUFFIX[stored.path.suffix.lower()].is_picture
    suffix = suffix_of_training(tuple(stored.content.vectors)) if is_picture else stored.path.suffix
    target = folder / f"{stored.name}{suffix}"
    if target.is_file():
        if not is_picture and target.read_bytes() == stored.path.read_bytes():
            return target
        backup = first_free(lambda n: target.with_name(f"{target.name}.backup-{n}"), Path.exists)
        save_atomically(backup, partial(shutil.copyfile, target))
    if is_picture:
        return save_embedding(target, replace(stored.content, name=stored.name))
    return save_atomically(target, partial(shutil.copyfile, stored.path))
