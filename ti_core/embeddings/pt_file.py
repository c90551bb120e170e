"""A1111's own format, `.pt`, written so that every release of A1111 reads it, and `.bin`, the same container as
diffusers and older trainers name it (A1111 1.10.1, textual_inversion.py: Embedding.save; modules/safe.py).
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ti_core.embeddings.embedding import KIND_KEY, Embedding
from ti_core.embeddings.embedding_format import EmbeddingFormat
from ti_core.files import save_atomically

STAR_TOKEN = 265
"""CLIP's id of `*`, which A1111 writes into every file."""
ZIP, PICKLE = b"PK\x03\x04", b"\x80\x02"
"""First bytes of a file by torch.save since 1.6, and before."""


def load_pt(path: Path) -> list[Embedding]:
    """The embedding in a file of torch.save, or all that a LoRA bundles; no code in it is run. Raises UserError."""
    from ti_core.embeddings.layouts import embeddings_in
    from ti_core.embeddings.torch_file import load_torch_file

    return embeddings_in(load_torch_file(path), path)


def save_pt(path: Path, embedding: Embedding) -> Path:
    """Write atomically; SDXL's two encoders leave no room for step and checkpoint. Raises UserError if the disk is
    full.
    """
    data = plain_zip(content_of(embedding, embedding.plain))
    return save_atomically(path, lambda part: part.write_bytes(data))


def content_of(embedding: Embedding, rows: dict[str, Any]) -> dict[str, Any]:
    """A1111's dict, with `rows` as the vectors of each encoder: tensors [vectors, width], or JSON lists of them.

    Those of two encoders (SDXL) stand alone, because A1111 then takes every entry for vectors (A1111 1.10.1,
    textual_inversion.py: create_embedding_from_data).
    """
    if len(rows) > 1:
        return rows
    kind = embedding.kind.text
    return {
        "string_to_token": {"*": STAR_TOKEN},
        "string_to_param": {"*": next(iter(rows.values()))},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
        **({KIND_KEY: kind} if kind else {}),
    }


def plain_zip(content: dict[str, Any]) -> bytes:
    """The bytes of torch.save without the zip members that A1111's file check refuses: it takes data.pkl, version
    and data/N only (A1111 1.10.1, modules/safe.py: check_zip_filenames).
    """
    import torch

    from ti_core.embeddings.torch_file import repacked

    saved = io.BytesIO()
    torch.save(content, saved)
    with zipfile.ZipFile(saved) as source:
        return repacked(source)


PT = EmbeddingFormat(
    suffix=".pt",
    description="is A1111's own",
    begins=lambda begin, size: begin.startswith((ZIP, PICKLE)),
    load=load_pt,
    save=save_pt,
    trained_encoders=(1,),
    may_hold_pickles=True,
    holds_name=True,
)
BIN = replace(
    PT, suffix=".bin", description="is diffusers' older one", save=None, trained_encoders=(), holds_name=False
)
