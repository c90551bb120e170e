"""What a checkpoint's file name says of it, by whole words, where nothing in the file does: rectified flow, and models
that were distilled to a few steps.
"""

from __future__ import annotations

import itertools
import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
"""noobXLRF_v0.3 -> noob, XLRF, v, 0, 3."""
_FLOW_WORDS = ("rf", "xlrf", "rflow", "rectified", "flow", "flowmatch", "flowmatching", "instaflow", "reflow")
_FEW_STEP_WORDS = {
    "turbo": "Turbo",
    "lightning": "Lightning",
    "lcm": "LCM",
    "dmd": "DMD2",
    "tcd": "TCD",
    "hypersd": "Hyper-SD",
    "hypersdxl": "Hyper-SD",
    "perflow": "PeRFlow",
}


def flow_word(stem: str) -> str:
    """The word of a file's name by which it is a model of rectified flow; empty if there is none.

    Such files of Stable Diffusion XL have the same tensors as others, and often nothing else that tells.
    """
    if "perflow" in stem.lower():  # distilled by a flow, and predicts the noise as its teacher does
        return ""
    if "rectifiedflow" in stem.lower():
        return "rectifiedflow"
    word = next((word for word in _words(stem) if word in _FLOW_WORDS), "")
    return word.removeprefix("xl")


def few_steps_named(stem: str) -> str:
    """How a model was distilled to a few steps, by its file's name: Turbo, Lightning, LCM, DMD2 ...; else empty."""
    words = _words(stem)
    pairs = [first + second for first, second in itertools.pairwise(words)]
    found = next((_FEW_STEP_WORDS[word] for word in (*words, *pairs) if word in _FEW_STEP_WORDS), "")
    return found or ("PeRFlow" if "perflow" in stem.lower() else "")


def _words(stem: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(stem)]
