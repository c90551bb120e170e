"""Going on with a run that was interrupted, from the state in its folder."""

from __future__ import annotations

import threading

from ti_core.events import Emit
from ti_core.settings import ResumeSettings
from ti_core.workspace import Workspace


def resume(settings: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    raise NotImplementedError
