"""What is on disk: checkpoints, embeddings. Looks at names and small config files only, never at weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.errors import UserError
from ti_core.settings import PORTRAITS
from ti_core.workspace import PORTRAITS_FOLDER, Workspace


@dataclass(frozen=True)
class CheckpointFile:
    """A diffusers folder. `title` is what the page lists; `size_px` is the picture size it was trained at."""

    title: str
    path: Path
    size_px: int


def find_checkpoints(workspace: Workspace) -> list[CheckpointFile]:
    """The built-in model, then the diffusers folders below models/Stable-diffusion, by name."""
    found = [CheckpointFile(PORTRAITS, PORTRAITS_FOLDER, _size_px(PORTRAITS_FOLDER))]
    walk = os.walk(workspace.checkpoints, followlinks=True)
    for folder in sorted(Path(place) for place, _, files in walk if "model_index.json" in files):
        found.append(CheckpointFile(folder.relative_to(workspace.checkpoints).as_posix(), folder, _size_px(folder)))
    return found


def find_checkpoint(choice: str, workspace: Workspace) -> CheckpointFile:
    """The checkpoint of a title, or of a typed path of a diffusers folder. Raises UserError."""
    listed = find_checkpoints(workspace)
    for checkpoint in listed:
        if choice in (checkpoint.title, str(checkpoint.path)):
            return checkpoint
    if choice.strip().lower() == "portraits":
        return listed[0]
    folder = workspace.path(choice, "Checkpoint")
    if not (folder / "model_index.json").is_file():
        problem = "has no model_index.json, so it is not a checkpoint folder" if folder.is_dir() else "does not exist"
        raise UserError(f"Checkpoint '{choice}' {problem}.", f"Choose one of: {', '.join(c.title for c in listed)}.")
    return CheckpointFile(folder.name, folder, _size_px(folder))


def _size_px(folder: Path) -> int:
    """Latent size times the autoencoder's reduction, from the config files; 512 if they do not say."""
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        return int(unet["sample_size"]) << (len(vae["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError):
        return 512


TRAINABLE = (".pt", ".safetensors", ".bin", ".png")
"""Formats that can be trained on, in order of preference where a name has several. The result is always a .pt."""
_CARD_MARK = b"sd-ti-embedding"


def find_embeddings(workspace: Workspace) -> list[str]:
    """Names of the embeddings right inside embeddings/ that can be trained, sorted; of pictures, those that carry one."""
    if not workspace.embeddings.is_dir():
        return []
    return sorted({path.stem for path in workspace.embeddings.iterdir() if _is_embedding(path)})


def embedding_suffix(encoders: Sequence[str]) -> str:
    """The format in which embeddings are trained: A1111's .pt, but .safetensors for SDXL, which all programs read."""
    return ".pt" if len(encoders) == 1 else ".safetensors"


def find_embedding(name: str, workspace: Workspace, first: str = ".pt") -> Path | None:
    """The file of an embedding's name, whatever its format; of several the one with the suffix `first`."""
    files = [workspace.embeddings / f"{name}{suffix}" for suffix in (first, *TRAINABLE)]
    return next((path for path in files if _is_embedding(path)), None)


def _is_embedding(path: Path) -> bool:
    if path.suffix not in TRAINABLE or not path.is_file() or not path.stat().st_size:
        return False
    if path.suffix != ".png":
        return True
    with path.open("rb") as file:  # the text chunk stands before the pixels
        return _CARD_MARK in file.read(512)


# SHIM
from types import SimpleNamespace


def _facts(self):
    index = json.loads((self.path / "model_index.json").read_text()) if self.path.is_dir() else {}
    return SimpleNamespace(family="sdxl" if "XL" in index.get("_class_name", "") else "sd1", problem="", inpainting=False, prediction_type="")


CheckpointFile.facts = property(_facts)
CheckpointFile.hash = lambda self, workspace: __import__("ti_core.models.checkpoint", fromlist=["x"]).short_hash(self.path)


def find_vae(choice, workspace, checkpoint):
    return None
