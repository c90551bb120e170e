"""A1111's own format, `.pt` (reference 3.1, 3.7): read without running any code in it, written so that every A1111 release reads it."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ti_core.embeddings.embedding import Embedding, checked_vectors
from ti_core.errors import UserError
from ti_core.files import save_atomically

STAR_TOKEN = 265
"""CLIP's id of `*`, which A1111 writes into every file."""
ENCODER_OF_FIRST_FORMAT = "clip_l"
MAX_FILE_BYTES = 64 * 2**20
_DAMAGED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError, zipfile.BadZipFile)
"""What torch's reader raises for bytes that are no file of torch, or that ask for code."""


def save_pt(path: Path, embedding: Embedding) -> Path:
    """Write atomically. Raises UserError if the disk is full."""
    content = {
        "string_to_token": {"*": STAR_TOKEN},
        "string_to_param": {"*": next(iter(embedding.vectors.values())).detach().float().cpu().clone()},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
    }
    data = _plain_zip(content)
    return save_atomically(path, lambda part: part.write_bytes(data))


def _plain_zip(content: dict[str, Any]) -> bytes:
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


def load_pt(path: Path) -> Embedding:
    """Read a `.pt` of A1111; the name is the file's, as A1111 has it. Raises UserError that says why it cannot be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"'{path.name}' is larger than any embedding.", "Choose an embedding file, not a checkpoint.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent}.", "Create it first.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {error.strerror}.", "Check the file.") from error
    except _DAMAGED as error:
        raise UserError(
            f"'{path.name}' cannot be read as an embedding: it is damaged, or holds something else than numbers.", "Choose another file."
        ) from error
    params = content.get("string_to_param") if isinstance(content, dict) else None
    if not isinstance(params, dict) or len(params) != 1 or not isinstance(next(iter(params.values())), Tensor):
        raise UserError(f"'{path.name}' is not a Textual Inversion embedding of A1111.", "Choose a .pt file from an embeddings folder.")
    step = content.get("step")
    return Embedding(
        name=path.stem,
        vectors={ENCODER_OF_FIRST_FORMAT: checked_vectors(next(iter(params.values())), path.name)},
        step=step if isinstance(step, int) else None,
        checkpoint_hash=_text(content.get("sd_checkpoint")),
        checkpoint_name=_text(content.get("sd_checkpoint_name")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
