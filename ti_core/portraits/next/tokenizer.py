"""The small CLIP byte-pair vocabulary of the 128 px world: any text tokenizes, every known name is one token."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

from ti_core.portraits.next.pictures import PictureBook
from ti_core.portraits.next.world import NAME_COUNT, made_up_names
from ti_core.portraits.tokenizer import MAX_LENGTH, _byte_letters, learn_merges

OTHER_WORDS = (
    "person",
    "face",
    "someone",
    "art",
    "by",
    "my",
    "the",
    "boy",
    "girl",
    "man",
    "woman",
    "old",
    "young",
    "dog",
    "puppy",
    "pet",
    "cup",
    "behind",
    "head",
)


def build_tokenizer(folder: Path, captions: int = 20_000, limit: int = 9_000) -> CLIPTokenizer:
    """Learn the merges from captions and names and save a CLIPTokenizer in `folder`."""
    rng, book = random.Random(42), PictureBook(42)
    words: Counter[str] = Counter()
    for number in range(captions):
        words.update(re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", book[number].caption(rng).text.lower()))
    for word in (*made_up_names(NAME_COUNT), *OTHER_WORDS):
        words[word] += 5
    letters = _byte_letters()
    merges = learn_merges(words, limit)
    vocabulary = [
        *letters,
        *(x + "</w>" for x in letters),
        *(a + b for a, b in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = list(dict.fromkeys(vocabulary))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}), encoding="utf-8")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in merges) + "\n", encoding="utf-8"
    )
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)
