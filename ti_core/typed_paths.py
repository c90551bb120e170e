"""A typed path without what people, file managers and terminals put around it, and what lies near a path that is not
there.
"""

from __future__ import annotations

import difflib
import os
import re
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019"}
_QUOTES |= {"\u00ab": "\u00bb", "\u201d": "\u201d", "\u2019": "\u2019", "\u201a": "\u2018\u2019", "\u2039": "\u203a"}
"""Opening quote -> its closing ones, as keyboards and word processors of several languages write them."""
MOST_LOOKED_AT = 1000
"""Folders among which one of a similar name is looked for."""


def plain_path(text: str) -> str:
    """The path that is meant: no spaces or quotes around it, no `file://` with its percent signs, no slash at its end.
    It looks at no disk.
    """
    path = text.strip()
    while len(path) > 1 and path[-1] in _QUOTES.get(path[0], ""):
        path = path[1:-1].strip()
    path = path.strip('"')
    if path[:7].lower() == "file://":
        path = _of_address(path)
    short = path.rstrip("/" if os.name == "nt" else "/\\")
    return short if short and not short.endswith(":") else path


def _of_address(address: str) -> str:
    try:
        parts = urlsplit(address.replace("#", "%23").replace("?", "%3F"))
    except ValueError:  # such as a broken IPv6 address
        return address
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost"):
        return f"//{parts.netloc}{path}"
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path


def without_backslashes(typed: str) -> str:
    """As this system writes it: a backslash before a space or bracket comes from a terminal, another one from Windows.
    The same text on Windows.
    """
    return typed if os.name == "nt" else re.sub(r"\\([\s()\[\]&'\"])", r"\1", typed).replace("\\", "/")


def nearest_folder(path: Path) -> Path:
    """The last folder on the way to `path` (absolute) that exists."""
    return next((parent for parent in path.parents if os.path.isdir(parent)), path)


def similar_folder(path: Path) -> Path | None:
    """A folder that lies where `path` would, and is called nearly so."""
    near = nearest_folder(path)
    wanted = path.relative_to(near).parts
    try:
        with os.scandir(near) as entries:
            names = [entry.name for entry in islice(entries, MOST_LOOKED_AT) if entry.is_dir()]
    except OSError:
        return None
    folded = {name.casefold(): name for name in names if not name.startswith(".")}
    close = difflib.get_close_matches(wanted[0].casefold(), folded, n=1, cutoff=0.75)
    found = near.joinpath(folded[close[0]], *wanted[1:]) if close else None
    return found if found and os.path.isdir(found) else None
