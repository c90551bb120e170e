"""Any embedding file in, any format out. Content decides how a file is read, the suffix how it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from ti_core.checkpoints.library import WRITABLE
from ti_core.embeddings.card import render_card
from ti_core.embeddings.embedding import ENCODER_OF_FIRST_FORMAT, Embedding
from ti_core.embeddings.layouts import embeddings_in
from ti_core.embeddings.merge import join
from ti_core.embeddings.png_file import load_picture, save_card
from ti_core.embeddings.pt_file import save_pt
from ti_core.embeddings.safetensors_file import load_safetensors, save_safetensors
from ti_core.embeddings.torch_file import load_torch_file
from ti_core.errors import UserError

CONTAINER_OF_SUFFIX = {
    ".pt": "torch",
    ".bin": "torch",
    ".safetensors": "safetensors",
    ".png": "picture",
    ".webp": "picture",
}
ENCODER_OF_WIDTH = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}
"""Text encoders of Stable Diffusion 1, of Stable Diffusion 2, and the second one of SDXL."""
_CARD_COLOUR, _CARD_SIZE = (96, 104, 120), (512, 512)


def load_embedding(path: Path, second: Path | None = None, *, name: str = "") -> Embedding:
    """The embedding in a file of any known format, its encoder named by its width; raises UserError.

    `second` is the other file of an SDXL embedding that diffusers saved as two. `name` chooses among those that a
    LoRA bundles.
    """
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
    if path.suffix.lower() not in CONTAINER_OF_SUFFIX:
        raise UserError(
            f"'{path.name}' is no embedding file that can be read.", f"Choose one of: {', '.join(CONTAINER_OF_SUFFIX)}."
        )
    match container_of(path):
        case "safetensors":
            found = load_safetensors(path)
        case "picture":
            found = [load_picture(path)]
        case _:
            found = embeddings_in(load_torch_file(path), path)
    return [_with_encoder_named(embedding) for embedding in found]


def save_embedding(path: Path, embedding: Embedding, picture: Image.Image | None = None) -> Path:
    """Write in the format of the suffix; a `.png` becomes a card, of `picture` or of a plain area with the name on it.

    SDXL leaves no room for step and checkpoint in `.pt` and `.png`. Raises UserError for another suffix or a full disk.
    """
    check_writable(path)
    match path.suffix.lower():
        case ".safetensors":
            return save_safetensors(path, embedding)
        case ".png":
            return save_card(path, picture or _plain_card(embedding), embedding)
        case _:
            return save_pt(path, embedding)


def check_writable(path: Path) -> None:
    """Raises UserError if `save_embedding` has no format for the suffix."""
    if path.suffix.lower() not in WRITABLE:
        raise UserError(
            f"'{path.name}' does not end in a format that can be written.", f"Choose one of: {', '.join(WRITABLE)}."
        )


def container_of(path: Path) -> str:
    """How the file begins decides, because files get renamed; what begins like none of them is left to the reader
    of its suffix.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError:
        begin, size = b"", 0
    if begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= size:
        return "safetensors"
    if begin.startswith(b"\x89PNG") or (begin.startswith(b"RIFF") and begin.endswith(b"WEBP")):
        return "picture"
    if begin.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "torch"
    return CONTAINER_OF_SUFFIX[path.suffix.lower()]


def _with_encoder_named(embedding: Embedding) -> Embedding:
    """No format says whose the vectors of a single encoder are, so the width has to."""
    if len(embedding.vectors) > 1:
        return embedding
    (rows,) = embedding.vectors.values()
    return replace(embedding, vectors={ENCODER_OF_WIDTH.get(rows.shape[1], ENCODER_OF_FIRST_FORMAT): rows})


def _plain_card(embedding: Embedding) -> Image.Image:
    known = f"[{embedding.checkpoint_hash}]" if embedding.checkpoint_hash else ""
    steps = "" if embedding.step is None else f" {embedding.step}s"
    return render_card(
        Image.new("RGB", _CARD_SIZE, _CARD_COLOUR),
        f"<{embedding.name}>",
        (embedding.checkpoint_name or "", known, f"{embedding.count}v{steps}"),
    )
