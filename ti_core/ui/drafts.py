"""The texts of the Captions and Templates tabs that are typed and not saved yet: kept by the browser, back after a
reload.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("drafts.js").read_text(encoding="utf-8")
KEEP = f"(...given) => {{ {_SCRIPT}\nreturn keepDraft(...given); }}"
"""From what the box belongs to, its text and what is kept: what is to be kept, and a note."""
KEEP_PASTED = f"(...given) => {{ {_SCRIPT}\nreturn keepPasted(...given); }}"
"""The same for a text that changed without a key."""
SETTLE = f"(...given) => {{ {_SCRIPT}\nreturn settleDrafts(...given); }}"
"""Also from the pictures that are settled: what the box belongs to and its text, what is to be kept, nothing settled,
and a sentence.
"""
KEEP_TEMPLATE = f"(...given) => {{ {_SCRIPT}\nreturn keepTemplate(...given); }}"
"""From what the sentences belong to, the sentences and the name: what is to be kept."""
RESTORE_TEMPLATE = f"(...given) => {{ {_SCRIPT}\nreturn restoreTemplate(...given); }}"
"""Also from what was kept: the first three, and an update of the message box."""


def last_place(kept: Any) -> tuple[str, str]:
    """Folder and picture that were open last; what was kept comes from a browser, so it may be anything."""
    last = kept.get("last") if isinstance(kept, Mapping) else None
    if isinstance(last, list | tuple) and len(last) == 2 and all(isinstance(each, str) for each in last):
        return last[0], last[1]
    return "", ""


def waiting_drafts(kept: Any) -> list[str]:
    """The pictures for which text waits, as folder/picture."""
    drafts = kept.get("drafts") if isinstance(kept, Mapping) else None
    return [str(key).replace("\n", "/") for key in drafts] if isinstance(drafts, Mapping) else []
