"""What the program knows of one format of embedding files: its suffix, its reader, its writer and a few facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding


@dataclass(frozen=True)
class EmbeddingFormat:
    """One format; formats.py lists them all, and every list of suffixes follows from that one.

    A format's module imports torch inside its functions, so that lists of files are made without it.
    `suffix` is in small letters, with its dot. `description` completes the sentence "<suffix> ..." for users.
    `begins(first_12_bytes, size_bytes)` tells the format by a file's first bytes, because files get renamed.
    `load` gives all embeddings of a file (several for a LoRA that bundles them) or raises UserError; `save` writes
    atomically and is None for a format that is only read.
    `trained_encoders`: trainings of models with so many text encoders (1: SD 1 and 2, 2: SDXL) are saved in it.
    `can_train` says whether a training can go on from such a file; `may_hold_pickles`, whether a shared page takes
    it only with --allow-pickle.
    `is_picture`: the word is the name that the picture shows, and without an embedding inside it is somebody's
    picture. `holds_name`: the word stands in the file too, so renaming rewrites it.
    `word_in` gives the word of a file whose name is not the word, empty if the file holds no embedding; without torch,
    because it is asked before a file is listed.
    """

    suffix: str
    description: str
    begins: Callable[[bytes, int], bool]
    load: Callable[[Path], list[Embedding]]
    save: Callable[[Path, Embedding], Path] | None = None
    trained_encoders: tuple[int, ...] = ()
    can_train: bool = True
    may_hold_pickles: bool = False
    is_picture: bool = False
    holds_name: bool = False
    word_in: Callable[[Path], str] | None = None
