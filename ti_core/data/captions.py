"""The words that belong to a picture: the caption file beside it, or its file name."""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.settings.prompts import split_at_names

CAPTION_SUFFIXES = (".txt", ".caption", ".tags")
"""Kinds of caption files, the first that is there is used. A1111 reads the first kind alone."""

NAMED = 5
"""So many files are named in a sentence; the others are counted."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass
class CaptionFiles:
    """Which files of a folder are the captions of which pictures, known from one listing of the folder.

    The name of a caption file is the picture's stem or whole name with one of CAPTION_SUFFIXES, in any case:
    `a.txt`, `a.jpg.txt`, `A.TXT`, `a.caption`. A file that is `<stem>.txt` of one picture, letter for letter, is no
    other name of another's.
    """

    folder: Path
    pictures: list[Path] = field(default_factory=list)
    by_name: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, folder: Path) -> CaptionFiles:
        """Read the folder. Raises UserError if it cannot be read."""
        found = cls(folder, find_images(folder))
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in CAPTION_SUFFIXES and not path.name.startswith(".") and path.is_file():
                found.by_name[path.name.lower()].append(path)
        return found

    def __post_init__(self) -> None:
        self._first_names = {picture.with_suffix(CAPTION_SUFFIXES[0]).name for picture in self.pictures}

    def all_of(self, picture: Path) -> list[Path]:
        """The caption files of a picture of the folder; the first one is used."""
        own = picture.with_suffix(CAPTION_SUFFIXES[0]).name
        names = [stem + suffix for suffix in CAPTION_SUFFIXES for stem in (picture.stem, picture.name)]
        found = [
            path
            for name in names
            for path in sorted(self.by_name.get(name.lower(), ()), key=lambda path: path.name != name)
        ]
        return [path for path in dict.fromkeys(found) if path.name == own or path.name not in self._first_names]

    def find(self, picture: Path) -> Path | None:
        """The caption file that is used for a picture."""
        return next(iter(self.all_of(picture)), None)

    def read(self, picture: Path) -> str | None:
        """The picture's caption in one line (`joined_lines`); None where it has no file. Raises UserError for a
        file that is no text.
        """
        path = self.find(picture)
        return None if path is None else joined_lines(read_text(path))


def read_text(path: Path) -> str:
    """The text of a caption file with its lines: UTF-8, or UTF-16 and UTF-32 with their mark.

    Raises UserError for a file in another encoding: guessing between the old ones makes wrong words of all that is
    not English.
    """
    try:
        data = path.read_bytes()
        encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
        text = data.decode(encoding)
    except (UnicodeError, OSError) as error:
        raise _unreadable(path) from error
    if "\0" in text:  # UTF-16 without its mark is also valid UTF-8
        raise _unreadable(path)
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()  # as browsers give it back


def _unreadable(path: Path) -> UserError:
    return UserError(
        f"Caption '{path.name}' is not UTF-8 text.", "Open it in an editor and save it with the encoding UTF-8."
    )


def joined_lines(text: str) -> str:
    """A caption in one line: each line is a tag, or several, so they are joined by a comma. A single line stays as
    it is.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ", ".join(tags for line in lines if (tags := line.strip(", ")))


def caption_notes(folder: Path, file_names: bool = True) -> list[str]:
    """What somebody should know about a folder's captions before they are used, a sentence for each fact, with its
    number.

    Files that cannot be read, pictures with several, files without a picture, and, with `file_names`, pictures
    without a file. Raises UserError if the folder cannot be read.
    """
    files = CaptionFiles.of(folder)
    captions = {picture: files.all_of(picture) for picture in files.pictures}
    notes = [
        note for note in (unreadable_note(captions), other_files_note(captions), orphans_note(files, captions)) if note
    ]
    without = [picture for picture, found in captions.items() if not found]
    if file_names and without:
        notes.append(file_names_note(len(without), len(captions), words_of_file_name(without[0].stem)))
    return notes


def unreadable_note(captions: dict[Path, list[Path]]) -> str:
    """A sentence on caption files that are no text; empty for none."""
    wrong = list(dict.fromkeys(found[0] for found in captions.values() if found and not _is_text(found[0])))
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
    orphans = sorted(path for paths in files.by_name.values() for path in paths if path not in used)
    if not orphans:
        return ""
    count = (
        "1 caption file is of no picture here, and is"
        if len(orphans) == 1
        else f"{len(orphans)} caption files are of no picture here, and are"
    )
    return f"{count} not used: {named(orphans)}."


def file_names_note(without: int, pictures: int, example: str) -> str:
    """A sentence on pictures whose file name serves as the caption."""
    verb = "has" if without == 1 else "have"
    return (
        f"{without} of {pictures} pictures {verb} no caption file, so the words of their file names are the captions,"
        f" such as '{example}'. If they say nothing about the picture, write captions in the Captions tab."
    )


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


def words_of_file_name(stem: str, word_regex: str = "", join: str = " ") -> str:
    """`00001-0-a man` -> `a man`: A1111 leaves out leading digits and dashes and the spaces after them (A1111
    1.10.1, textual_inversion/dataset.py: PersonalizedBase).

    With `word_regex`, what it finds in the rest, joined by `join`.
    """
    rest = re.sub(r"^[-\d]+\s*", "", stem)
    return join.join(match[0] for match in re.finditer(word_regex, rest)) if word_regex else rest
