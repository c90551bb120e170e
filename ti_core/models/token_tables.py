"""The token tables of a checkpoint's text encoders, read without the networks: enough to create an embedding."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import CLIPTokenizer

from ti_core.checkpoints.facts import facts_of, weights_of
from ti_core.checkpoints.families import FAMILY_MARKS
from ti_core.checkpoints.library import find_checkpoint
from ti_core.checkpoints.pickles import stand_ins
from ti_core.embeddings.torch_file import allowing
from ti_core.models.damaged_checkpoint import DAMAGED, damaged_error
from ti_core.models.families import FAMILIES
from ti_core.models.tokenizers import folder_tokenizers, load_tokenizers
from ti_core.workspace import Workspace


def load_token_tables(choice: str, workspace: Workspace) -> dict[str, tuple[CLIPTokenizer, Tensor]]:
    """For each text encoder of a checkpoint, by its name in the family, its tokenizer and token table, float32
    [tokens, width] on the CPU. Raises UserError for what is no checkpoint or is damaged.
    """
    file = find_checkpoint(choice, workspace)
    file.facts.check(other_vae=True)
    family = FAMILIES[file.facts.family]
    try:
        if file.path.is_dir():
            tokenizers = folder_tokenizers(file.path, family)
            tables = [_table_of_folder(file.path / f"text_encoder{suffix}") for suffix in family.folder_suffixes]
        else:
            tokenizers = load_tokenizers(family)
            marks = FAMILY_MARKS[family.name]
            tables = [_table_of_file(file.path, prefixes) for prefixes in marks.text_encoders.values()]
    except (*DAMAGED, StopIteration) as error:
        raise damaged_error(file, error) from error
    return {
        name: (tokenizer, table) for name, tokenizer, table in zip(family.encoders, tokenizers, tables, strict=True)
    }


def _table_of_folder(folder: Path) -> Tensor:
    """Of a text encoder's folder; its weights may lie in several files."""
    for file in weights_of(folder):
        with suppress(StopIteration):
            return _table_of_file(file, "")
    raise OSError(f"its {folder.name} folder holds no token table")


def _table_of_file(path: Path, prefix: str | tuple[str, ...]) -> Tensor:
    """The one tensor of a weights file; the others are not read from disk."""

    def is_table(key: str) -> bool:
        return key.startswith(prefix) and key.endswith("token_embedding.weight")

    if path.suffix == ".safetensors":
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            return file.get_tensor(next(key for key in file.keys() if is_table(key))).float()  # noqa: SIM118
    with allowing(stand_ins(facts_of(path).trainer_classes)):
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    while "state_dict" in content:
        content = content["state_dict"]
    return next(tensor for key, tensor in content.items() if is_table(key)).float()
