"""CLIP's tokenizers, made of the vocabulary in assets/, for checkpoints that bring none of their own."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

from ti_core.models.families.family import CONFIGS, Family

VOCABULARY = CONFIGS / "clip_vocabulary"
"""CLIP's 49,408 tokens, the same for all text encoders; tools/make_clip_vocabulary.py makes it."""
CLIP_TOKENS = 49_408


def load_tokenizers(family: Family) -> tuple[CLIPTokenizer, ...]:
    """One tokenizer for each text encoder of the family, in their order.

    The padding token is set last: given to the constructor, "!" (SD2, SDXL's second) would become a special token,
    and a "!" in a prompt would be read as padding, id 0, where A1111 reads "!</w>", id 256. So these are better
    than a checkpoint folder's own tokenizers.
    """
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


def folder_tokenizers(path: Path, family: Family) -> tuple[CLIPTokenizer, ...]:
    """Those of a diffusers folder, or ours if it has CLIP's vocabulary (`load_tokenizers` says why). Raises ValueError
    or OSError.
    """
    tokenizers = tuple(_load_tokenizer(path / f"tokenizer{suffix}") for suffix in family.folder_suffixes)
    return load_tokenizers(family) if all(len(tokenizer) == CLIP_TOKENS for tokenizer in tokenizers) else tokenizers


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Checked, because a missing tokenizer folder gives an empty one without a word."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) < 512 or tokenizer.model_max_length > 1024:
        raise ValueError("its tokenizer folder is missing or incomplete")
    return tokenizer
