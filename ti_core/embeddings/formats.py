"""Any embedding file in, any format out. Content decides how a file is read, the suffix how it is written.

The one list of formats, without torch; every list of suffixes in the program follows from it. A new format is a file
with an `EmbeddingFormat` in it, and its line in FORMATS.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ti_core.checkpoints.tensor_headers import check_is_no_text
from ti_core.embeddings.embedding_format import EmbeddingFormat
from ti_core.embeddings.png_file import PNG, WEBP
from ti_core.embeddings.pt_file import BIN, PT
from ti_core.embeddings.safetensors_file import SAFETENSORS
from ti_core.errors import UserError

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding

FORMATS = (PT, SAFETENSORS, BIN, PNG, WEBP)
"""In the order of preference where embeddings/ has several files of one name."""
FORMAT_OF_SUFFIX = {each.suffix: each for each in FORMATS}
SUFFIXES = tuple(FORMAT_OF_SUFFIX)
WRITABLE = tuple(each.suffix for each in FORMATS if each.save)
TRAINABLE = tuple(each.suffix for each in FORMATS if each.can_train)
PICTURES = tuple(each.suffix for each in FORMATS if each.is_picture)
PICKLE_BEARING = tuple(each.suffix for each in FORMATS if each.may_hold_pickles)
SAVED_BY_TRAINING = tuple(each.suffix for each in FORMATS if each.trained_encoders)
ENCODER_OF_WIDTH = {768: "clip_l", 1024: "clip_h", 1280: "clip_g", 4096: "t5"}
"""Text encoders of Stable Diffusion 1, of Stable Diffusion 2, the second one of SDXL, and T5-XXL of other families."""


def format_of(path: Path) -> EmbeddingFormat:
    """The format of a file by its first bytes, because files get renamed; by its suffix where these tell nothing.
    Raises UserError for a suffix that no format has.
    """
    if path.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise UserError(
            f"'{path.name}' is no embedding file that can be read.", f"Choose one of: {', '.join(SUFFIXES)}."
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError:
        begin, size = b"", 0
    # The suffix's own format first, because .pt and .bin begin alike and differ in what is done with them.
    by_suffix = FORMAT_OF_SUFFIX[path.suffix.lower()]
    return next((each for each in (by_suffix, *FORMATS) if each.begins(begin, size)), by_suffix)


def suffix_of_training(encoders: Sequence[str]) -> str:
    """The format in which a training saves, by the model's text encoders: A1111's .pt for one; for SDXL's two
    .safetensors, which all programs read.
    """
    return next(each.suffix for each in FORMATS if len(encoders) in each.trained_encoders)


def written_in_words() -> str:
    """For help texts: ".pt, .safetensors or .png"."""
    return f"{', '.join(WRITABLE[:-1])} or {WRITABLE[-1]}"


# ---- reading


def load_embedding(path: Path, second: Path | None = None, *, name: str = "") -> Embedding:
    """The embedding in a file of any known format, its encoder named by its width; raises UserError.

    `second` is the other file of an SDXL embedding that diffusers saved as two. `name` chooses among those that a
    LoRA bundles.
    """
    from ti_core.embeddings.merge import join

    if second is not None:
        return join(load_embedding(path, name=name), load_embedding(second, name=name))
    found = load_embeddings(path)
    chosen = [embedding for embedding in found if embedding.name == name] if name else found
    if len(chosen) != 1:
        listed = ", ".join(embedding.name for embedding in found)
        problem = f"has none called '{name}'" if name else f"bundles {len(found)} embeddings"
        raise UserError(f"'{path.name}' {problem}.", f"Choose by name: {listed}.")
    return chosen[0]


def load_embeddings(path: Path) -> list[Embedding]:
    """All embeddings in a file: one, but for a LoRA that bundles several. Raises UserError."""
    if not path.is_file():
        raise UserError(f"'{path.name}' does not exist in {path.parent.name}/.", "Check the path.")
    with contextlib.suppress(OSError), path.open("rb") as file:
        check_is_no_text(path, file.read(64), "embedding")
    return [_with_encoder_named(embedding) for embedding in format_of(path).load(path)]


# ---- writing


def save_embedding(path: Path, embedding: Embedding) -> Path:
    """Write in the format of the suffix; a `.png` becomes a plain card with the word on it.

    SDXL leaves no room for step and checkpoint in `.pt` and `.png`. Raises UserError for another suffix or a full disk.
    """
    check_writable(path)
    save = FORMAT_OF_SUFFIX[path.suffix.lower()].save
    assert save, f"{path.suffix} is not written"
    return save(path, embedding)


def check_writable(path: Path) -> None:
    """Raises UserError if `save_embedding` has no format for the suffix."""
    if path.suffix.lower() not in WRITABLE:
        raise UserError(
            f"'{path.name}' does not end in a format that can be written.", f"Choose one of: {', '.join(WRITABLE)}."
        )


def _with_encoder_named(embedding: Embedding) -> Embedding:
    """No format says whose the vectors of a single encoder are, so the width has to."""
    if len(embedding.vectors) > 1:
        return embedding
    ((encoder, rows),) = embedding.vectors.items()
    return replace(embedding, vectors={ENCODER_OF_WIDTH.get(rows.shape[1], encoder): rows})
