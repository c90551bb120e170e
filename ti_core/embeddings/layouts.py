"""What trainers put into a file, whatever its container: which entry holds the vectors of which text encoder (A1111
1.10.1, textual_inversion.py: create_embedding_from_data). One function a layout, in one list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ti_core.embeddings.embedding import (
    BUNDLE,
    ENCODER_OF_FIRST_FORMAT,
    KIND_KEY,
    MAX_VECTORS,
    MAX_WIDTH,
    SDXL_ENCODERS,
    Embedding,
)
from ti_core.errors import UserError
from ti_core.settings.word_kind import WordKind
from ti_core.workspace import clean_name

OUTPUT_KEYS = {"emp_params_out", "clip_l_out", "clip_g_out"}
"""OneTrainer's output embeddings: vectors that replace what the text encoder puts out, instead of what goes into it."""
GENERIC = "learned_embeds"
"""What diffusers calls every file."""
_OTHER_ENCODERS = ("t5", "umt5", "llama", "gemma", "qwen")
"""How the keys of text encoders begin that no model here has."""
_ANOTHER = "Choose an embedding file."


def embeddings_in(content: Any, path: Path, facts: Mapping[str, Any] | None = None, name: str = "") -> list[Embedding]:
    """The embeddings among the entries of a file: one, or all that a LoRA bundles, in the file's order.

    `content` is a dict of entries, or one tensor; LAYOUTS says what is understood. `facts` holds step and checkpoint
    under A1111's keys; without it they are looked for in `content`. `name` is the file's stem if empty. Vectors of a
    single encoder come under ENCODER_OF_FIRST_FORMAT. Raises UserError that names the file and says why.
    """
    if isinstance(content, Tensor):
        content = {"": content}
    if not isinstance(content, dict) or not content:
        raise UserError(f"'{path.name}' is not a Textual Inversion embedding.", _ANOTHER)
    # A LoRA with embeddings in it holds thousands of other tensors, so its prefix is looked for first.
    bundled = _bundled(content)
    if bundled:
        return [_embedding(entries, {}, safe_name(found, path), path.name) for found, entries in bundled.items()]
    found = _embedding(content, content if facts is None else facts, name or path.stem, path.name)
    return [replace(found, token=_token_of(content, path))]


def safe_name(value: Any, path: Path) -> str:
    """A name that was found inside a file, made safe as a file name; if it is no name, the stem of `path`."""
    try:
        return clean_name(value if isinstance(value, str) else path.stem)
    except UserError:
        return clean_name(f"embedding {path.stem}")


def _token_of(content: Mapping[Any, Any], path: Path) -> str:
    """What diffusers' trainer was told to teach: its files are all called learned_embeds, and hold one tensor under
    that token. Empty for other files.
    """
    key = next(iter(content))
    return safe_name(key, path) if path.stem.startswith(GENERIC) and len(content) == 1 and key else ""


def _bundled(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Name -> entries of each embedding that a LoRA bundles; empty if there are none."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not key.startswith(BUNDLE):
            continue
        name, is_param, term = key.removeprefix(BUNDLE).partition(".string_to_param.")
        if is_param:
            found.setdefault(name, {}).setdefault("string_to_param", {})[term] = value
        else:
            name, _, encoder = key.removeprefix(BUNDLE).rpartition(".")
            found.setdefault(name, {})[encoder] = value
    return found


def _embedding(entries: Mapping[Any, Any], facts: Mapping[str, Any], name: str, where: str) -> Embedding:
    vectors, notes = _vectors(entries, where)
    step = facts.get("step")
    return Embedding(
        name=name,
        vectors=vectors,
        step=step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None,
        checkpoint_hash=_text(facts.get("sd_checkpoint")),
        checkpoint_name=_text(facts.get("sd_checkpoint_name")),
        notes=notes,
        kind=WordKind.parse(facts.get(KIND_KEY)),
    )


# ---- vectors


def _vectors(entries: Mapping[Any, Any], where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Vectors by encoder in the first layout that fits, and notes about what is left out. Raises UserError."""
    inputs = {key: value for key, value in entries.items() if key not in OUTPUT_KEYS}
    outputs = ", ".join(sorted(key for key in entries.keys() - inputs.keys() if isinstance(entries[key], Tensor)))
    for layout in LAYOUTS:
        if (vectors := layout(inputs, where)) is not None:
            return vectors, _notes(outputs)
    # No layout fits: say the nearest reason.
    tensors = _tensors(inputs)
    if others := [key for key in tensors if key.lower().startswith(_OTHER_ENCODERS)]:
        raise UserError(
            f"'{where}' is an embedding of Stable Diffusion 3, Flux or another newer family: it holds vectors of"
            f" {'T5' if 't5' in others[0].lower() else others[0]} ({', '.join(tensors)}).",
            "Choose one of Stable Diffusion 1, 2 or XL.",
        )
    if outputs and not tensors:
        raise UserError(
            f"'{where}' holds output vectors only ({outputs}), which replace the text encoder's output and work in"
            " OneTrainer alone.",
            "Train it again in OneTrainer with its output embedding option off.",
        )
    if not tensors:
        raise UserError(f"'{where}' is not a Textual Inversion embedding: it holds no vectors.", _ANOTHER)
    shown = ", ".join(list(tensors)[:4]) + (", ..." if len(tensors) > 4 else "")
    raise UserError(f"'{where}' is not the embedding of one word: it holds {len(tensors)} tensors ({shown}).", _ANOTHER)


def _notes(outputs: str) -> tuple[str, ...]:
    if not outputs:
        return ()
    return (
        f"Output vectors ({outputs}) cannot be used in a prompt and are left out; what was trained may be in them.",
    )


def _tensors(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}


# ---- the layouts


def string_to_param(entries: Mapping[Any, Any], where: str) -> dict[str, Tensor] | None:
    """A1111's: `string_to_param` maps the placeholder `*` to a tensor [vectors, width]."""
    if "string_to_param" not in entries:
        return None
    params = entries["string_to_param"]
    if isinstance(params, dict) and len(params) > 1:
        raise UserError(f"'{where}' is not the embedding of one word: it holds {len(params)} terms.", _ANOTHER)
    value = next(iter(params.values())) if isinstance(params, dict) and params else None
    if not isinstance(value, Tensor):
        raise UserError(f"'{where}' is not a Textual Inversion embedding: it holds no vectors.", _ANOTHER)
    return {ENCODER_OF_FIRST_FORMAT: checked_vectors(value, where)}


def single_tensor(entries: Mapping[Any, Any], where: str) -> dict[str, Tensor] | None:
    """One tensor under any key: diffusers (the token), kohya and ours (`emb_params`), OneTrainer, invoke-training."""
    tensors = _tensors(entries)
    if len(tensors) != 1:
        return None
    return {ENCODER_OF_FIRST_FORMAT: checked_vectors(next(iter(tensors.values())), where)}


def clip_l_and_clip_g(entries: Mapping[Any, Any], where: str) -> dict[str, Tensor] | None:
    """SDXL's: a tensor [vectors, 768] under `clip_l` and one [vectors, 1280] under `clip_g`."""
    tensors = _tensors(entries)
    if set(tensors) != set(SDXL_ENCODERS):
        return None
    vectors = {encoder: checked_vectors(tensors[encoder], where) for encoder in SDXL_ENCODERS}
    first, second = (len(rows) for rows in vectors.values())
    if first != second:
        raise UserError(
            f"'{where}' holds {first} vectors for one text encoder (clip_l) and {second} for the other (clip_g).",
            _ANOTHER,
        )
    return vectors


Layout = Callable[[Mapping[Any, Any], str], dict[str, Tensor] | None]
"""Entries of a file and the file's name -> vectors [vectors, width] by encoder, None if the entries are in another
layout. Raises UserError for entries that are in this layout and damaged.
"""
LAYOUTS: tuple[Layout, ...] = (string_to_param, single_tensor, clip_l_and_clip_g)
"""Tried in this order; a new layout is a function of the above kind and its place here."""


# ---- checks


def checked_vectors(rows: Tensor, where: str) -> Tensor:
    """The tensor of a file, [vectors, width] or [width], as float32 [vectors, width] on the CPU. Raises UserError if it
    is no list of finite vectors of a possible size; `where` names the file.
    """
    # Kinds of tensors whose shape or values cannot be asked for like those of a plain one.
    if rows.is_nested or rows.is_meta or rows.layout is not torch.strided:
        raise UserError(f"'{where}' holds a tensor that is no plain table of numbers.", "Choose another file.")
    if rows.ndim == 1:
        rows = rows[None]
    if (
        not rows.is_floating_point()
        or rows.ndim != 2
        or not 1 <= len(rows) <= MAX_VECTORS
        or not 1 <= rows.shape[1] <= MAX_WIDTH
    ):
        raise UserError(
            f"'{where}' holds a tensor of shape {list(rows.shape)}, which is no list of vectors.",
            "Choose another file.",
        )
    rows = rows.detach().to("cpu", torch.float32)
    if not bool(rows.isfinite().all()):
        raise UserError(
            f"'{where}' holds vectors that are not finite numbers: its training failed.", "Use an earlier copy."
        )
    return rows


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
