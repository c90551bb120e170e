"""The checkpoints and VAEs on disk. Lists go by names alone; a file's header is read when its facts are asked for, its
weights never.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ti_core.checkpoints.facts import CheckpointFacts, facts_of
from ti_core.checkpoints.tensor_headers import read_header
from ti_core.errors import UserError
from ti_core.files import state_of
from ti_core.program.child import shown_command
from ti_core.settings import AUTOMATIC, PORTRAITS
from ti_core.workspace import PORTRAITS_FOLDER, Workspace

CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")
VAE_SUFFIXES = (".safetensors", ".ckpt", ".pt")
OWN = "None"
"""A1111's word for a checkpoint's own VAE; AUTOMATIC takes the one of the same name if there is one."""


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint: a single file or a diffusers folder. `title` is how the page lists it; `inside` are the folders
    between it and the checkpoint folder.
    """

    title: str
    path: Path
    inside: tuple[str, ...] = ()

    @property
    def facts(self) -> CheckpointFacts:
        """What its headers say, cached until it changes. Reading takes 40 ms for a .safetensors of SDXL and 0.2 s for a
        .ckpt, so lists of titles do without.
        """
        return _facts(self.path, *state_of_model(self.path))

    @property
    def size_px(self) -> int:
        """Side of the pictures that it was trained on, in pixels."""
        return self.facts.size_px

    @property
    def is_portraits(self) -> bool:
        """Whether it is the built-in model, under whatever title."""
        return self.path.resolve() == PORTRAITS_FOLDER


@dataclass(frozen=True)
class VaeFile:
    """A separate VAE. `title` is how the page lists it."""

    title: str
    path: Path


@functools.lru_cache(maxsize=1000)
def _facts(path: Path, bytes: int, changed_ns: int) -> CheckpointFacts:
    return facts_of(path)


def state_of_model(path: Path) -> tuple[int, int]:
    """Size in bytes and latest change in ns of all that the facts depend on: of a folder all files; of a single file
    also the .yaml beside it, which may say what it predicts.
    """
    files = [path, *([path.with_suffix(".yaml")] if path.with_suffix(".yaml").is_file() else [])]
    return state_of(files if path.is_file() else [file for file in path.rglob("*") if file.is_file()])


# ---- checkpoints


def find_checkpoints(workspace: Workspace) -> list[CheckpointFile]:
    """The built-in model, then all files and diffusers folders below the workspace's checkpoint folders, by name.

    Titles are paths relative to the checkpoint folder, with suffix, as in A1111 1.10.1 (modules/sd_models.py:
    CheckpointInfo); of two equal titles the later one has its folder's name behind it.
    """
    found = {PORTRAITS: CheckpointFile(PORTRAITS, PORTRAITS_FOLDER)}
    seen: set[str] = set()
    for place in workspace.checkpoint_folders:
        paths = sorted(_checkpoints_below(place, seen), key=lambda path: path.as_posix().lower())
        for path in paths:
            title = _unique(path.relative_to(place).as_posix(), place, set(found))
            found[title] = CheckpointFile(title, path, path.relative_to(place).parts[:-1])
    return list(found.values())


def _checkpoints_below(place: Path, seen: set[str]) -> Iterator[Path]:
    for folder, files in folders_below(place, seen):
        if "model_index.json" in files:
            yield folder
        else:
            yield from (
                folder / name
                for name in files
                if name.lower().endswith(CHECKPOINT_SUFFIXES) and not _is_named_vae(name)
            )


def folders_below(place: Path, seen: set[str]) -> Iterator[tuple[Path, list[str]]]:
    """`place` and the folders below it, each with the names of its files; hidden ones are left out, and diffusers
    folders are not entered.

    Links are followed, as in A1111; a folder that was `seen` under another path is left out, so that circles end.
    """
    for folder, folders, files in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and "model_index.json" not in files]
        yield Path(folder), [name for name in files if not name.startswith(".")]


def _is_named_vae(name: str) -> bool:
    return Path(name).stem.lower().endswith(".vae")


def _unique(title: str, place: Path, taken: set[str]) -> str:
    """`title`, with as many of its parent folders' names behind it as it takes to be unique."""
    if title not in taken:
        return title
    for count in range(1, len(place.parts)):
        longer = f"{title} ({'/'.join(place.parts[-count:])})"
        if longer not in taken:
            return longer
    return f"{title} ({place})"


def find_checkpoint(choice: str, workspace: Workspace) -> CheckpointFile:
    """The checkpoint of a title, with or without suffix or folder, of A1111's `title [hash]`, or of a typed path.
    Raises UserError if there is none.
    """
    # First what is listed, the exact title before shorter forms of it.
    listed = find_checkpoints(workspace)
    wanted = re.sub(r"\s*\[[0-9a-f]{8,12}\]$", "", choice.strip()) or choice
    for same in (_is_choice, _is_title_without_suffix, _is_name_without_suffix):
        if found := next((checkpoint for checkpoint in listed if same(checkpoint, wanted)), None):
            return found
    # Then a typed path.
    path = workspace.path(choice, "Checkpoint")
    is_folder = (path / "model_index.json").is_file()
    if not is_folder and not (path.is_file() and path.suffix.lower() in CHECKPOINT_SUFFIXES):
        problem = "does not exist"
        if path.is_dir():
            problem = "has no model_index.json, so it is not a checkpoint folder"
        elif path.is_file():
            problem = "is neither a .safetensors nor a .ckpt file"
        fetch = (
            f" Or fetch it from the hub: {shown_command('python -m ti_core download')} {wanted}"
            if re.fullmatch(r"[\w-]+/[\w.-]+", wanted) and not path.exists()
            else ""
        )
        raise UserError(
            f"Checkpoint '{choice}' {problem}.", f"Choose one of: {', '.join(c.title for c in listed)}.{fetch}"
        )
    return CheckpointFile(path.name, path)


def find_usable_checkpoint(choice: str, workspace: Workspace) -> CheckpointFile:
    """`find_checkpoint`, for one that can train and sample; its VAE may be missing. Raises UserError."""
    checkpoint = find_checkpoint(choice, workspace)
    checkpoint.facts.check(other_vae=True)
    return checkpoint


def own_px(choice: str, workspace: Workspace) -> int:
    """The side in px of the pictures that the checkpoint was trained on; 0 where it cannot be found or read."""
    try:
        return find_checkpoint(choice, workspace).size_px
    except UserError:
        return 0


def _is_choice(checkpoint: CheckpointFile, wanted: str) -> bool:
    return wanted in (checkpoint.title, str(checkpoint.path)) or (
        checkpoint.title == PORTRAITS and wanted.lower() == "portraits"
    )


def _is_title_without_suffix(checkpoint: CheckpointFile, wanted: str) -> bool:
    return checkpoint.path.is_file() and wanted == checkpoint.title.removesuffix(checkpoint.path.suffix)


def _is_name_without_suffix(checkpoint: CheckpointFile, wanted: str) -> bool:
    return wanted in (checkpoint.path.name, checkpoint.path.stem) and checkpoint.path.is_file()


# ---- VAEs


def find_vaes(workspace: Workspace) -> list[VaeFile]:
    """All files below the VAE folders, and those called `<name>.vae.<suffix>` beside checkpoints, sorted by path;
    titles are unique.
    """
    found: dict[str, VaeFile] = {}
    for place, only_named in [(place, False) for place in workspace.vae_folders] + [
        (place, True) for place in workspace.checkpoint_folders
    ]:
        for path in sorted(_vaes_below(place, only_named)):
            title = _unique(path.relative_to(place).as_posix(), place, set(found))
            found[title] = VaeFile(title, path)
    return list(found.values())


def _vaes_below(place: Path, only_named: bool) -> Iterator[Path]:
    for folder, files in folders_below(place, set()):
        if "model_index.json" not in files:
            names = (name for name in files if name.lower().endswith(VAE_SUFFIXES))
            yield from (folder / name for name in names if not only_named or _is_named_vae(name))


def find_vae(choice: str, workspace: Workspace, checkpoint: CheckpointFile) -> Path | None:
    """The file of a separate VAE; None for the checkpoint's own. Raises UserError if there is no such file, or if it is
    no VAE.

    "Automatic" takes a VAE with the checkpoint's name, beside it or in the VAE folders, as in A1111 1.10.1
    (modules/sd_vae.py: resolve_vae).
    """
    wanted = choice.strip()
    if wanted == OWN:
        return None
    listed = find_vaes(workspace)
    if wanted in ("", AUTOMATIC):
        name = checkpoint.path.stem if checkpoint.path.is_file() else checkpoint.path.name
        beside = [checkpoint.path.with_name(f"{name}.vae{suffix}") for suffix in VAE_SUFFIXES]
        path = next(
            (
                path
                for path in [*beside, *(vae.path for vae in listed)]
                if path.is_file() and path.stem.removesuffix(".vae") == name
            ),
            None,
        )
        if path is None:
            return None
    else:
        path = next((vae.path for vae in listed if wanted in (vae.title, vae.path.name, str(vae.path))), None)
        if path is None:
            raise UserError(
                f"VAE '{choice}' is not there.",
                f"Choose one of: {', '.join([AUTOMATIC, OWN, *(vae.title for vae in listed)])}.",
            )
    # Whatever way it was found, it must be a VAE.
    facts = _facts(path, *state_of_model(path))
    if facts.kind != "vae":
        raise UserError(
            facts.problem if facts.kind == "damaged" else f"'{path.name}' is no VAE.",
            facts.hint if facts.kind == "damaged" else "Choose another VAE.",
        )
    # torch's weights_only reader allows some classes that can do harm, such as a bytearray of any length.
    if foreign := read_header(path).foreign_classes:
        raise UserError(
            f"'{path.name}' asks for the Python code '{foreign[0]}', which a VAE does not need.", "Choose another VAE."
        )
    return path


def check_vae(choice: str, checkpoint: str, workspace: Workspace) -> None:
    """Raises UserError for a VAE that cannot be used; what is wrong with the checkpoint is told by its own check."""
    try:
        file = find_checkpoint(checkpoint, workspace)
    except UserError:
        return
    find_vae(choice, workspace, file)
