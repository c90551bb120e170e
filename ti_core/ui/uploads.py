"""What people drop on the page is looked at first, and then copied into the workspace under safe names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ti_core.data.images import pixels_of
from ti_core.embedding_files import PICTURES, SUFFIXES, new_embedding_name
from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.workspace import Workspace, clean_name

MAX_PICTURE_PIXELS = 100_000_000
MAX_CAPTION_BYTES = 64 * 2**10
PICKLE_BEARING = (".pt", ".bin")
TAKEN = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".txt"}


def keep_photos(files: Sequence[Path], name: str, workspace: Workspace) -> tuple[Path, list[str]]:
    """Copy photos and captions to uploads/<name>; returns the folder and the names of files that are neither, or too large.

    A second drop gets a folder with a number, so that two sets of photos never mix. Raises UserError when nothing is left.
    """
    wanted = [file for file in files if _is_photo_or_caption(file)]
    skipped = [file.name for file in files if file not in wanted]
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


def keep_embedding(file: Path, workspace: Workspace, allow_pickle: bool) -> Path:
    """Put a dropped embedding into embeddings/ if it can be read. Raises UserError; a name that exists is never replaced."""
    from ti_core.embeddings.formats import container_of, load_embedding

    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"'{file.name}' is no embedding file.", f"Choose one of: {', '.join(SUFFIXES)}.")
    if not allow_pickle and (suffix in PICKLE_BEARING or container_of(file) == "torch"):  # whatever it is called
        raise UserError(
            f"'{file.name}' is of a format that can hold code, which this shared page does not take.",
            "Convert it to .safetensors, or ask the owner to start with --allow-pickle.",
        )
    found = load_embedding(file)
    name = new_embedding_name(found.name if suffix in PICTURES and found.name else file.stem, workspace)
    return save_atomically(workspace.embeddings / f"{name}{suffix}", partial(shutil.copyfile, file))


def _is_photo_or_caption(file: Path) -> bool:
    """By the beginning of the file, not only by its name: a bomb says its size there, and nothing is decoded."""
    if file.suffix.lower() not in TAKEN:
        return False
    if file.suffix.lower() == ".txt":
        return file.is_file() and file.stat().st_size <= MAX_CAPTION_BYTES
    return 0 < pixels_of(file) <= MAX_PICTURE_PIXELS


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
