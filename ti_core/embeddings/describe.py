"""What is inside an embedding file, for people and programs (`inspect`)."""

from __future__ import annotations

from typing import Any

from ti_core.embeddings.embedding import SDXL_ENCODERS, Embedding

FAMILY_OF_WIDTH = {
    192: "Portraits",
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    1280: "second text encoder of SDXL",
}


def describe(embedding: Embedding) -> dict[str, Any]:
    """Plain values for JSON: name, family, vectors, width (of all encoders together), encoders, step, norms,
    checkpoint, notes.
    """
    width = sum(embedding.widths.values())
    return {
        "name": embedding.name,
        "family": "SDXL" if set(embedding.vectors) == set(SDXL_ENCODERS) else FAMILY_OF_WIDTH.get(width, "unknown"),
        "vectors": embedding.count,
        "width": width,
        "encoders": embedding.widths,
        "step": embedding.step,
        "norms": [round(norm, 4) for norms in embedding.norms.values() for norm in norms],
        "checkpoint": embedding.checkpoint_name,
        "checkpoint_hash": embedding.checkpoint_hash,
        "notes": list(embedding.notes),
    }
