"""Text files that people and other tools write: in UTF-8, or with the mark of another encoding."""

from __future__ import annotations

import codecs
from pathlib import Path

from ti_core.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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
