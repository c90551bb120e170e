"""`.safetensors`: read without loading what is no embedding, written in the layout that A1111, ComfyUI, kohya and
diffusers all read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.embeddings.embedding import BUNDLE, KIND_KEY, MAX_VECTORS, MAX_WIDTH, Embedding
from ti_core.embeddings.embedding_format import EmbeddingFormat
from ti_core.errors import UserError
from ti_core.files import reason, save_atomically

if TYPE_CHECKING:
    from torch import Tensor

KEY_OF_ONE_ENCODER, KEY_OF_ONETRAINER = "emb_params", "emp_params"
MAX_HEADER_BYTES = 16 * 2**20
"""A LoRA's header, with all that its trainer noted down, stays below 2 MB."""
MAX_TENSORS = 16
_ANOTHER = "Choose an embedding file."
_DAMAGED = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError)
"""What the safetensors library raises for a damaged file, beside its own SafetensorError."""


def save_safetensors(path: Path, embedding: Embedding, key: str = KEY_OF_ONE_ENCODER) -> Path:
    """Write atomically: one tensor [vectors, width] `key`, or `clip_l` and `clip_g` for SDXL, and no other; name,
    step and checkpoint are metadata.

    A1111 counts the tensors, ignores the metadata and names the word by the file. Raises UserError if the disk is
    full.
    """
    from safetensors.torch import save

    # A1111 takes a file of one tensor under any key for an embedding; kohya's trainers call it emb_params.
    rows = embedding.plain
    if len(rows) == 1:
        rows = {key: next(iter(rows.values()))}
    facts = {
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
        KIND_KEY: embedding.kind.text or None,
    }
    data = save(rows, {key: str(value) for key, value in facts.items() if value is not None})
    return save_atomically(path, lambda part: part.write_bytes(data))


# ---- reading


def load_safetensors(path: Path) -> list[Embedding]:
    """The embedding of the file, or all that a LoRA bundles. Raises UserError that says why it cannot be read."""
    from safetensors import SafetensorError

    from ti_core.embeddings.layouts import embeddings_in

    try:
        _check_header(path)
        tensors, metadata = _read(path)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent.name}/.", "Check the path.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file.") from error
    except (SafetensorError, *_DAMAGED) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"'{path.name}' is damaged: its list of tensors does not fit what follows ({said}).", "Choose another file."
        ) from error
    return embeddings_in(tensors, path, _facts(metadata))


def _check_header(path: Path) -> None:
    """Raises UserError if the header's length, the first 8 bytes, cannot be true. Checked before anything of that
    length is read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length, begin = int.from_bytes(file.read(8), "little"), file.read(1)
    if size < 10 or length > size - 8 or begin != b"{":
        raise UserError(
            f"'{path.name}' is no safetensors file, or only a part of one ({size} bytes).", "Choose another file."
        )
    if length > MAX_HEADER_BYTES:
        raise UserError(
            f"'{path.name}' has a header of {length} bytes, far more than any embedding needs.", "Choose another file."
        )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors that can be vectors, and the metadata. Tensors are cloned, because the library maps the file into
    memory, which locks it on Windows.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        found = {}
        for key in _keys_of_vectors(list(file.keys()), path.name):
            shape = file.get_slice(key).get_shape()
            if len(shape) > 2 or math.prod(shape) > MAX_VECTORS * MAX_WIDTH:
                raise UserError(
                    f"'{path.name}' holds a tensor of shape {shape} ({key}), which is no list of vectors.", _ANOTHER
                )
            found[key] = file.get_tensor(key).clone()
        return found, dict(file.metadata() or {})


def _keys_of_vectors(keys: list[str], where: str) -> list[str]:
    # Of a LoRA that bundles embeddings only these are read; its other tensors may be hundreds of megabytes.
    bundled = [key for key in keys if key.startswith(BUNDLE)]
    if bundled or len(keys) <= MAX_TENSORS:
        return bundled or keys
    kind = (
        "a LoRA without embeddings in it"
        if any("lora" in key for key in keys)
        else "a checkpoint or another kind of model"
    )
    raise UserError(f"'{where}' is {kind}: it holds {len(keys)} tensors.", _ANOTHER)


def _facts(metadata: dict[str, str]) -> dict[str, Any]:
    step = metadata.get("step", "")
    return {**metadata, "step": int(step) if step.isascii() and step.isdecimal() and len(step) < 10 else None}


SAFETENSORS = EmbeddingFormat(
    suffix=".safetensors",
    description="is read by all programs",
    begins=lambda begin, size: begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= size,
    load=load_safetensors,
    save=save_safetensors,
    trained_encoders=(2,),
)
