"""What the Embeddings tab can do with the files of embeddings/: convert, rename, merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import find_stored, optimizer_file, shown_file, shown_word
from ti_core.embeddings.formats import FORMAT_OF_SUFFIX, WRITABLE, save_embedding, suffix_of_training
from ti_core.embeddings.merge import check_choice, merge, parse_weights
from ti_core.embeddings.names import new_embedding_name
from ti_core.embeddings.safetensors_file import KEY_OF_ONETRAINER, save_safetensors
from ti_core.errors import UserError
from ti_core.workspace import Workspace

OF_ONETRAINER = " of OneTrainer"
ONETRAINER = f".safetensors{OF_ONETRAINER}"
"""The same numbers under the key that OneTrainer looks for; those of SDXL have the same keys everywhere."""
CONVERTED = "outputs/embeddings"
"""The folder of converted copies, below the workspace."""


def convert(file: str, suffix: str, workspace: Workspace) -> Path:
    """A copy in the format of the suffix, or in ONETRAINER's, in outputs/embeddings/: in embeddings/ there would be two
    of one name. Raises UserError.
    """
    if suffix not in (*WRITABLE, ONETRAINER):
        raise UserError(f"'{suffix[:40]}' is no format of embeddings.", f"Choose one of: {', '.join(WRITABLE)}.")
    stored = find_stored(file, workspace)
    target = workspace.root / converted_file(shown_file(stored, workspace), suffix)
    embedding = replace(stored.content, name=stored.name)
    if suffix == ONETRAINER:
        return save_safetensors(target, embedding, KEY_OF_ONETRAINER)
    return save_embedding(target, embedding)


def converted_file(file: str, suffix: str) -> str:
    """Where the copy of a file, as lists name it (`shown_file`), or of an embedding's name, is saved, as it is shown;
    an earlier one is replaced.
    """
    return f"{CONVERTED}/{shown_word(file)}{suffix.removesuffix(OF_ONETRAINER)}"


def rename(file: str, new_name: str, workspace: Workspace) -> Path:
    """Give an embedding another name, and its optimizer state with it. Raises UserError, with nothing changed, if
    the name is taken.

    A picture shows its name, so it is not renamed.
    """
    stored, name = find_stored(file, workspace), new_embedding_name(new_name, workspace)
    form = FORMAT_OF_SUFFIX[stored.path.suffix.lower()]
    if form.is_picture:
        raise UserError(
            f"'{stored.path.name}' is a picture that shows the name '{stored.name}'.",
            "Convert it to .pt, put that into embeddings/, and rename it.",
        )
    # The embedding first: if that fails, its optimizer's state still has its old name.
    target = stored.path.with_name(name + stored.path.suffix)
    if form.holds_name:
        save_as(target, stored.content, name)
        stored.path.unlink()
    else:  # not rewritten, because it may hold more than the embedding, such as a LoRA
        stored.path.rename(target)
    state = optimizer_file(stored.path)
    if state.is_file():
        state.rename(optimizer_file(target))
    return target


def merge_stored(files: Sequence[str], mode: str, weights: str, new_name: str, workspace: Workspace) -> Path:
    """A new embedding out of several; `weights` is a text such as 0.7, 0.3, for the modes weighted and slerp. Raises
    UserError.
    """
    name, numbers = new_embedding_name(new_name, workspace), weights_of(files, mode, weights)
    merged = merge([find_stored(file, workspace).content for file in files], mode, numbers, name)
    return save_as(file_of_new(name, merged, workspace), merged, name)


def weights_of(files: Sequence[str], mode: str, weights: str) -> list[float]:
    """The weights as numbers, none in the modes that need none. Raises UserError for what can be refused without
    opening a file.
    """
    numbers = parse_weights(weights) if mode == "weighted" or (mode == "slerp" and weights.strip()) else []
    check_choice(len(files), mode, numbers)
    return numbers


def file_of_new(name: str, embedding: Embedding, workspace: Workspace) -> Path:
    """Where a new embedding of that name is saved, in the format in which a training would save it."""
    return workspace.embeddings / f"{name}{suffix_of_training(tuple(embedding.vectors))}"


def save_as(path: Path, embedding: Embedding, name: str) -> Path:
    """Save it under another name. Raises UserError if the disk is full."""
    return save_embedding(path, replace(embedding, name=name))
