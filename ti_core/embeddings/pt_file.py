"""A1111's own format, `.pt` (A1111 1.10.1, textual_inversion.py: Embedding.save; modules/safe.py), written so that
every A1111 release reads it; formats.py reads it with the others.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.torch_file import repacked
from ti_core.files import save_atomically

STAR_TOKEN = 265
"""CLIP's id of `*`, which A1111 writes into every file."""


def save_pt(path: Path, embedding: Embedding) -> Path:
    """Write atomically. Raises UserError if the disk is full."""
    data = plain_zip(content_of(embedding, embedding.plain))
    return save_atomically(path, lambda part: part.write_bytes(data))


def content_of(embedding: Embedding, rows: dict[str, Any]) -> dict[str, Any]:
    """A1111's dict, with `rows` as the vectors of each encoder.

    Those of two encoders (SDXL) stand alone, because A1111 then takes every entry for vectors (A1111 1.10.1,
    create_embedding_from_data).
    """
    if len(rows) > 1:
        return rows
    return {
        "string_to_token": {"*": STAR_TOKEN},
        "string_to_param": {"*": next(iter(rows.values()))},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
    }


def plain_zip(content: dict[str, Any]) -> bytes:
    """torch.save, less the zip members that A1111's file check refuses (A1111 1.10.1, modules/safe.py:
    check_zip_filenames; data.pkl, version and data/N only).
    """
    saved = io.BytesIO()
    torch.save(content, saved)
    with zipfile.ZipFile(saved) as source:
        return repacked(source)
