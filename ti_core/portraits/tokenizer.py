"""The small CLIP byte-pair vocabulary of the drawn world: any text tokenizes, every known name is one token."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

from ti_core.portraits.pictures import PictureBook
from ti_core.portraits.world import NAME_COUNT, made_up_names

MAX_LENGTH = 77
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


def _byte_letters() -> list[str]:
    """The 256 printable letters that CLIP's byte-level BPE writes bytes with, in byte order of its own table."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]


def learn_merges(words: Counter[str], limit: int) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one token or `limit` is reached."""
    pieces = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, parts in pieces.items():
            if best[0] in parts:
                pieces[word] = _merge(parts, best)
    return merges


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    i = 0
    while i < len(parts):
        if parts[i : i + 2] == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return tuple(merged)


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
