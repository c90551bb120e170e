"""Reading and changing the captions of a whole dataset. Every file is replaced as a whole or left as it is."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ti_core.data.captions import read_caption, words_of_file_name
from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.files import save_text
from ti_core.workspace import Workspace


@dataclass(frozen=True)
class Captioned:
    """A picture and the words it is trained with; `problem` says why its .txt cannot be read, and then it is not changed."""

    picture: Path
    caption: str
    problem: str = ""


def read_captions(folder: Path) -> list[Captioned]:
    """The pictures of the folder by name. One without a .txt has the words of its file name, as in training. Raises UserError for no pictures."""
    found = []
    for picture in find_images(folder):
        try:
            caption = read_caption(picture)
            found.append(Captioned(picture, words_of_file_name(picture.stem) if caption is None else caption))
        except UserError as error:
            found.append(Captioned(picture, "", str(error)))
    if not found:
        raise UserError(f"Dataset folder '{folder.name}' holds no pictures.", "Choose another folder, or preprocess your photos first.")
    return found


def find_captioned(folder: Path, name: str) -> Captioned:
    """The picture called `name` in the folder. Raises UserError, so that no name leads out of the folder."""
    for captioned in read_captions(folder):
        if captioned.picture.name == name:
            return captioned
    raise UserError(f"Picture '{name}' is not in '{folder.name}' any more." if name else "No picture is chosen.", "Choose one in the gallery.")


def save_caption(folder: Path, name: str, text: str) -> Path:
    """Write the .txt beside the picture called `name`: one line, UTF-8. Raises UserError for one that cannot be read: its words would be lost."""
    captioned = find_captioned(folder, name)
    if captioned.problem:
        raise UserError(captioned.problem)
    return save_text(captioned.picture.with_suffix(".txt"), " ".join(text.split()) + "\n")


def change_captions(folder: Path, change: Callable[[str], str]) -> tuple[int, list[str]]:
    """Give every caption through `change` and save those that differ: their number, and a sentence for each that cannot be read."""
    all_captions = read_captions(folder)
    changed = {c.picture.with_suffix(".txt"): new for c in all_captions if not c.problem and (new := change(c.caption)) != c.caption}
    for path, text in changed.items():
        save_text(path, text + "\n")
    return len(changed), [c.problem for c in all_captions if c.problem]


# ---- one caption


def split_tags(caption: str) -> list[str]:
    """What stands between the commas, trimmed; empty pieces are none."""
    return [tag for piece in caption.split(",") if (tag := piece.strip())]


def replacing(find: str, replacement: str) -> Callable[[str], str]:
    """A change that puts one text for another, capital letters or not. Raises UserError if nothing is looked for."""
    if not find:
        raise UserError("Find is empty.", "Type the text to look for.")
    pattern = re.compile(re.escape(find), re.IGNORECASE)
    return lambda caption: _tidy(pattern.sub(lambda _: replacement, caption)) if pattern.search(caption) else caption


def adding(tag: str, at_front: bool) -> Callable[[str], str]:
    """A change that adds a tag (or several, with commas) to every caption that has it not yet. Raises UserError for an empty tag."""
    return partial(_with_tags, new=_typed_tags(tag), at_front=at_front)


def removing(tag: str) -> Callable[[str], str]:
    """A change that takes a tag (or several, with commas) out of every caption, in any case. Raises UserError for an empty tag."""
    return partial(_without_tags, unwanted={t.lower() for t in _typed_tags(tag)})


def _with_tags(caption: str, new: Sequence[str], at_front: bool) -> str:
    tags = split_tags(caption)
    there = {tag.lower() for tag in tags}
    missing = [tag for tag in new if tag.lower() not in there]
    return ", ".join([*missing, *tags] if at_front else [*tags, *missing]) if missing else caption


def _without_tags(caption: str, unwanted: set[str]) -> str:
    tags = split_tags(caption)
    kept = [tag for tag in tags if tag.lower() not in unwanted]
    return caption if len(kept) == len(tags) else ", ".join(kept)


def _typed_tags(text: str) -> list[str]:
    if not (tags := list(dict.fromkeys(split_tags(text)))):
        raise UserError("Tag is empty.", "Type a tag, such as glasses; several with commas between them.")
    return tags


def _tidy(caption: str) -> str:
    """No double spaces, and no comma without a tag before it, where a text was replaced by nothing."""
    return ", ".join(split_tags(re.sub(r"\s+", " ", caption)))


# ---- all captions


def count_tags(captions: Iterable[str]) -> list[tuple[str, int]]:
    """How many captions hold each tag, most frequent first; capital letters make no difference, the first spelling is shown."""
    spelling: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for caption in captions:
        for key, tag in {tag.lower(): tag for tag in reversed(split_tags(caption))}.items():
            spelling.setdefault(key, tag)
            counts[key] += 1
    return sorted(((spelling[key], count) for key, count in counts.items()), key=lambda row: (-row[1], row[0].lower()))


def dataset_folders(workspace: Workspace) -> list[str]:
    """The folders of datasets/ as they are typed, the one that was changed last first."""
    if not workspace.datasets.is_dir():
        return []
    folders = [Path(entry.path) for entry in os.scandir(workspace.datasets) if entry.is_dir() and not entry.name.startswith(".")]
    return [workspace.shown(folder) for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)]
