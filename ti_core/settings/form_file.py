"""A form as one JSON file: what the page exports and imports, keeps as a preset, and what the command line takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.files import reason
from ti_core.settings.option import KeptSettings, S, Settings

FORM, VALUES = "form", "settings"
MOST_BYTES = 1_000_000
"""A form has about 3,000."""


def form_text(form: str, settings: Settings) -> str:
    """The file's text. `form` says whose values these are, such as "train"."""
    return json.dumps({FORM: form, VALUES: settings.to_dict()}, indent=4, ensure_ascii=False) + "\n"


def parse_form(text: str, form: str, settings: type[S]) -> tuple[KeptSettings[S], dict[str, Any]]:
    """What can be used of a file's text, and the values that it gives by itself; a run's own settings file is taken
    too. What is missing in it, or not known here, is told by `KeptSettings.sentences`.

    Raises UserError for what is no form, or the form of another tab.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("This file is no JSON.", "Choose a file that Export has saved.") from error
    if not isinstance(content, dict):
        raise UserError("This file holds no settings.", "Choose a file that Export has saved.")
    if (said := content.get(FORM, form)) != form:
        raise UserError(f"This file is for the form '{str(said)[:40]}', not for '{form}'.", "Choose another file.")
    values = content.get(VALUES, content)
    if not isinstance(values, dict) or not set(values) & set(settings.defaults()):
        raise UserError("This file holds no settings of this form.", "Choose a file that Export has saved.")
    kept = settings.from_kept(values)
    given = {name: getattr(kept.settings, name) for name in settings.defaults() if name in values}
    return kept, given


def read_form(path: Path) -> str:
    """The text of a form's file. Raises UserError, naming the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"'{path.name}' is too large for a form.", "Choose a file that Export has saved.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"'{path.name}' is no text.", "Choose a file that Export has saved.") from error
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.") from error


def without_missing(kept: KeptSettings[S]) -> KeptSettings[S]:
    """The same where it is no news that values are missing, because those of the form stay."""
    return replace(kept, missing=())
