"""Which step of a run is in use, for many pages that ask at every poll."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ti_core.runs.in_use import step_in_use
from ti_core.workspace import Workspace

GOOD_FOR_S = 5.0
"""So long an answer is good for all pages: the files can change behind the page's back."""


@dataclass
class StepsInUse:
    """The latest known answers. The disk is read by a thread of its own, so that no poll waits for it, and at most once
    in GOOD_FOR_S a run.
    """

    _known: dict[str, int] = field(default_factory=dict)
    _asked_at: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="steps-in-use"), repr=False
    )

    def step(self, run_folder: str, workspace: Workspace) -> int:
        """What was read last; 0 while nothing was, and where no step of the run is in use."""
        if not run_folder:
            return 0
        with self._lock:
            now = time.monotonic()
            if now - self._asked_at.get(run_folder, -GOOD_FOR_S) >= GOOD_FOR_S:
                self._asked_at[run_folder] = now
                self._reader.submit(self._read, run_folder, workspace)
            return self._known.get(run_folder, 0)

    def look_again(self) -> None:
        """A step was put to use: the next answers are read anew."""
        with self._lock:
            self._asked_at.clear()

    def _read(self, run_folder: str, workspace: Workspace) -> None:
        self._known[run_folder] = step_in_use(workspace.root / run_folder, workspace)
