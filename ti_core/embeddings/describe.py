"""What is inside an embedding file, for users and programs (the command `inspect`)."""

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
    """The embedding's facts as values for JSON. `width` is the sum over all encoders, `encoders` the width of each,
    `norms` the L2 norm of each vector, those of the first encoder first.
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
