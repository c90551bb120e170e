"""The options of the Create embedding tab (A1111 1.10.1, modules/ui.py)."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Settings, option
from ti_core.settings.shared import (
    checkpoint_option,
)


@dataclass(frozen=True)
class CreateSettings(Settings):
    """The Create embedding tab (A1111 1.10.1, modules/ui.py)."""

    name: str = option(
        "",
        "Name",
        "textbox",
        "Type a new word, such as anna-01. You will write it into prompts.",
        required=True,
        positional=True,
    )
    initialization_text: str = option(
        "*",
        "Initialization text",
        "textbox",
        "Write one word for what you train, such as woman.",
        a1111="init_text",
    )
    vectors: int = option(
        1,
        "Number of vectors per token",
        "slider",
        "Start with 1. More vectors learn more but follow the prompt less.",
        minimum=1,
        maximum=75,
        step=1,
        a1111="num_vectors_per_token",
    )
    overwrite: bool = option(
        False,
        "Overwrite Old Embedding",
        "checkbox",
        "Replaces an embedding of the same name. Its training is lost.",
        a1111="overwrite_old",
    )
    checkpoint: str = checkpoint_option()
