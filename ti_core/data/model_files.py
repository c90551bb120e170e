"""Where the files of a captioning model are: the workspace, the hub's cache on this machine, or the hub itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.fetch import fetch_within
from ti_core.errors import UserError
from ti_core.events import Emit
from ti_core.workspace import Workspace

HUB_ENDPOINT: str | None = None
"""Address of the hub; None takes huggingface_hub's own. Tests put one here that nobody answers."""

HUB_TIMEOUT_S = 5.0
"""Where a firewall swallows everything, nobody should wait for minutes, so the hub must first have answered within
this time.
"""


@dataclass(frozen=True)
class ModelFiles:
    """A model of the hub. `folder` is its place in the workspace, `wanted` what must be there, `more` what is taken
    along.
    """

    title: str
    repository: str
    folder: Path
    wanted: tuple[str, ...]
    more: tuple[str, ...] = ()


def find_model(files: ModelFiles, workspace: Workspace) -> Path:
    """The folder with all wanted files: in the workspace, else in the hub's cache.

    Raises UserError naming the folder and what to put into it.
    """
    if _is_complete(files.folder, files.wanted):
        return files.folder
    if folder := _in_cache(files):
        return folder
    raise UserError(f"{files.title} is not on this machine.", _by_hand(files, workspace))


def fetch_model(files: ModelFiles, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """Download what is not there into its place in the workspace. Raises Interrupted, and UserError naming what to
    do by hand.
    """
    if _is_complete(files.folder, files.wanted) or _in_cache(files):
        return
    from ti_core.models.hub import fetch_files

    why = ""
    if _hub_answers(files):
        try:
            return fetch_files(files.repository, files.wanted, files.more, files.folder, emit, stop, HUB_ENDPOINT)
        except UserError as error:
            why = f" {error.problem}"
    raise UserError(
        f"{files.title} is not on this machine and could not be downloaded.{why}", _by_hand(files, workspace)
    )


def _by_hand(files: ModelFiles, workspace: Workspace) -> str:
    missing = ", ".join(name for name in files.wanted if not (files.folder / name).is_file())
    return f"Put {missing} of huggingface.co/{files.repository} into {workspace.shown(files.folder)}."


def _is_complete(folder: Path, wanted: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in wanted)


def _hub_answers(files: ModelFiles) -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    return (
        fetch_within(f"{HUB_ENDPOINT or constants.ENDPOINT}/api/models/{files.repository}", HUB_TIMEOUT_S) is not None
    )


def _in_cache(files: ModelFiles) -> Path | None:
    """The folder of the cache that all programs with huggingface_hub share, None if it does not hold all wanted
    files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(files.repository, allow_patterns=[*files.wanted, *files.more], local_files_only=True)
        )
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
    return folder if _is_complete(folder, files.wanted) else None
