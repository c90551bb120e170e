"""A workspace that is carried to a node, the server's side: what a job needs, and what comes back."""

from __future__ import annotations

import datetime
import glob
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ti_core.checkpoints.library import find_checkpoint
from ti_core.errors import UserError
from ti_core.files import reason
from ti_core.jobs.cluster.carry import NOT_RESULTS, PIECE_BYTES, File, digest_of
from ti_core.painting.txt2img import OUTPUTS
from ti_core.runs.folder import saved_settings
from ti_core.settings import PORTRAITS
from ti_core.workspace import READ_ONLY, REPOSITORY, SHIPPED, Workspace

FOLDERS = ("dataset_directory", "source_directory", "run_folder", "run")
DAYS = 2
"""Runs of so many days go along, because a training of the same name on the same day begins another folder."""


class Carrier:
    """Carries one workspace. `digests` remembers what was read already: (path, bytes, time) -> hash."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._digests: dict[tuple[Path, int, int], str] = {}

    def files(self, settings: dict[str, Any]) -> dict[File, Path]:
        """What a job with these settings needs -> where it lies here. Raises UserError for what cannot be carried."""
        found: dict[File, Path] = {}
        for path, name in self._needed(settings):
            status = path.stat()
            known = (path, status.st_size, status.st_mtime_ns)
            if known not in self._digests:
                self._digests[known] = digest_of(path)
            found[(name, self._digests[known], status.st_size)] = path
        return found

    def for_node(self, folder: str) -> dict[str, Any]:
        """The workspace that the job gets there."""
        return Workspace(Path(folder), confined=self._workspace.confined).to_dict()

    # ---- there

    def _needed(self, settings: dict[str, Any]) -> Iterator[tuple[Path, str]]:
        """Files and their names below the node's folder."""
        workspace = self._workspace
        values = self._with_those_of_the_run(settings)
        yield from _all_in(workspace.embeddings, "embeddings")
        for folder in reversed(workspace.template_folders[:-1]):  # the last ones are shipped; the first ones win
            yield from _all_in(folder, "templates")
        for name in FOLDERS:
            if typed := str(values.get(name) or "").strip():
                yield from self._typed(workspace.path(typed, "The folder"), typed)
        if (logs := str(values.get("log_directory") or "").strip()) and (trained := str(values.get("embedding") or "")):
            for days in range(-1, DAYS):
                day = workspace.path(logs, "Log directory") / _days_ago(days)
                for folder in day.glob(f"{glob.escape(trained)}*"):
                    yield from self._typed(folder, logs)
        if "embedding" not in values:  # what paints numbers its pictures on from those of the day
            today = workspace.root / OUTPUTS / _days_ago(0)
            yield from _all_in(today, f"{OUTPUTS}/{today.name}")
        yield from self._models(values)

    def _with_those_of_the_run(self, settings: dict[str, Any]) -> dict[str, Any]:
        typed = str(settings.get("run_folder") or settings.get("run") or "").strip()
        if not typed:
            return settings
        run = saved_settings(self._workspace.path(typed, "Run folder")).settings.to_dict()
        return {**run, **settings}

    def _typed(self, folder: Path, typed: str) -> Iterator[tuple[Path, str]]:
        root = self._workspace.root.resolve()
        if folder.is_relative_to(SHIPPED / "assets"):
            return
        if ".." in folder.parts or not folder.is_relative_to(root):
            raise UserError(
                f"The folder '{typed}' lies outside the workspace, so it is not carried to another machine.",
                "Copy it into the workspace, or put the workspace on storage that all machines see.",
            )
        yield from _all_in(folder, folder.relative_to(root).as_posix())

    def _models(self, values: dict[str, Any]) -> Iterator[tuple[Path, str]]:
        """The checkpoint with what lies beside it under its name, and the VAE."""
        chosen = str(values.get("checkpoint") or "")
        if chosen and chosen != PORTRAITS:
            path = find_checkpoint(chosen, self._workspace).path
            if not path.resolve().is_relative_to(SHIPPED / "assets"):
                folders = self._workspace.checkpoint_folders
                base = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
                beside = [path] if path.is_dir() else [*path.parent.glob(f"{path.stem}.*")]
                for file in beside:
                    yield from _all_in(file, f"models/Stable-diffusion/{file.relative_to(base).as_posix()}")
        vae = str(values.get("vae") or "")
        for folder in self._workspace.vae_folders if vae else ():
            if (folder / vae).exists():
                yield from _all_in(folder / vae, f"models/VAE/{vae}")
                return

    # ---- and back

    def take(self, piece: dict[str, Any]) -> None:
        """Write a piece of a result, in order; a file that is whole gets its name at once. Raises UserError."""
        target = self._place_of(piece["path"])
        part = target.with_name(f".{target.name}.carried")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            grows = piece["offset"] and not part.exists() and target.exists()
            file_path = target if grows else part
            with file_path.open("r+b" if piece["offset"] else "wb") as file:
                file.seek(piece["offset"])
                file.truncate()
                file.write(piece["data"])
            if piece["ends"] and not grows:
                part.replace(target)
        except OSError as error:
            raise UserError(
                f"'{target.name}' could not be saved here: {reason(error)}.", "Make room, then press Resume."
            ) from error

    def _place_of(self, name: str) -> Path:
        """Where a result belongs. Raises UserError for a path that leads elsewhere."""
        path = PurePosixPath(name)
        is_plain = path.parts and not path.is_absolute() and not any(sign in name for sign in ("\\", ":", "\0"))
        if not is_plain or ".." in path.parts or path.parts[0] in NOT_RESULTS or self._is_run(path):
            raise UserError(f"The node sent '{name[:60]}', which is no place of a result.", "Look at that machine.")
        if path.parts[0] == "embeddings":
            return self._workspace.embeddings.joinpath(*path.parts[1:])
        return self._workspace.root.joinpath(*path.parts)

    def _is_run(self, path: PurePosixPath) -> bool:
        """Whether it lies among files that this computer runs: those of the program, whose folder may be the
        workspace, and of .git and the like.
        """
        place = self._workspace.root.resolve() / path
        is_hidden = any(part.startswith(".") for part in path.parts[:-1])
        return is_hidden or place.parent == REPOSITORY or any(place.is_relative_to(each) for each in READ_ONLY)


def pieces_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file's content in pieces with their offsets, and an empty one at the end."""
    with path.open("rb") as file:
        while data := file.read(PIECE_BYTES):
            yield file.tell() - len(data), data
        yield file.tell(), b""


def _days_ago(days: int) -> str:
    return (datetime.date.today() - datetime.timedelta(days=days)).isoformat()


def _all_in(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, name
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield file, f"{name}/{file.relative_to(path).as_posix()}"
