"""Where the files of a captioning model are: the workspace, the hub's cache on this machine, or the hub itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.fetch import fetch_within
from ti_core.errors import UserError
from ti_core.workspace import Workspace

HUB_ENDPOINT: str | None = None
"""Address of the hub; None takes huggingface_hub's own. Tests put one here that nobody answers."""

HUB_TIMEOUT_S = 5.0
"""huggingface_hub waits for minutes where a firewall swallows everything, so the hub must first have answered within this time."""


@dataclass(frozen=True)
class ModelFiles:
    """A model of the hub. `folder` is its place in the workspace, `wanted` what must be there, `more` what is taken along."""

    title: str
    repository: str
    folder: Path
    wanted: tuple[str, ...]
    more: tuple[str, ...] = ()


def find_model(files: ModelFiles, workspace: Workspace) -> Path:
    """The folder with all wanted files: in the workspace, else in the hub's cache, else downloaded into that cache.

    Raises UserError naming the folder and what to put into it.
    """
    if _is_complete(files.folder, files.wanted):
        return files.folder
    folder = _from_hub(files, local_files_only=True)
    if folder is None and _hub_answers(files):
        folder = _from_hub(files, local_files_only=False)
    if folder is not None:
        return folder
    missing = ", ".join(name for name in files.wanted if not (files.folder / name).is_file())
    raise UserError(
        f"{files.title} is not on this machine and could not be downloaded.",
        f"Put {missing} of huggingface.co/{files.repository} into {workspace.shown(files.folder)}.",
    )


def _is_complete(folder: Path, wanted: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in wanted)


def _hub_answers(files: ModelFiles) -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    return fetch_within(f"{HUB_ENDPOINT or constants.ENDPOINT}/api/models/{files.repository}", HUB_TIMEOUT_S) is not None


def _from_hub(files: ModelFiles, local_files_only: bool) -> Path | None:
    """The folder of the hub's cache, None if it does not hold all wanted files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                files.repository,
                allow_patterns=[*files.wanted, *files.more],
                local_files_only=local_files_only,
                etag_timeout=HUB_TIMEOUT_S,
                endpoint=HUB_ENDPOINT,
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HTTPError, OSError, ValueError):  # not there, no network, no room
        return None
    return folder if _is_complete(folder, files.wanted) else None
