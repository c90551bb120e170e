"""Emphasis in prompts, as A1111 users write it: `(word)`, `((word))`, `(word:1.2)`, `[word]` (A1111 1.10.1,
prompt_parser.py: parse_prompt_attention). What the weights do stands in models/prompt_encoder.py.

Only what is painted is read so. Training captions are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ROUND, SQUARE = 1.1, 1 / 1.1
"""A pair of brackets without a number multiplies the weight of what is inside by this."""
LARGEST = 100.0
"""Weights are cut to it: hundreds of brackets would overflow a float."""

_SIGNS = re.compile(
    r"""
      (?P<escaped> \\[()\[\]] )
    | (?P<number> : \s* (?P<weight> [+-]? (?: \d+ (?: \.\d* )? | \.\d+ ) ) \s* \) )
    | (?P<open> [(\[] )
    | (?P<close> [)\]] )
    """,
    re.VERBOSE,
)
_ELSEWHERE = (
    (r"<(?:lora|lyco|hypernet):[^<>]*>", "'{}' is read as plain words: LoRA files and hypernetworks are not used."),
    (r"\[[^\[\]|]*(?:\|[^\[\]|]*)+\]", "'{}' does not take turns between words here; it is only weaker."),
    (r"\[[^\[\]:]*:(?:[^\[\]:]*:)?\s*[\d.]+\s*\]", "'{}' does not change the prompt on the way; it is only weaker."),
    (r"(?<!\w)(?:AND|BREAK)(?!\w)", "'{}' is read as a plain word."),
)
"""A1111's other signs, and what becomes of them here."""


def parse_emphasis(prompt: str) -> list[tuple[str, float]]:
    r"""The prompt in pieces of one weight each, at least one. A number counts where a round bracket is open, and
    brackets that are never closed count to the end; `\(` is a plain bracket, and stays escaped, as in captions.
    """
    # The texts, and between them the brackets that count, each with its factor once that is known.
    texts: list[str] = []
    between: list[tuple[str, int]] = []  # the bracket, and which of the factors it begins, or -1 where it ends one
    factors: list[float] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    at = 0
    for sign in _SIGNS.finditer(prompt):
        bracket = {")": "(", "]": "["}.get(sign[0][-1], sign[0])
        closes = bool((sign["close"] or sign["number"]) and opened[bracket])
        if not sign["open"] and not closes:
            continue  # plain text
        texts.append(prompt[at : sign.start()])
        at = sign.end()
        if closes:
            begun = opened[bracket].pop()
            factors[begun] = float(sign["weight"]) if sign["weight"] else factors[begun]
            between.append((bracket, -1))
        else:
            between.append((bracket, len(factors)))
            opened[bracket].append(len(factors))
            factors.append(ROUND if bracket == "(" else SQUARE)
    texts.append(prompt[at:])

    # Round and square brackets each lie within each other, so that a stack of products tells every weight.
    products = {"(": [1.0], "[": [1.0]}
    weights = [1.0]
    for bracket, factor in between:
        if factor < 0:
            products[bracket].pop()
        else:
            products[bracket].append(products[bracket][-1] * factors[factor])
        weights.append(products["("][-1] * products["["][-1])
    return _joined(zip(texts, weights, strict=True))


def _joined(pieces: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Without empty pieces; neighbours of one weight are one piece, so that their words are read together."""
    joined: list[tuple[str, float]] = []
    for text, weight in pieces:
        bounded = max(-LARGEST, min(LARGEST, weight))
        if joined and joined[-1][1] == bounded:
            joined[-1] = (joined[-1][0] + text, bounded)
        elif text:
            joined.append((text, bounded))
    return joined or [("", 1.0)]


def emphasis_texts(prompts: Iterable[str]) -> list[str]:
    """All pieces of the prompts: where names of embeddings are looked for."""
    return [text for prompt in prompts for text, _ in parse_emphasis(prompt)]


def escaped(text: str) -> str:
    """A prompt that means this plain text, such as a caption or a name, with brackets that are brackets."""
    return re.sub(r"\\?([()\[\]])", r"\\\1", text)


def read_otherwise(*prompts: str) -> list[str]:
    """A sentence for each sign of A1111's that means something else here."""
    return [
        sentence.format(found)
        for pattern, sentence in _ELSEWHERE
        for found in dict.fromkeys(match[0] for prompt in prompts for match in re.finditer(pattern, prompt))
    ]
