"""Presets of one's own: forms in the workspace's folder presets/, one JSON file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.files import reason, save_text
from ti_core.settings import TrainSettings
from ti_core.settings.form_file import form_text, parse_form, read_form
from ti_core.settings.option import KeptSettings
from ti_core.training.kind_presets import ALL_PRESETS
from ti_core.workspace import Workspace, clean_name

FORM = "train"
STAYS = ("embedding", "dataset_directory", "checkpoint", "vae", "prediction_type")
"""What a preset leaves as it is: what is trained, on what, and with which files."""


def folder_of(workspace: Workspace) -> Path:
    """Where the presets lie."""
    return workspace.root / "presets"


def list_own(workspace: Workspace) -> list[str]:
    """Names of the presets, in the order of the alphabet."""
    return sorted((path.stem for path in folder_of(workspace).glob("*.json")), key=str.lower)


def save_own(name: str, settings: TrainSettings, workspace: Workspace, chosen: str = "") -> str:
    """Write a preset, and give its name without the signs that no file can have. Only the one that is chosen is
    replaced, because there is no way back. Raises UserError.
    """
    if not name.strip():
        raise UserError("Preset name is empty.", "Type a name, such as my recipe.")
    cleaned = clean_name(name.strip())
    if {cleaned.lower(), name.strip().lower()} & {each.lower() for each in ALL_PRESETS}:
        raise UserError(f"'{cleaned}' is a preset of the program.", "Type another name.")
    taken = next((each for each in list_own(workspace) if each.lower() == cleaned.lower()), "")
    if taken and taken != chosen:
        raise UserError(
            f"A preset called '{taken}' exists already.",
            "Choose it under Preset first to replace it, or type another name.",
        )
    save_text(folder_of(workspace) / f"{taken or cleaned}.json", form_text(FORM, settings))
    return taken or cleaned


def load_own(name: str, workspace: Workspace) -> tuple[KeptSettings[TrainSettings], dict[str, Any]]:
    """A preset as `parse_form` gives it, without what stays as it is. Raises UserError."""
    path = _path(name, workspace)
    try:
        kept, given = parse_form(read_form(path), FORM, TrainSettings)
    except UserError as error:
        raise UserError(f"Preset '{name}' cannot be used: {error}") from error
    return kept, {key: value for key, value in given.items() if key not in STAYS}


def delete_own(name: str, workspace: Workspace) -> None:
    """Raises UserError if there is none of that name."""
    try:
        _path(name, workspace).unlink()
    except OSError as error:
        raise UserError(f"Preset '{name}' could not be deleted: {reason(error)}.") from error


def _path(name: str, workspace: Workspace) -> Path:
    """Only what the list shows: a name from outside leads nowhere else."""
    if name not in list_own(workspace):
        raise UserError(f"There is no preset of your own called '{name[:60]}'.", "Choose one in the list.")
    return folder_of(workspace) / f"{name}.json"
