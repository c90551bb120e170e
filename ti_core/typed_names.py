"""A name that somebody types for something new: it is used as it was typed, or refused with a sentence that says why,
and never changed in silence.
"""

from __future__ import annotations

import unicodedata

from ti_core.errors import UserError
from ti_core.workspace import MOST_TYPED_BYTES, MOST_TYPED_LETTERS, clean_name, may_stand_in_names

_SHOWN_LETTERS = 40
_SHOWN_SIGNS = 5


def typed_name(text: str, what: str = "Name") -> str:
    """The name as it will be used: letters and digits of any script, dot, underscore, dash and space. Spaces around it
    go, and a letter and its accent typed as two signs become one (NFC), which looks the same.

    Raises UserError for anything else, with the nearest name that can be used. `what` is the field's label.
    """
    name = unicodedata.normalize("NFC", text).strip()
    used = clean_name(name, what)
    if used == name:
        return name
    shown = name if len(name) <= _SHOWN_LETTERS else f"{name[:_SHOWN_LETTERS]}..."
    raise UserError(f"{what} '{shown}' {_reason(name)}.", f"Write {used}, or another name.")


def _reason(name: str) -> str:
    signs = list(dict.fromkeys(sign for sign in name if not may_stand_in_names(sign)))
    if signs:
        more = " and more" if len(signs) > _SHOWN_SIGNS else ""
        return f"holds {', '.join(map(_shown, signs[:_SHOWN_SIGNS]))}{more}, which a name of a file cannot have"
    if len(name) > MOST_TYPED_LETTERS:
        return f"has {len(name)} letters, and {MOST_TYPED_LETTERS} are the most"
    if len(name.encode(errors="replace")) > MOST_TYPED_BYTES:
        return f"is too long: letters such as ä or 中 count two to four times, and {MOST_TYPED_BYTES} is the most"
    return "begins or ends with a dot or a space"


def _shown(sign: str) -> str:
    """A sign by itself may be invisible, or stand on the letter before it."""
    number = f"U+{ord(sign):04X}"
    if unicodedata.category(sign).startswith("M"):
        return f"an accent on its own ({number})"
    return sign if sign.isprintable() and not sign.isspace() else f"a sign that cannot be seen ({number})"
