"""Every run on disk, and what lists need to know of each: read once, and again when its folder changes."""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import load_json, sendable
from ti_core.runs.folder import COPIES, EVENTS, PREVIEWS, STATE, previews_of_steps, saved_facts, saved_steps
from ti_core.settings import TrainSettings
from ti_core.workspace import Workspace

AT_LEAST_EVERY_S = 2.0
"""So soon a run that another program trains shows up."""
SHARE_OF_TIME = 50
"""A look at all folders pauses so many times as long as it took, so that a thousand runs on a slow disk cost little."""
MOST_GONE = 1000
"""Runs that went away and are remembered, so that pages need not be told everything anew."""


@dataclass(frozen=True)
class ListedRun:
    """One run as lists show it. `run` is its folder as it would be typed, by which it is known everywhere."""

    run: str
    folder: Path
    name: str
    step: int
    """Of its last copy or state."""
    total: int
    """Max steps; 0 where no settings file tells."""
    can_resume: bool
    """Whether it was stopped before Max steps, and left the state to go on from."""
    changed_at: float
    """Seconds since 1970, of its last copy or state."""
    picture: Path | None
    """Its newest preview."""

    @property
    def day(self) -> str:
        """When it was trained last, such as 2026-01-31."""
        try:
            return datetime.datetime.fromtimestamp(self.changed_at).strftime("%Y-%m-%d")
        except (ValueError, OverflowError, OSError):  # a file's time may be anything
            return ""


class RunLibrary:
    """The runs of a workspace's log directory, and those in other places that `others` names.

    `changes` tells a viewer what is new to them; `refresh` looks at the disk, and never two threads at once.
    """

    def __init__(self, workspace: Workspace, others: Callable[[], Iterable[str]] = tuple) -> None:
        self.workspace, self._others = workspace, others
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._runs: dict[str, ListedRun] = {}
        self._states: dict[str, tuple[object, ...]] = {}
        self._changed: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._names: dict[Path, tuple[int, str]] = {}
        self._count, self._server = 0, secrets.token_hex(4)  # so that no page knows a mark of an earlier server
        self._began_at, self._looked_at, self._took_s = 0.0, 0.0, 0.0

    # ---- looking at the disk

    @property
    def was_read(self) -> bool:
        """Whether the disk was looked at yet."""
        return bool(self._looked_at)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the disk again."""
        pause_s = max(AT_LEAST_EVERY_S, SHARE_OF_TIME * self._took_s)
        return not self._looking.locked() and time.monotonic() - self._looked_at > pause_s

    def refresh(self) -> None:
        """Look at the disk. What did not change is not opened again. Who has waited for a look that began after they
        had asked needs no other, so that many who ask at once cost one look.
        """
        asked_at = time.monotonic()
        with self._looking:
            if self._began_at > asked_at:
                return
            self._began_at = began = time.monotonic()
            found = {run: folder for folder in self._folders() if (run := self._shown(folder))}
            for run, folder in found.items():
                state = _state_of(folder)
                if self._states.get(run) != state:
                    self._take(run, _look_at(run, folder))
                    self._states[run] = state
            self._names = {folder: self._names[folder] for folder in found.values()}
            for run in [run for run in self._states if run not in found]:
                self._take(run, None)
                del self._states[run]
            self._looked_at = time.monotonic()
            self._took_s = self._looked_at - began

    def _folders(self) -> list[Path]:
        root = self.workspace.root
        places = [path for path in (root / TrainSettings().log_directory).glob("*/*/") if path.name[:1] != "."]
        return [*places, *(root / other for other in self._others())]

    def _shown(self, folder: Path) -> str:
        """How the folder would be typed; empty for one that a confined page may not show, or that no browser could
        name. Kept for the same folder, because following all links of its path takes longer than all the rest.
        """
        try:
            number = folder.stat().st_ino
            known = self._names.get(folder)
            if known is None or known[0] != number:
                inside = folder.resolve().is_relative_to(self.workspace.root.resolve())
                shown = self.workspace.shown(folder) if inside or not self.workspace.confined else ""
                self._names[folder] = known = number, shown if shown == sendable(shown) else ""
            return known[1]
        except (OSError, RuntimeError):  # circular links
            return ""

    def _take(self, run: str, listed: ListedRun | None) -> None:
        with self._lock:
            if self._runs.get(run) == listed:
                return
            self._count += 1
            if listed:
                self._runs[run], self._changed[run] = listed, self._count
                self._gone.pop(run, None)
            else:
                del self._runs[run], self._changed[run]
                self._gone[run] = self._count
                while len(self._gone) > MOST_GONE:
                    del self._gone[next(iter(self._gone))]

    # ---- what is known

    @property
    def mark(self) -> str:
        """Another one after each change, and for each server."""
        return f"{self._server}.{self._count}"

    def newest(self) -> list[ListedRun]:
        """All runs, the one that was trained last first."""
        with self._lock:
            return sorted(self._runs.values(), key=lambda run: (-run.changed_at, run.run))

    def get(self, run: str) -> ListedRun | None:
        """By its folder as it would be typed. Nothing is looked up on the disk by what comes from outside."""
        return self._runs.get(run)

    def find(self, run: str) -> ListedRun:
        """As `get`, after another look at the disk where it is not known. Raises UserError if there is no such run."""
        if run not in self._runs:
            self.refresh()
        if (found := self.get(run)) is None:
            raise UserError(f"There is no run '{run[:100]}' any more.", "Choose another one from the list.")
        return found

    def changes(self, mark: str, most: int) -> tuple[list[ListedRun], list[str], bool]:
        """What is new among the newest `most` since that mark: runs, those that are gone, and whether it is all of
        them, because the mark is of another server or too old.
        """
        newest = self.newest()[:most]
        server, _, typed = mark.partition(".")
        since = int(typed) if typed.isdecimal() and len(typed) < 18 else -1
        with self._lock:
            oldest_gone = next(iter(self._gone.values()), 0) if len(self._gone) == MOST_GONE else 0
            if server != self._server or not oldest_gone <= since <= self._count:
                return newest, [], True
            gone = [run for run, count in self._gone.items() if count > since]
            return [run for run in newest if self._changed.get(run.run, 0) > since], gone, False


def _state_of(folder: Path) -> tuple[object, ...]:
    """What changes with the folder's content, without opening anything."""
    return tuple(_modified(folder / part) for part in ("", COPIES, PREVIEWS, STATE))


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _look_at(run: str, folder: Path) -> ListedRun | None:
    """What lists show of the run in this folder; None if it is none."""
    try:
        copies, facts = saved_steps(folder), saved_facts(folder) or {}
        if not copies and not facts and not (folder / EVENTS).is_file():
            return None
        pictures = previews_of_steps(folder)
        picture = next(iter(pictures[max(pictures)].values())) if pictures else None
        saved = int(facts.get("step", 0))
        total = _max_steps(folder)
        changed = max(_modified(folder / part) for part in (COPIES, STATE, EVENTS)) or _modified(folder)
    except OSError:
        return None
    can_resume = bool(facts) and (not total or saved < total)
    step = max([saved, *copies])
    return ListedRun(run, folder, folder.name, step, total, can_resume, changed / 1e9, picture)


def _max_steps(folder: Path) -> int:
    """By the newest settings file, ours or A1111's; 0 where there is none."""
    files = sorted(folder.glob("settings-*.json"))
    content = load_json(files[-1]) if files else {}
    settings = content.get("settings")
    steps = (settings if isinstance(settings, dict) else content).get("steps")
    return steps if type(steps) is int and steps > 0 else 0
