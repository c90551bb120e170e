"""The words that belong to a picture: the .txt beside it, or its file name (reference 2.5 and 4.5)."""

from __future__ import annotations

import re
from pathlib import Path

from ti_core.errors import UserError


def read_caption(picture: Path) -> str | None:
    """The text of the .txt with the picture's stem, without byte-order mark and outer spaces; None where there is no such file.

    Raises UserError for a file that is not UTF-8 text.
    """
    path = picture.with_suffix(".txt")
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"Caption '{path.name}' is not UTF-8 text.", "Open it in an editor and save it with the encoding UTF-8.") from error


def combine_captions(action: str, existing: str, generated: str) -> str:
    """One caption out of what stood beside the photo and what a captioner wrote (reference 4.5). Where one is missing, no space is left for it."""
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
    """`00001-0-a man` -> `a man`: A1111 leaves out leading digits and dashes and the spaces after them (reference 2.5).

    With `word_regex`, what it finds in the rest, joined by `join`.
    """
    rest = re.sub(r"^[-\d]+\s*", "", stem)
    return join.join(match[0] for match in re.finditer(word_regex, rest)) if word_regex else rest
