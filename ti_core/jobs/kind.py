"""What a kind of job is: one object, which the queue, the API, the command line and the page ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ti_core.embeddings.names import known_name
from ti_core.events import Emit
from ti_core.models.device import DeviceState
from ti_core.runs.folder import saved_facts
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

UNDONE = ("interrupted", "failed", "cancelled")
"""States of a job whose work is not done."""
Check = Callable[..., tuple[str, str]]
"""(settings, workspace, what the jobs before it in the queue will have made) -> the job's title and what it will have
made. Raises UserError for settings that cannot work.
"""
Run = Callable[[Any, Workspace, Emit, threading.Event], object]
"""(settings, workspace, emit, stop): does the work."""


@dataclass(frozen=True)
class JobKind:
    """One kind of job."""

    settings: type[Settings]
    check: Check
    run: Run
    uses: tuple[str, ...] = ()
    """Names of the settings that say what the work needs of the jobs before it."""
    fits: Callable[[Any, Workspace], Callable[[DeviceState], bool]] | None = None
    """(settings, workspace) -> says of a device whether the work fits there by the memory plan."""
    demanded: Callable[[Any, Workspace], Settings] | None = None
    """(settings, workspace) -> the settings that say device, GPUs and checkpoint, where these are not its own. Raises
    UserError.
    """
    gains_by_device: Callable[[Any], bool] | None = None
    """Of a small kind: whether work with these settings is far slower on a processor, so that a free card does it."""
    checks_device: bool = False
    """Whether `check` also takes `device`, the DeviceMonitor of the process that trains."""
    help: str = ""
    """What it does, in a few words for the command line and for programs."""
    verb: str = ""
    """Its command on the command line; empty for none."""
    api_name: str = ""
    """Its function in the API; empty for none."""
    tab: str = ""
    """The tab of the page that answers; empty where no page orders it."""
    makes: str = ""
    """What the first file of its result is called in the terminal."""
    shows_pictures: bool = False
    """Whether the page shows its pictures as such, instead of naming them."""
    numbers: str = "step"
    """What its previews are numbered by."""
    only_once: bool = False
    """Whether the queue refuses the same settings a second time."""
    repeated_after: tuple[str, ...] = ("finished", *UNDONE)
    """States of a job after which the same settings can work once more, so that a page offers it."""
    is_small: bool = False
    """Whether its own tab answers, so that the page goes on showing the training that it shows."""
    takes_form: bool = False
    """Whether its command also takes a form that the page has exported (`--settings FILE`)."""
    run_of: Callable[[Any, str], str] | None = None
    """For kinds that train: the run's folder, from the settings (None where they are lost) and from the folder that the
    work has told of.
    """

    @property
    def trains(self) -> bool:
        """Whether it works on a run, which can be resumed, and whose steps can be used."""
        return self.run_of is not None

    def run_folder(self, settings: Settings | None, folder: str, workspace: Workspace) -> str:
        """The folder of its run as it would be typed; empty for kinds that do not train, and for what is no folder."""
        typed = self.run_of(settings, folder) if self.run_of else ""
        try:
            return workspace.shown(workspace.root / typed) if typed else ""
        except (OSError, ValueError, RuntimeError):  # a job's file may say anything
            return ""

    def trained_embedding(self, settings: Settings | None, folder: str, workspace: Workspace) -> str:
        """Name of the embedding that it trains, by its run's state, or by what was asked for while there is none yet;
        empty for kinds that do not train.
        """
        if not self.trains:
            return ""
        run = self.run_folder(settings, folder, workspace)
        if run and (facts := saved_facts(workspace.root / run)):
            return facts.get("name", "")
        asked = str(getattr(settings, "embedding", ""))
        return known_name(asked, workspace) if asked.strip() else ""
