"""What trainers put into a file, whatever its container: which entry holds whose vectors (A1111 1.10.1,
textual_inversion.py: create_embedding_from_data).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ti_core.embeddings.embedding import ENCODER_OF_FIRST_FORMAT, SDXL_ENCODERS, Embedding, checked_vectors
from ti_core.errors import UserError
from ti_core.workspace import clean_name

BUNDLE = "bundle_emb."
"""Prefix of the embeddings inside a LoRA: `bundle_emb.<name>.clip_l`, or `bundle_emb.<name>.string_to_param.*`."""
OUTPUT_KEYS = {"emp_params_out", "clip_l_out", "clip_g_out"}
"""OneTrainer's output embeddings: vectors that replace what the text encoder puts out, instead of what goes into it."""
_ANOTHER = "Choose an embedding file."


def embeddings_in(content: Any, path: Path, facts: Mapping[str, Any] | None = None, name: str = "") -> list[Embedding]:
    """The embeddings among the entries of a file: one, or all that a LoRA bundles, in the file's order.

    Understands A1111's `string_to_param`, one tensor under any key (diffusers, kohya, OneTrainer, invoke-training),
    and `clip_l` with `clip_g` (SDXL). `facts` holds step and checkpoint under A1111's keys; without it they are
    looked for in `content`. `name` is the file's stem if empty. Vectors of one encoder come as
    ENCODER_OF_FIRST_FORMAT. Raises UserError that names the file and says why.
    """
    if isinstance(content, Tensor):
        content = {"": content}
    if not isinstance(content, dict) or not content:
        raise UserError(f"'{path.name}' is not a Textual Inversion embedding.", _ANOTHER)
    bundled = _bundled(content)
    if bundled:
        return [_embedding(entries, {}, safe_name(found, path), path.name) for found, entries in bundled.items()]
    return [_embedding(content, content if facts is None else facts, name or _name_of(content, path), path.name)]


def safe_name(value: Any, path: Path) -> str:
    """A name found inside a file, made safe: it becomes a file name. The stem of `path` if it is none."""
    try:
        return clean_name(value if isinstance(value, str) else path.stem)
    except UserError:
        return clean_name(f"embedding {path.stem}")


def _name_of(content: Mapping[Any, Any], path: Path) -> str:
    """The stem, as A1111 has it; but diffusers calls every file learned_embeds, so there the token says more."""
    if path.stem.startswith("learned_embeds") and len(content) == 1:
        return safe_name(next(iter(content)), path)
    return path.stem


def _bundled(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Entries of each bundled embedding by its name; empty if there is none."""
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
    )


def _vectors(entries: Mapping[Any, Any], where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if "string_to_param" in entries:
        return {ENCODER_OF_FIRST_FORMAT: checked_vectors(_only_term(entries["string_to_param"], where), where)}, ()
    tensors = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    inputs = {key: value for key, value in tensors.items() if key not in OUTPUT_KEYS}
    outputs = ", ".join(sorted(tensors.keys() - inputs.keys()))
    if outputs and not inputs:
        raise UserError(
            f"'{where}' holds output vectors only ({outputs}), which replace the text encoder's output and work in"
            " OneTrainer alone.",
            "Train it again in OneTrainer with its output embedding option off.",
        )
    notes = (
        (f"Output vectors ({outputs}) cannot be used in a prompt and are left out; what was trained may be in them.",)
        if outputs
        else ()
    )
    if len(inputs) == 1:
        return {ENCODER_OF_FIRST_FORMAT: checked_vectors(next(iter(inputs.values())), where)}, notes
    if set(inputs) == set(SDXL_ENCODERS):
        return _sdxl_vectors(inputs, where), notes
    if not inputs:
        raise UserError(f"'{where}' is not a Textual Inversion embedding: it holds no vectors.", _ANOTHER)
    shown = ", ".join(list(inputs)[:4]) + (", ..." if len(inputs) > 4 else "")
    raise UserError(f"'{where}' is not the embedding of one word: it holds {len(inputs)} tensors ({shown}).", _ANOTHER)


def _only_term(params: Any, where: str) -> Tensor:
    if isinstance(params, dict) and len(params) > 1:
        raise UserError(f"'{where}' is not the embedding of one word: it holds {len(params)} terms.", _ANOTHER)
    value = next(iter(params.values())) if isinstance(params, dict) and params else None
    if not isinstance(value, Tensor):
        raise UserError(f"'{where}' is not a Textual Inversion embedding: it holds no vectors.", _ANOTHER)
    return value


def _sdxl_vectors(inputs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    vectors = {encoder: checked_vectors(inputs[encoder], where) for encoder in SDXL_ENCODERS}
    first, second = (len(rows) for rows in vectors.values())
    if first != second:
        raise UserError(
            f"'{where}' holds {first} vectors for one text encoder (clip_l) and {second} for the other (clip_g).",
            _ANOTHER,
        )
    return vectors


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
