"""Puts a step's copy out of a run into embeddings/; the former file stays beside it as a numbered backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from ti_core.embeddings.folder import optimizer_file
from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.runs.folder import COPIES, embedding_name, saved_steps
from ti_core.workspace import Workspace


def use_step(run: Path, step: int, workspace: Workspace) -> Path:
    """Copy that step to embeddings/<name>.pt (.safetensors for SDXL), with its optimizer's state, so that further
    training continues from there.

    What was there is kept as <name>.pt.backup-1, -2, ... with its state. Raises UserError, with nothing changed, if
    there is no copy of that step.
    """
    # In embeddings/ itself an upload called <name>-10 would be taken for step 10 of a run.
    if (run / COPIES).resolve() == workspace.embeddings.resolve():
        raise UserError(
            f"'{workspace.shown(run)}' is no run.", "Choose the folder of a training, inside the log directory."
        )
    copies = saved_steps(run)
    if step not in copies:
        there = ", ".join(map(str, copies)) or "none"
        raise UserError(f"{workspace.shown(run)} holds no copy of step {step}.", f"Choose one of its steps: {there}.")
    copy = copies[step]
    # The former file is copied away before anything is written over it.
    target = place_of(copy, workspace)
    if target.exists():
        _back_up(target)
    state, new_state = optimizer_file(target), optimizer_file(copy)
    save_atomically(target, lambda part: shutil.copyfile(copy, part))
    if new_state.is_file():
        save_atomically(state, lambda part: shutil.copyfile(new_state, part))
    else:
        state.unlink(missing_ok=True)  # it belongs to the former vectors, and lies beside their backup
    return target


def place_of(copy: Path, workspace: Workspace) -> Path:
    """Where a run's copy is put to use: embeddings/<name>.pt, or .safetensors."""
    return workspace.embeddings / f"{embedding_name(copy)}{copy.suffix}"


def _back_up(target: Path) -> Path:
    """Copy the file and its optimizer's state to the first free number."""
    number = 1
    while True:
        backup = target.with_name(f"{target.name}.backup-{number}")
        try:
            with backup.open("xb"):  # created exclusively, so that no other process gets the same number
                break
        except FileExistsError:
            number += 1
    save_atomically(backup, lambda part: shutil.copyfile(target, part))
    if optimizer_file(target).is_file():
        save_atomically(optimizer_file(backup), lambda part: shutil.copyfile(optimizer_file(target), part))
    return backup
