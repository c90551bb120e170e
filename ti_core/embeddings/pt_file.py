"""A1111's own format, `.pt` (reference 3.1, 3.7), written so that every A1111 release reads it; formats.py reads it with the others."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ti_core.embeddings.embedding import Embedding
from ti_core.files import save_atomically

STAR_TOKEN = 265
"""CLIP's id of `*`, which A1111 writes into every file."""


def save_pt(path: Path, embedding: Embedding) -> Path:
    """Write atomically. Vectors of two encoders (SDXL) go in as A1111 wants them, with no room for step and checkpoint.

    Raises UserError if the disk is full.
    """
    rows = {encoder: _plain_rows(rows) for encoder, rows in embedding.vectors.items()}
    data = plain_zip(rows if len(rows) > 1 else _first_format(next(iter(rows.values())), embedding))
    return save_atomically(path, lambda part: part.write_bytes(data))


def _plain_rows(rows: Tensor) -> Tensor:
    return rows.detach().float().cpu().clone(memory_format=torch.contiguous_format)


def _first_format(rows: Tensor, embedding: Embedding) -> dict[str, Any]:
    return {
        "string_to_token": {"*": STAR_TOKEN},
        "string_to_param": {"*": rows},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
    }


def plain_zip(content: dict[str, Any]) -> bytes:
    """torch.save, less the zip members that A1111's file check refuses (reference 3.7: data.pkl, version and data/N only)."""
    saved = io.BytesIO()
    torch.save(content, saved)
    kept = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target:
        for member in source.namelist():
            inside = member.partition("/")[2]
            if inside in ("data.pkl", "version") or (inside.startswith("data/") and inside[5:].isdigit()):
                target.writestr(zipfile.ZipInfo(f"archive/{inside}"), source.read(member))
    return kept.getvalue()
