"""What OneTrainer's concepts.json asks for and is not taken from it, so that nothing there is ignored in silence
(OneTrainer, modules/util/config/ConceptConfig.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_TAKEN = {"enabled", "include_subdirectories", "validation_concept"}
_USUAL: dict[str, Any] = {
    "image_variations": 1,
    "text_variations": 1,
    "loss_weight": 1,
    "prompt_source": "sample",
    "type": "STANDARD",
}
"""What asks for nothing: a file holds every option of each concept."""
_NAME = re.compile(r"[a-z][a-z_]{0,40}")
_NAMED = 8


def not_taken(concepts: Iterable[Mapping[str, Any]]) -> list[str]:
    """The options that these concepts switch on or set to something unusual, by their names in the file."""
    found: dict[str, None] = {}
    for concept in concepts:
        inside = [concept.get(name) for name in ("image", "text")]
        for options in (concept, *(each for each in inside if isinstance(each, dict))):
            found |= {name: None for name, value in options.items() if _NAME.fullmatch(name) and _asks(name, value)}
    return list(found)


def _asks(name: str, value: object) -> bool:
    if name in _USUAL:
        return value is not None and value != _USUAL[name]
    return value is True and name not in _TAKEN


def not_taken_sentence(file: str, concepts: Iterable[Mapping[str, Any]]) -> str:
    """One sentence on them; empty where nothing is left."""
    options = not_taken(concepts)
    if not options:
        return ""
    more = f" and {len(options) - _NAMED} more" if len(options) > _NAMED else ""
    return f"Not taken from {file}: {', '.join(options[:_NAMED])}{more}. Set the like of it in the Train tab."
