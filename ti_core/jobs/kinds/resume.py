"""The job that goes on with a training that was interrupted."""

from __future__ import annotations

import threading
from collections.abc import Collection

from ti_core.events import Emit
from ti_core.jobs.kind import JobKind
from ti_core.runs.folder import saved_settings
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.training.checks import check_resume
from ti_core.training.fits import resumed_fits
from ti_core.workspace import Workspace


def _check(settings: ResumeSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    return f"Resume {check_resume(settings, workspace).name}", ""


def _run(settings: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    from ti_core.training.loop import resume  # loads torch

    resume(settings, workspace, emit, stop)


def _demanded(settings: ResumeSettings, workspace: Workspace) -> TrainSettings:
    return saved_settings(workspace.root / settings.run_folder).settings


def _run_of(settings: ResumeSettings | None, folder: str) -> str:
    return settings.run_folder if settings else ""


RESUME = JobKind(
    ResumeSettings,
    _check,
    _run,
    help="go on with a training that was interrupted or killed, exactly where it was",
    fits=resumed_fits,
    demanded=_demanded,
    verb="resume",
    api_name="resume",
    tab="train",
    makes="Embedding",
    repeated_after=(),
    run_of=_run_of,
)
