"""Reading and changing the captions of a whole dataset. Every file is replaced as a whole or left as it is;
caption_undo.py takes edits back.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ti_core.data.caption_undo import editing, record_edit
from ti_core.data.captions import (
    CAPTION_SUFFIXES,
    CaptionFiles,
    joined_lines,
    mirrored_caption,
    words_of_file_name,
    words_of_folder,
)
from ti_core.data.character_traits import CHARACTER_TRAITS
from ti_core.data.dataset_parts import find_parts, folders_to_edit
from ti_core.data.mirrored import mirrored_pairs, twin_of
from ti_core.data.text_files import read_text
from ti_core.errors import UserError
from ti_core.files import save_many, save_text, state_of
from ti_core.settings.prompts import split_tags, tag_key, without_tags
from ti_core.workspace import Workspace

MOST_CHARACTERS = 20_000
"""Of a line of a caption that a replacement makes; the longest encoders read some hundred words."""


class ChangedMeanwhile(UserError):
    """The caption is another now than when the edit began; `now` is its text."""

    def __init__(self, name: str, now: str) -> None:
        super().__init__(
            f"The caption of '{name}' was changed by somebody else meanwhile, to '{now}', so yours was not saved.",
            "Press Save again to replace it, or Discard to see it.",
        )
        self.now = now


@dataclass(frozen=True)
class Captioned:
    """A picture and its words: `text` with its lines, `caption` in one line.

    `file` is where an edit is written: the caption file beside the picture, there or not yet. `source` is where the
    words stand now: that file, or one with the captions of many pictures, which no edit changes; None for the words of
    the folder's or the file's name. `problem` says why the file cannot be read, and then it is not changed.
    """

    picture: Path
    caption: str
    text: str
    file: Path
    source: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Change:
    """What an edit of all captions makes of one of them; both texts with their lines."""

    picture: Path
    file: Path
    before: str
    after: str


def read_captions(folder: Path, parts: Sequence[Path] = ()) -> list[Captioned]:
    """The pictures of the folder by name, or those of `parts`, folders inside of it. One without a caption file has the
    words of its file name, as in training.

    Raises UserError for no pictures, which names the folders inside that hold some.
    """
    return captions_of(CaptionFiles.of(folder, parts))


def captions_of(files: CaptionFiles) -> list[Captioned]:
    """The pictures of a dataset with their words. Raises UserError as `read_captions` does."""
    if not files.pictures:
        raise find_parts(files.folder).no_single_folder()
    return [captioned_of(picture, files) for picture in files.pictures]


def captioned_of(picture: Path, files: CaptionFiles) -> Captioned:
    """A picture of a dataset with its words."""
    if beside := files.find(picture):
        try:
            text = read_text(beside)
        except UserError as error:
            return Captioned(picture, "", "", beside, beside, str(error))
        return Captioned(picture, joined_lines(text), text, beside, beside)
    own, (source, row) = picture.with_suffix(CAPTION_SUFFIXES[0]), files.row_of(picture)
    if row is None:
        words = words_of_folder(picture) or words_of_file_name(picture.stem)
        return Captioned(picture, words, words, own)
    return Captioned(picture, joined_lines(row), row, own, source)


def find_captioned(folder: Path, name: str, files: CaptionFiles | None = None) -> Captioned:
    """The picture called `name` in the folder. Raises UserError, so that no name leads out of the folder. `files` are
    those of the folder, listed just now.
    """
    files = files or CaptionFiles.of(folder)
    for picture in files.pictures:
        if picture.name == name:
            return captioned_of(picture, files)
    raise UserError(
        f"Picture '{name}' is not in '{folder.name}' any more." if name else "No picture is chosen.",
        "Choose one in the gallery.",
    )


def state_of_picture(picture: Path) -> str:
    """A sign of what the picture is: another one made later under the same name has another."""
    return "-".join(map(str, state_of([picture])))


def save_caption(
    folder: Path,
    name: str,
    text: str,
    expected: str | None = None,
    expected_picture: str = "",
    in_step: bool = False,
    files: CaptionFiles | None = None,
) -> Path:
    """Write the caption file of the picture called `name`, in UTF-8 and with the lines of `text`; spaces are tidied
    in lines that are new. `in_step` writes that of its mirrored copy too (or of its original), with left and right
    exchanged, as one edit.

    `expected` is the text that the edit began with, `expected_picture` the picture's state then. Raises UserError
    where one of them is another now (ChangedMeanwhile for the text), and for a file that cannot be read, because
    its words would be lost. `files` are those of the folder, listed just now.
    """
    with editing:
        files = files or CaptionFiles.of(folder)
        captioned = find_captioned(folder, name, files)
        if captioned.problem:
            raise UserError(captioned.problem)
        tidied = _tidied_lines(text, captioned.text)
        if expected_picture and expected_picture != state_of_picture(captioned.picture):
            raise UserError(
                f"'{name}' is another picture since you opened it, so your text was not saved.",
                "Copy it if you need it, and press Discard.",
            )
        if expected is not None and captioned.text not in (expected, tidied):
            raise ChangedMeanwhile(name, captioned.text)
        if tidied == captioned.text and captioned.file.exists():
            return captioned.file
        texts = {captioned.file: tidied}
        twin = find_twin(folder, name, files) if in_step else None
        if twin and not twin.problem:
            texts[twin.file] = mirrored_caption(tidied)
        return _save(folder, f"the caption of {name}", texts)[0]


def find_twin(folder: Path, name: str, files: CaptionFiles | None = None) -> Captioned | None:
    """The mirrored copy of the picture called `name`, or the original of a copy; None where there is none."""
    files = files or CaptionFiles.of(folder)
    twin = twin_of(folder / name, files.pictures)
    return captioned_of(twin, files) if twin else None


def preview_changes(
    captions: Sequence[Captioned],
    change: Callable[[str], str],
    in_step: bool = False,
    only: Collection[str] | None = None,
) -> list[Change]:
    """What `change_captions` would change, by the pictures' names; nothing is written. Raises UserError."""
    return _changes(captions, change, in_step, only)


def change_captions(
    folder: Path,
    change: Callable[[str], str],
    title: str = "a change of all captions",
    in_step: bool = False,
    only: Collection[str] | None = None,
) -> tuple[int, list[str]]:
    """Give every caption, with its lines, through `change` and save those that differ, as one edit that can be undone:
    their number, and a sentence for each that cannot be read.

    `only` are the names of the pictures that are meant, all if None. `in_step` keeps mirrored copies, whose captions
    say the same with left and right exchanged, so: the copy of a picture that is meant changes with it, and the other
    way round.
    """
    with editing:
        captions = read_captions(folder)
        changed = _changes(captions, change, in_step, only)
        _save(folder, title, {each.file: each.after for each in changed})
    meant = [each for each in captions if only is None or each.picture.name in only]
    return len(changed), [each.problem for each in meant if each.problem]


def _changes(
    captions: Sequence[Captioned], change: Callable[[str], str], in_step: bool, only: Collection[str] | None
) -> list[Change]:
    readable = {each.picture: each for each in captions if not each.problem}
    meant = {picture for picture in readable if only is None or picture.name in only}
    texts = {picture: change(each.text) if picture in meant else each.text for picture, each in readable.items()}
    for original, copy in mirrored_pairs(readable) if in_step else ():
        if {original, copy} & meant and readable[copy].text == mirrored_caption(readable[original].text):
            first, second = (original, copy) if original in meant else (copy, original)
            texts[second] = mirrored_caption(texts[first])
    return [
        Change(picture, each.file, each.text, texts[picture])
        for picture, each in readable.items()
        if texts[picture] != each.text
    ]


def prune_traits(folder: Path, in_step: bool = True, only: Collection[str] | None = None) -> tuple[int, list[str]]:
    """Take the tags out that say how a character looks (`CHARACTER_TRAITS`); what `change_captions` gives."""
    return change_captions(folder, removing(", ".join(CHARACTER_TRAITS)), "traits removed", in_step, only)


def _save(folder: Path, title: str, texts: dict[Path, str]) -> list[Path]:
    """Write the texts, and keep what stood there, so that it can be undone."""
    with record_edit(folder, title, list(texts)):
        save_many(lambda file: save_text(file, texts[file] + "\n"), texts)
    return list(texts)


def _tidied_lines(text: str, before: str) -> str:
    kept = set(before.splitlines())
    lines = [line if line in kept else " ".join(line.split()) for line in text.strip().splitlines()]
    return "\n".join(line for line in lines if line)


# ---- one caption


def replacing(find: str, replacement: str) -> Callable[[str], str]:
    """A change that puts one text for another, capital letters or not. Raises UserError if nothing is looked for."""
    if not find:
        raise UserError("Find is empty.", "Type the text to look for.", field="find")
    pattern = re.compile(re.escape(find), re.IGNORECASE)

    def change(line: str) -> str:
        if not (count := sum(1 for _ in pattern.finditer(line))):
            return line
        # a long text for every letter would take gigabytes, and whoever may look can ask for a preview
        if (length := len(line) + count * len(replacement)) > max(MOST_CHARACTERS, len(line)) and replacement:
            raise UserError(
                f"A caption would get {length} characters, more than {MOST_CHARACTERS}.",
                "Type a shorter text, or look for a longer one.",
                field="replacement",
            )
        return _tidy(pattern.sub(lambda _: replacement, line))

    return partial(_each_line, change=change)


def adding(tag: str, at_front: bool) -> Callable[[str], str]:
    """A change that adds a tag (or several, with commas) to every caption that has it not yet. Raises UserError for
    an empty tag.
    """
    return partial(_with_tags, new=_typed_tags(tag), at_front=at_front)


def removing(tag: str) -> Callable[[str], str]:
    """A change that takes a tag (or several, with commas) out of every caption, in any case, with spaces or
    underscores. Raises UserError for an empty tag.
    """
    return partial(_each_line, change=partial(without_tags, unwanted={tag_key(tag) for tag in _typed_tags(tag)}))


def _each_line(text: str, change: Callable[[str], str]) -> str:
    """The text with its lines changed one by one; a line that becomes empty goes."""
    lines = text.splitlines()
    changed = [change(line) for line in lines]
    return (
        text
        if changed == lines
        else "\n".join(new for new, old in zip(changed, lines, strict=True) if new or not old.strip())
    )


def _with_tags(text: str, new: Sequence[str], at_front: bool) -> str:
    """New tags stand in the first or the last line."""
    there = {tag.lower() for tag in split_tags(joined_lines(text))}
    missing = [tag for tag in new if tag.lower() not in there]
    if not missing:
        return text
    lines = text.splitlines() or [""]
    at = 0 if at_front else -1
    tags = split_tags(lines[at])
    lines[at] = ", ".join([*missing, *tags] if at_front else [*tags, *missing])
    return "\n".join(lines)


def _typed_tags(text: str) -> list[str]:
    if not (tags := list(dict.fromkeys(split_tags(text)))):
        raise UserError("Tag is empty.", "Type a tag, such as glasses; several with commas between them.", field="tag")
    return tags


def _tidy(caption: str) -> str:
    """No double spaces, and no comma without a tag before it, where a text was replaced by nothing."""
    return ", ".join(split_tags(re.sub(r"\s+", " ", caption)))


# ---- all captions


def count_tags(captions: Iterable[str]) -> list[tuple[str, int]]:
    """How many captions hold each tag, most frequent first; capital letters and underscores make no difference, the
    first spelling is shown.
    """
    spelling: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for caption in captions:
        for key, tag in _tags_of(caption):
            spelling.setdefault(key, tag)
            counts[key] += 1
    return sorted(((spelling[key], count) for key, count in counts.items()), key=lambda row: (-row[1], row[0].lower()))


@functools.lru_cache(maxsize=20_000)
def _tags_of(caption: str) -> tuple[tuple[str, str], ...]:
    """The keys of a caption's tags with their first spelling; kept, because each save counts all tags again."""
    return tuple({tag_key(tag): tag for tag in reversed(split_tags(caption))}.items())


def pictures_with(captions: Iterable[Captioned], tag: str) -> list[str]:
    """The names of the pictures whose captions hold a tag."""
    wanted = tag_key(tag)
    return [each.picture.name for each in captions if any(key == wanted for key, _ in _tags_of(each.caption))]


def dataset_folders(workspace: Workspace) -> list[str]:
    """The folders of datasets/ as they are typed, the one that was changed last first. In the place of one that holds
    no pictures itself are those inside of it that do.
    """
    if not workspace.datasets.is_dir():
        return []
    folders = [
        Path(entry.path)
        for entry in os.scandir(workspace.datasets)
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    newest_first = sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)
    return [workspace.shown(part) for folder in newest_first for part in folders_to_edit(folder)]
