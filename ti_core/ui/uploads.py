"""Photos dropped on the page are copied into the workspace, under safe names, each drop into a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.workspace import Workspace, clean_name

TAKEN = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".txt"}


def keep_photos(files: Sequence[Path], name: str, workspace: Workspace) -> tuple[Path, list[str]]:
    """Copy photos and captions to uploads/<name>; returns the folder and the names of files that are neither.

    A second drop gets a folder with a number, so that two sets of photos never mix. Raises UserError when nothing is left.
    """
    wanted = [file for file in files if file.suffix.lower() in TAKEN]
    skipped = [file.name for file in files if file.suffix.lower() not in TAKEN]
    if not wanted:
        raise UserError(f"None of the dropped files is a photo: {', '.join(skipped)}.", "Drop JPG, PNG or WebP files.")
    folder = _new_folder(workspace.root / "uploads", clean_name(name) if name.strip(" .") else "photos")
    for file in wanted:
        target = folder / (_clean_stem(file.stem) + file.suffix.lower())
        number = 1
        while target.exists():
            number += 1
            target = target.with_stem(f"{_clean_stem(file.stem)}-{number}")
        save_atomically(target, partial(shutil.copyfile, file))
    return folder, skipped


def _clean_stem(stem: str) -> str:
    try:
        return clean_name(stem)
    except UserError:
        return "photo"


def _new_folder(parent: Path, name: str) -> Path:
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder
