"""What is inside an embedding file, for users and programs (the command `inspect`)."""

from __future__ import annotations

from typing import Any

from ti_core.embeddings.embedding import SDXL_ENCODERS, Embedding

FAMILY_OF_WIDTH = {
    192: "Portraits",
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    1280: "second text encoder of SDXL",
    4096: "T5 (Stable Diffusion 3, Flux, PixArt); no model here has it",
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
        "kind": embedding.kind.to_dict() or {"kind": embedding.kind.kind},
        "norms": [round(norm, 4) for norms in embedding.norms.values() for norm in norms],
        "checkpoint": embedding.checkpoint_name,
        "checkpoint_hash": embedding.checkpoint_hash,
        "notes": [*embedding.notes, *_token_note(embedding)],
    }


def _token_note(embedding: Embedding) -> list[str]:
    if embedding.token in ("", embedding.name):
        return []
    return [f"It was trained under the token '{embedding.token}'; in prompts its word is that of the file."]
