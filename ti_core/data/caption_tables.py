"""Captions that other tools write for a whole folder into one file: metadata.jsonl and metadata.csv (datasets,
diffusers, invoke-training), kohya's meta_*.json, and the .csv of taggers.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ti_core.data.images import FORMATS
from ti_core.data.text_files import read_text
from ti_core.errors import UserError
from ti_core.files import sendable

FILE_KEYS = ("file_name", "filename", "file", "image_file", "image_path", "image", "path", "name")
"""Names of the column with the picture, the first one that is there is used."""
CAPTION_KEYS = ("text", "caption", "prompt", "description", "captions")
"""Names of the column with the caption; `tags` come after it, as kohya's trainer joins them."""
MAX_BYTES = 64 * 2**20
_JSON_STEMS = ("meta", "caption", "tags")
_NO_CAPTIONS = frozenset({"selected_tags.csv"})
"""The tagger's own list of tags, which lies beside its model."""
_LATEST_FIRST = ("metadata", "meta_lat", "meta_clean", "meta_cap_dd", "meta_cap")
"""kohya's tools write one after the other, each from the one before."""
TABLE_SUFFIXES = (".jsonl", ".csv", ".json")

Rows = Sequence[tuple[str, str]]
"""(picture as the file names it, caption) in the file's order."""


class _NoCaptions(Exception):
    """Why a file cannot be used, as the end of a sentence."""


@dataclass(frozen=True)
class CaptionTable:
    """The captions of one such file; `problem` says why it cannot be used. Names of pictures are compared in any case,
    without the folders of the computer that they were written on.
    """

    file: Path
    rows: int = 0
    problem: str = ""
    _by_name: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> CaptionTable:
        """Read the file; one that cannot be used has a `problem`. Remembered as long as the file stays the same."""
        try:
            state = file.stat()
        except OSError:
            return cls(file, problem="it cannot be read")
        return _load(file, state.st_size, state.st_mtime_ns)

    def text_of(self, picture: Path, anywhere: bool = False) -> str | None:
        """The caption of a picture, with its lines; None where the file has none for it. `anywhere` takes a row of the
        same name in whatever folder, for files that lie no longer together.
        """
        found = self._by_name.get(picture.name.lower()) or self._by_name.get(picture.stem.lower(), [])
        parents = dict(reversed(found))  # of two rows for one picture the first is used
        for parent in (picture.parent.name.lower(), ""):
            if parent in parents:
                return parents[parent]
        # written on another computer, where the folder had another name
        return found[0][1] if found and (anywhere or picture.parent == self.file.parent) else None

    def names_folder(self, name: str) -> bool:
        """Whether a row says that its picture lies in a folder of this name."""
        return any(parent == name.lower() for rows in self._by_name.values() for parent, _ in rows)


@functools.lru_cache(maxsize=16)
def _load(file: Path, size: int, changed_ns: int) -> CaptionTable:
    try:
        if size > MAX_BYTES:
            raise _NoCaptions(f"it is larger than {MAX_BYTES // 2**20} MB")
        rows = _ROWS_OF[file.suffix.lower()](read_text(file))
    except UserError:
        return CaptionTable(file, problem="it is not UTF-8 text; save it in an editor with the encoding UTF-8")
    except _NoCaptions as reason:
        return CaptionTable(file, problem=str(reason))
    by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, text in rows:
        *parents, last = re.split(r"[\\/]", name.strip().lower())
        # JSON can hold half a letter, which no tokenizer takes
        by_name[last].append((parents[-1] if parents and parents[-1] != "." else "", sendable(text).strip()))
    return CaptionTable(file, len(rows), "", dict(by_name))


def is_table(file: Path) -> bool:
    """Whether a file's name is that of captions of a whole folder."""
    stem, suffix = file.stem.lower(), file.suffix.lower()
    if file.name.startswith(".") or file.name.lower() in _NO_CAPTIONS or suffix not in TABLE_SUFFIXES:
        return False
    return suffix != ".json" or stem.startswith(_JSON_STEMS)


def find_tables(files: Sequence[Path]) -> list[CaptionTable]:
    """Those among the files of a folder, the one that is used first at the front."""

    def rank(file: Path) -> tuple[int, int, str]:
        stem = file.stem.lower()
        latest = _LATEST_FIRST.index(stem) if stem in _LATEST_FIRST else len(_LATEST_FIRST)
        return TABLE_SUFFIXES.index(file.suffix.lower()), latest, file.name

    return [CaptionTable.load(file) for file in sorted(filter(is_table, files), key=rank) if file.is_file()]


# ---- what lies in them


def _rows_of_jsonl(text: str) -> Rows:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows.append(_row(_parsed(line, f"line {number} is no JSON")))
    return _certain(rows, "its lines name no pictures with captions")


def _rows_of_json(text: str) -> Rows:
    """kohya's: {picture: {"caption": ..., "tags": ...}}; or a list of objects as in metadata.jsonl."""
    content = _parsed(text, "it is no JSON")
    if isinstance(content, list):
        return _certain([_row(each) for each in content], "it names no pictures with captions")
    if not isinstance(content, dict):
        raise _NoCaptions("it names no pictures with captions")
    rows = [(name, said) for name, each in content.items() if (said := _caption(each)) is not None]
    return _certain(rows, "it names no pictures with captions")


def _rows_of_csv(text: str) -> Rows:
    """With the names of the columns in the first row, or the pictures in the first column. Tags that nobody put in
    quotes are columns of their own, and belong together.
    """
    delimiter = re.search(r"[,;\t]", text.partition("\n")[0])
    try:
        table = [row for row in csv.reader(text.splitlines(), delimiter=delimiter[0] if delimiter else ",") if row]
    except csv.Error as error:
        raise _NoCaptions(f"it is no table ({error})") from error
    if not table:
        raise _NoCaptions("it is empty")
    header = [cell.strip().lower().replace(" ", "_") for cell in table[0]]
    at = next((header.index(key) for key in FILE_KEYS if key in header), None)
    if at is not None and set(header) & {*CAPTION_KEYS, "tags"}:
        rows = []
        for cells in table[1:]:
            named = dict(zip(header, cells, strict=False))
            if (more := cells[len(header) :]) and header[-1] in (*CAPTION_KEYS, "tags"):
                named[header[-1]] = ", ".join(cell.strip() for cell in (named[header[-1]], *more))
            rows.append(_row(named))
        return _certain(rows, "it names no pictures with captions")
    if Path(table[0][0].strip()).suffix.lower() in FORMATS:
        return [(cells[0], ", ".join(cell.strip() for cell in cells[1:] if cell.strip())) for cells in table]
    raise _NoCaptions("it has no columns such as file_name and text")


_ROWS_OF = {".jsonl": _rows_of_jsonl, ".json": _rows_of_json, ".csv": _rows_of_csv}


def _parsed(text: str, problem: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _NoCaptions(problem) from error


def _row(each: Any) -> tuple[str, str] | None:
    if not isinstance(each, dict):
        return None
    name = next((each[key] for key in FILE_KEYS if isinstance(each.get(key), str) and each[key].strip()), None)
    said = _caption({key: value for key, value in each.items() if each.get(key) is not name})
    return None if name is None or said is None else (name, said)


def _caption(each: Any) -> str | None:
    """The words of one picture: a caption, tags, or both; several captions are lines."""
    if isinstance(each, str):
        return each
    if not isinstance(each, dict):
        return None
    caption = next((said for key in CAPTION_KEYS if (said := _words(each.get(key), "\n")) is not None), None)
    tags = _words(each.get("tags"), ", ")
    return caption if tags is None else tags if caption is None else ", ".join(filter(None, (caption, tags)))


def _words(value: Any, between: str) -> str | None:
    if isinstance(value, list):
        return between.join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else None


def _certain(rows: Sequence[tuple[str, str] | None], problem: str) -> Rows:
    found = list(_known(rows))
    if not found:
        raise _NoCaptions(problem)
    return found


def _known(rows: Sequence[tuple[str, str] | None]) -> Iterator[tuple[str, str]]:
    return (row for row in rows if row is not None)
