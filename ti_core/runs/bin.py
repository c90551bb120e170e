"""Renames runs, and puts them into a bin inside the workspace, from which they can be taken back until it is emptied.

What lies in the bin keeps its path below it, `bin/textual_inversion/2026-01-31/anna`, so it says itself where it
belongs, and a person can take it back by hand.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import first_free, move, reason, sendable
from ti_core.runs.folder import COPIES, EVENTS, STATE
from ti_core.workspace import READ_ONLY, Workspace, clean_name

BIN = "bin"


def rename_run(folder: Path, typed: str, workspace: Workspace) -> Path:
    """Give the run's folder another name, cleaned as names of embeddings are. The names of the files in it, and of its
    embedding, stay. Returns the new folder. Raises UserError, with nothing changed, if it cannot be done.
    """
    _check_ours(folder, workspace)
    target = folder.with_name(clean_name(typed))
    if target.name == folder.name:
        raise UserError(f"The run is called '{folder.name}' already.", "Type another name.")
    if target.exists() and not target.samefile(folder):  # another spelling of the same name, where letters' case is one
        raise UserError(f"There is a run '{workspace.shown(target)}' already.", "Type another name.")
    return _moved(folder, target)


def put_into_bin(folder: Path, workspace: Workspace) -> Path:
    """Move the run's folder into the bin. Returns where it lies there. Raises UserError, with nothing changed, if it
    cannot be done.
    """
    _check_ours(folder, workspace)
    root = workspace.root.resolve()
    place = root / BIN / folder.resolve().relative_to(root)
    return _moved(folder, first_free(lambda number: _numbered(place, number), Path.exists))


def take_back(run: str, workspace: Workspace) -> Path:
    """Move a run, named as `binned_runs` does, from the bin to where it was, or beside what has taken its place.
    Returns its folder. Raises UserError if it is not there, or cannot be moved.
    """
    if run not in binned_runs(workspace):
        raise UserError(f"There is no run '{run[:100]}' in the bin any more.", "Choose another one from the list.")
    place = workspace.root / run
    return _moved(workspace.root / BIN / run, first_free(lambda number: _numbered(place, number), Path.exists))


def binned_runs(workspace: Workspace) -> list[str]:
    """The runs in the bin, the latest first, each as it would be typed if it were not there."""
    top = workspace.root / BIN
    signs = [path for pattern in (COPIES, STATE, EVENTS) for path in top.glob(f"**/{pattern}")]
    # embeddings that were deleted lie in bin/embeddings, and some of them in folders that look like a run's
    runs = {path.parent for path in signs if not path.is_relative_to(top / COPIES)}
    newest = sorted(runs, key=lambda path: (-path.stat().st_ctime, path))
    return [run for path in newest if (run := path.relative_to(top).as_posix()) == sendable(run)]


def empty_bin(workspace: Workspace) -> int:
    """Delete the runs in the bin for ever, and nothing else that lies there. Returns how many. Raises UserError if the
    system refuses, with those deleted that came before.
    """
    runs, top = binned_runs(workspace), workspace.root / BIN
    for run in runs:
        try:
            shutil.rmtree(top / run)
        except FileNotFoundError:
            continue  # it lay in another one
        except OSError as error:
            raise UserError(
                f"'{run}' could not be deleted: {reason(error)}.", "Close what has it open, then try again."
            ) from error
        for folder in list((top / run).parents)[: len(Path(run).parts)]:
            with contextlib.suppress(OSError):  # a folder with others stays
                folder.rmdir()
    return len(runs)


def _check_ours(folder: Path, workspace: Workspace) -> None:
    """Raises UserError for a folder that is not a run below the workspace's own places."""
    root = workspace.root.resolve()
    path = folder.resolve()
    is_inside = path.is_relative_to(root) and len(path.relative_to(root).parts) > 1
    if folder.is_symlink() or not is_inside or any(path.is_relative_to(place) for place in READ_ONLY):
        raise UserError(
            f"The run '{workspace.shown(folder)}' lies outside the workspace.", "Rename or delete its folder by hand."
        )


def _numbered(place: Path, number: int) -> Path:
    return place if number == 1 else place.with_name(f"{place.name}-{number}")


def _moved(folder: Path, target: Path) -> Path:
    """Raises UserError, with the folder where it was."""
    move(folder, target)
    with contextlib.suppress(OSError):  # a day without runs needs no folder; one with others stays
        folder.parent.rmdir()
    return target
