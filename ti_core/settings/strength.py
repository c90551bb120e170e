"""A word at a strength, as people write it for A1111: `(word:0.5)` in the prompt, and for less than nothing the same
in the negative prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from ti_core.settings.emphasis import escaped

SLIDER_STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
NEGATIVE_STRENGTHS = (0.0, -1.0)
"""What previews show: a slider from less to more; a picture without the negative word and with it."""


def weighed(word: str, strength: float) -> str:
    """The word with emphasis; at 1 it needs no brackets."""
    return escaped(word) if strength == 1 else f"({escaped(word)}:{strength:g})"


def without_word(prompt: str) -> str:
    """The prompt as it would be put without its `[name]`: "a photo, pink background", "a house"."""
    for piece in (" in the style of [name]", " of [name]", ", [name]", "[name], "):
        prompt = prompt.replace(piece, "")
    return prompt.replace("[name]", "").strip()


def at_strength(prompt: str, negative: str, word: str, strength: float) -> tuple[str, str]:
    """Prompt and negative prompt that show the word at this strength. `prompt` has `[name]` where it stands; at 0 and
    below it stands there no more, and below 0 in the negative prompt.
    """
    if strength > 0:
        return prompt.replace("[name]", weighed(word, strength)), negative
    bare = without_word(prompt)
    if strength == 0:
        return bare, negative
    return bare, ", ".join(filter(None, [negative.strip(), weighed(word, -strength)]))


def strength_label(strength: float, strengths: Sequence[float] = SLIDER_STRENGTHS) -> str:
    """Above a column of pictures. Where there are but two, it says what they are."""
    if tuple(strengths) == NEGATIVE_STRENGTHS:
        return "as negative prompt" if strength else "without"
    return f"{strength:g}"
