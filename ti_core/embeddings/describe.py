"""What is inside an embedding file, for people and programs (`inspect`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.png_file import load_picture
from ti_core.embeddings.pt_file import load_pt
from ti_core.errors import UserError

FAMILY_OF_WIDTH = {192: "Portraits", 768: "Stable Diffusion 1", 1024: "Stable Diffusion 2"}


def load_embedding(path: Path) -> Embedding:
    """Read a `.pt`, or a picture that carries an embedding; raises UserError."""
    if not path.is_file():
        raise UserError(f"'{path.name}' does not exist in {path.parent}.", "Check the path.")
    if path.suffix.lower() == ".pt":
        return load_pt(path)
    if path.suffix.lower() in (".png", ".webp"):
        return load_picture(path)
    raise UserError(f"'{path.name}' is no embedding file that can be read.", "Choose a .pt file or a .png card.")


def describe(embedding: Embedding) -> dict[str, Any]:
    """Plain values for JSON: name, family, vectors, width, step, norms, checkpoint."""
    width = next(iter(embedding.widths.values()))
    return {
        "name": embedding.name,
        "family": FAMILY_OF_WIDTH.get(width, "unknown"),
        "vectors": embedding.count,
        "width": width,
        "step": embedding.step,
        "norms": [round(norm, 4) for norms in embedding.norms.values() for norm in norms],
        "checkpoint": embedding.checkpoint_name,
        "checkpoint_hash": embedding.checkpoint_hash,
    }
