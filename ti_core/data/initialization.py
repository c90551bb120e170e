"""Which words to begin a new embedding with, read off the captions of its pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ti_core.data.captions import CaptionFiles
from ti_core.errors import UserError
from ti_core.workspace import Workspace

CLASS_WORDS = (
    "woman",
    "man",
    "girl",
    "boy",
    "lady",
    "person",
    "child",
    "baby",
    "couple",
    "face",
    "dog",
    "puppy",
    "cat",
    "kitten",
    "horse",
    "bird",
    "animal",
    "car",
    "motorcycle",
    "bicycle",
    "house",
    "building",
    "toy",
    "doll",
    "robot",
    "statue",
    "painting",
    "drawing",
    "bottle",
    "cup",
    "bag",
    "shoe",
    "dress",
)
SHARE = 0.5
"""A tag that at least half of the captions have belongs to what is on all pictures, not to one scene."""
MOST_TAGS = 2
NO_HINT = "Write one word for what you train, such as woman: it learns faster than from *."
SLIDER_HINT = "Leave * to begin with the words of Slider more."


def suggest_initialization(captions: Sequence[str]) -> list[str]:
    """The commonest class word of the captions, where half of them have it (a cup in one is not the person), then
    their most frequent tags, such as `woman` and `red hair`; empty where nothing stands out.
    """
    words = Counter(
        word for text in captions for word in set(re.findall(r"[a-z]+", text.lower())) if word in CLASS_WORDS
    )
    tags = Counter(tag for text in captions for tag in {piece.strip().lower() for piece in text.split(",")} if tag)
    often = [
        tag
        for tag, count in tags.most_common()
        if count >= max(2, SHARE * len(captions)) and not set(tag.split()) & set(CLASS_WORDS)
    ]
    of_all = [word for word, count in words.most_common(1) if count >= SHARE * len(captions)]
    return [*of_all, *often[:MOST_TAGS]]


def initialization_hint(folders: Sequence[str], workspace: Workspace) -> str:
    """A sentence for the Create tab, from the first of these folders that has captions."""
    for folder in folders:
        try:
            files = CaptionFiles.of(workspace.folder(folder, "Folder"))
        except UserError:
            continue
        captions = [text for path in files.pictures if (text := _readable_caption(files, path))]
        if captions:
            found = suggest_initialization(captions)
            if not found:
                return NO_HINT
            more = f" With more vectors: {', '.join(found)}." if len(found) > 1 else ""
            return f"The captions in {folder} suggest the Initialization text: {found[0]}.{more}"
    return NO_HINT


def _readable_caption(files: CaptionFiles, picture: Path) -> str | None:
    """One file that cannot be read is no reason to leave out the others."""
    try:
        return files.read(picture)
    except UserError:
        return None
