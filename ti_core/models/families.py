"""The families of Stable Diffusion, a table: which text encoders, and where the configs that a single file lacks
are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ti_core.workspace import ASSETS

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONFIGS = ASSETS / "families"
"""Configs without weights, in diffusers' layout, one folder a family; tokenizers share the vocabulary in
`clip_vocabulary`.
"""
VOCABULARY = CONFIGS / "clip_vocabulary"
"""CLIP's 49,408 tokens, the same for all text encoders; tools/make_clip_vocabulary.py makes it."""

CLIP_TOKENS = 49_408


@dataclass(frozen=True)
class Family:
    """`encoders` names the text encoders in the order of their places in the conditioning, by the keys of embedding
    files.
    """

    name: str
    title: str
    encoders: tuple[str, ...]

    @property
    def folder_suffixes(self) -> tuple[str, ...]:
        """What diffusers puts behind text_encoder and tokenizer for each of them."""
        return ("", "_2")[: len(self.encoders)]

    @property
    def configs(self) -> Path:
        return CONFIGS / self.name


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("sd1", "Stable Diffusion 1", ("clip_l",)),
        Family("sd2", "Stable Diffusion 2", ("clip_h",)),
        Family("sdxl", "Stable Diffusion XL", ("clip_l", "clip_g")),
    )
}


def load_tokenizers(family: Family) -> tuple[CLIPTokenizer, ...]:
    """One tokenizer for each text encoder of the family, in their order.

    The padding token is set last: given to the constructor, "!" (SD2, SDXL's second) would become a special token,
    and a "!" in a prompt would be read as padding, id 0, where A1111 reads "!</w>", id 256. So these are better
    than a checkpoint folder's own tokenizers.
    """
    from transformers import CLIPTokenizer

    tokenizers = []
    for folder in sorted(family.configs.glob("tokenizer*")):
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        tokenizer = CLIPTokenizer(
            str(VOCABULARY / "vocab.json"), str(VOCABULARY / "merges.txt"), model_max_length=config["model_max_length"]
        )
        tokenizer.pad_token = config["pad_token"]
        assert len(tokenizer) >= CLIP_TOKENS, f"{VOCABULARY} is incomplete: {len(tokenizer)} tokens"
        tokenizers.append(tokenizer)
    assert len(tokenizers) == len(family.encoders), (
        f"{family.configs} has {len(tokenizers)} tokenizers for {len(family.encoders)} text encoders"
    )
    return tuple(tokenizers)
