"""The words that belong to a picture: the caption file beside it, a file with the captions of the whole folder, or its
file name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ti_core.data.caption_tables import TABLE_SUFFIXES, CaptionTable, find_tables
from ti_core.data.images import find_images, found_names
from ti_core.data.origin import OUTPUT_NAME
from ti_core.data.text_files import read_text
from ti_core.errors import UserError
from ti_core.settings.prompts import split_at_names, text_lines

CAPTION_SUFFIXES = (".txt", ".caption", ".tags")
"""Kinds of caption files, the first that is there is used. A1111 reads the first kind alone."""

NAMED = 5
"""So many files are named in a sentence; the others are counted."""


@dataclass
class CaptionFiles:
    """Which files of a dataset hold the captions of which pictures, known from one listing of each of its folders.

    The name of a caption file is the picture's stem or whole name with one of CAPTION_SUFFIXES, in any case:
    `a.txt`, `a.jpg.txt`, `A.TXT`, `a.caption`. A file that is `<stem>.txt` of one picture, letter for letter, is no
    other name of another's. A picture that has none may have one in a file with the captions of many (`tables`).
    """

    folder: Path
    pictures: list[Path] = field(default_factory=list)
    by_name: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """(folder, name in small letters) -> names of caption files. Names are no paths here: making a path object costs
    more than all else, and there are as many as pictures.
    """
    tables: list[CaptionTable] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, parts: Sequence[Path] = ()) -> CaptionFiles:
        """Read the folder, or `parts`, the folders inside of it that hold the dataset's pictures. Raises UserError if
        one cannot be read.
        """
        found = cls(folder)
        for part in parts or [folder]:
            found.pictures += find_images(part)
            names = found_names(part)
            for name in names:
                if os.path.splitext(name)[1].lower() in CAPTION_SUFFIXES:
                    found.by_name[str(part), name.lower()].append(name)
            found.tables += find_tables([part / name for name in names if name.lower().endswith(TABLE_SUFFIXES)])
        if parts and folder not in parts:
            found.tables += find_tables(list(folder.iterdir()))
        with contextlib.suppress(OSError):  # what lies around the folder is not needed
            around = find_tables(list(folder.parent.iterdir()))
            found.tables += [table for table in around if table.names_folder(folder.name)]
        found._first_names = {os.path.splitext(picture)[0] + CAPTION_SUFFIXES[0] for picture in found.pictures}
        return found

    def __post_init__(self) -> None:
        self._first_names: set[str] = set()

    def all_of(self, picture: Path) -> list[Path]:
        """The caption files beside a picture of the dataset; the first one is used."""
        folder, name = str(picture.parent), picture.name
        stem = os.path.splitext(name)[0]
        found: dict[Path, None] = {}
        for wanted in (first + suffix for suffix in CAPTION_SUFFIXES for first in (stem, name)):
            there = self.by_name.get((folder, wanted.lower()))
            for file in sorted(there or (), key=wanted.__ne__):
                path = picture.with_name(file)
                if file == stem + CAPTION_SUFFIXES[0] or str(path) not in self._first_names:
                    found[path] = None
        return list(found)

    @property
    def caption_files(self) -> list[Path]:
        """All caption files of the folders, also those of no picture, sorted."""
        return sorted(Path(folder, name) for (folder, _), names in self.by_name.items() for name in names)

    def find(self, picture: Path) -> Path | None:
        """The caption file beside a picture that is used."""
        return next(iter(self.all_of(picture)), None)

    def _rows_of(self, picture: Path) -> list[tuple[Path, str]]:
        """Its captions in the tables of its own folder, of the dataset's, and of the folder around that."""
        if not self.tables:
            return []
        return [
            (table.file, text)
            for folder in dict.fromkeys((picture.parent, self.folder, self.folder.parent))
            for table in self.tables
            if table.file.parent == folder and (text := table.text_of(picture)) is not None
        ]

    def sources(self, picture: Path) -> list[Path]:
        """All files that hold a caption of the picture; the first one is used."""
        return [*self.all_of(picture), *(file for file, _ in self._rows_of(picture))]

    def row_of(self, picture: Path) -> tuple[Path | None, str | None]:
        """The file with the captions of many that is used for a picture without a caption file, and its caption there,
        with its lines.
        """
        return next(iter(self._rows_of(picture)), (None, None))

    def text(self, picture: Path) -> str | None:
        """The picture's caption with its lines; None where no file has one. Raises UserError for a file that is no
        text.
        """
        if path := self.find(picture):
            return read_text(path)
        return self.row_of(picture)[1]

    def read(self, picture: Path) -> str | None:
        """The picture's caption in one line (`joined_lines`), as `text` gives it."""
        text = self.text(picture)
        return None if text is None else joined_lines(text)


def joined_lines(text: str) -> str:
    """A caption in one line: each line is a tag, or several, so they are joined by a comma. A single line stays as
    it is.
    """
    lines = text_lines(text)
    return lines[0] if len(lines) == 1 else ", ".join(tags for line in lines if (tags := line.strip(", ")))


def caption_lines(text: str) -> list[str]:
    """The lines of a caption, each of which may be a caption of its own; at least one, which may be empty."""
    return text_lines(text) or [""]


def caption_notes(files: CaptionFiles) -> list[str]:
    """What somebody should know about a dataset's captions before they are used, a sentence for each fact, with its
    number.

    Files that cannot be read, pictures with several, files without a picture, files with the captions of many.
    """
    return [note for note in (unreadable_note(files), *source_notes(files)) if note]


def source_notes(files: CaptionFiles) -> list[str]:
    """Which files of a folder are used as captions and which are not, where that is not plain to see."""
    captions = {picture: files.sources(picture) for picture in files.pictures}
    notes = [other_files_note(captions), orphans_note(files, captions)]
    return [note for note in (*notes, *(_table_note(table, files, captions) for table in files.tables)) if note]


def _table_note(table: CaptionTable, files: CaptionFiles, captions: dict[Path, list[Path]]) -> str:
    """A sentence on a file with captions of many pictures; one that only repeats what lies beside them says nothing."""
    if table.problem:
        return f"{table.file.name} is not used as captions: {table.problem}."
    known = sum(table.file in found for found in captions.values())
    used = sum(table.file == found[0] for found in captions.values() if found)
    if not known:
        return f"{table.file.name} names no picture that lies here, so it is not used."
    said = [f"{used} caption{'s are' if used > 1 else ' is'} read from it"] if used else []
    if (others := table.rows - known) and table.file.parent != files.folder.parent:
        said.append(f"{others} of its {table.rows} rows {'are' if others > 1 else 'is'} of no picture here")
    return f"{table.file.name}: {', '.join(said)}." if said else ""


def unreadable_note(files: CaptionFiles) -> str:
    """A sentence on caption files that are no text; empty for none."""
    used = dict.fromkeys(file for picture in files.pictures if (file := files.find(picture)))
    wrong = [file for file in used if not _is_text(file)]
    if not wrong:
        return ""
    count = (
        "1 caption file cannot be read and is"
        if len(wrong) == 1
        else f"{len(wrong)} caption files cannot be read and are"
    )
    return f"{count} not used: {named(wrong)}. Save in an editor with the encoding UTF-8."


def other_files_note(captions: dict[Path, list[Path]]) -> str:
    """A sentence on pictures that have several caption files; empty for none."""
    several = [found for found in captions.values() if len(found) > 1]
    if not several:
        return ""
    count = (
        "1 picture has several caption files"
        if len(several) == 1
        else f"{len(several)} pictures have several caption files"
    )
    first = "; ".join(
        f"{used.name} is used, not {', '.join(path.name for path in others)}" for used, *others in several[:NAMED]
    )
    return f"{count}: {first}{'; ...' if len(several) > NAMED else ''}."


def orphans_note(files: CaptionFiles, captions: dict[Path, list[Path]]) -> str:
    """A sentence on caption files that have no picture; empty for none."""
    used = {path for found in captions.values() for path in found}
    orphans = [path for path in files.caption_files if path not in used]
    if not orphans:
        return ""
    count = (
        "1 caption file is of no picture here, and is"
        if len(orphans) == 1
        else f"{len(orphans)} caption files are of no picture here, and are"
    )
    return f"{count} not used: {named(orphans)}."


def word_note(name: str, captions: Sequence[str]) -> str:
    """A sentence where the embedding's name is also a word of captions, which training then takes for the new word;
    empty else.
    """
    count = sum(any(found for found, _ in split_at_names(caption, [name])) for caption in captions) if name else 0
    if not count:
        return ""
    shown = "1 caption" if count == 1 else f"{count} captions"
    return (
        f"'{name}' is also a word of {shown}, where it now stands for what is trained. If it was meant as an ordinary"
        " word, choose another name, or take it out in the Captions tab."
    )


def named(paths: Sequence[Path]) -> str:
    """The names of the first few files."""
    return ", ".join(path.name for path in paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")


def _is_text(path: Path) -> bool:
    try:
        read_text(path)
    except UserError:
        return False
    return True


def combine_captions(action: str, existing: str, generated: str) -> str:
    """One caption out of what stood beside the photo and what a captioner wrote (A1111 1.6.1, preprocess.py:
    save_pic_with_caption). Where one is missing, no space is left for it.
    """
    existing, generated = existing.strip(), generated.strip()
    if action == "ignore" or not existing:
        return generated
    parts = {"copy": (existing,), "prepend": (existing, generated), "append": (generated, existing)}[action]
    return " ".join(part for part in parts if part)


_OTHER_SIDE = {"left": "right", "right": "left"}


def mirrored_caption(caption: str) -> str:
    """The caption of the mirrored picture: the words left and right change places, so that it stays true."""

    def swapped(match: re.Match[str]) -> str:
        word = match[0]
        other = _OTHER_SIDE[word.lower()]
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return re.sub(r"\b(left|right)\b", swapped, caption, flags=re.IGNORECASE)


REPEATED = re.compile(r"(\d{1,3})_(.*)", re.DOTALL)
"""A folder of kohya's trainer: repeats and words. A year, as in `2024_summer`, is no number of repeats."""


def words_of_folder(picture: Path) -> str:
    """The caption of a picture without any in a folder such as `10_anna woman`, as kohya's trainer has it: `anna
    woman`. Empty for other folders, and for pictures that Preprocess has named.
    """
    match = REPEATED.fullmatch(picture.parent.name)
    if not match or OUTPUT_NAME.match(picture.stem):
        return ""
    return " ".join(match[2].replace("_", " ").split())


def words_of_file_name(stem: str, word_regex: str = "", join: str = " ") -> str:
    """`00001-0-a man` -> `a man`: A1111 leaves out leading digits and dashes and the spaces after them (A1111
    1.10.1, textual_inversion/dataset.py: PersonalizedBase).

    With `word_regex`, what it finds in the rest, joined by `join`.
    """
    rest = re.sub(r"^[-\d]+\s*", "", stem)
    return join.join(match[0] for match in re.finditer(word_regex, rest)) if word_regex else rest
