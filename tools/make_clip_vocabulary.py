"""Writes assets/families/clip_vocabulary again from OpenAI's own list of merges, so that everyone can check where
it comes from.

Usage: pip download --no-deps openai-clip==1.0.1 && python tools/make_clip_vocabulary.py openai-clip-1.0.1.tar.gz
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tarfile
from pathlib import Path

LIST = "openai-clip-1.0.1/clip/bpe_simple_vocab_16e6.txt.gz"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 48_894
"""The list is longer; CLIP uses its first lines, so that the vocabulary has 49,408 tokens."""
FOLDER = Path(__file__).resolve().parent.parent / "assets" / "families" / "clip_vocabulary"


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes: first the bytes that are printable themselves, then chr(256)
    and on.
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def main(package: str, folder: Path = FOLDER) -> None:
    """Write vocab.json and merges.txt."""
    with tarfile.open(package) as archive:
        member = archive.extractfile(LIST)
        packed = member.read() if member else b""
    if (found := hashlib.sha256(packed).hexdigest()) != SHA256:
        raise SystemExit(
            f"{LIST} in {package} has the SHA-256 {found}, not {SHA256}. Download openai-clip 1.0.1 again."
        )
    merges = gzip.decompress(packed).decode("utf-8").split("\n")[1 : MERGES + 1]
    letters = byte_letters()
    tokens = [
        *letters,
        *(x + "</w>" for x in letters),
        *(x.replace(" ", "") for x in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False, indent=2)
    (folder / "vocab.json").write_text(vocabulary + "\n", encoding="utf-8", newline="\n")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1])
