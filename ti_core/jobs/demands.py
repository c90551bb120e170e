"""What a job demands of the place where it runs, read from its settings before the table is locked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

from ti_core.errors import UserError
from ti_core.jobs.claims import claims_of
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.settings import TrainSettings
from ti_core.settings.shared import AUTOMATIC
from ti_core.workspace import Workspace


def preferred_device(job: Job, kind: JobKind | None, others: Iterable[Job]) -> str:
    """For what has no device of its own, such as txt2img, the one that this person has chosen for their last training;
    empty for none. `others` are all jobs so far, the first one first.
    """
    if kind is None or kind.trains:
        return ""
    trained = [other for other in others if other.owner == job.owner and isinstance(other.settings, TrainSettings)]
    return trained[-1].device if trained else ""


def note_demands(job: Job, kind: JobKind | None, workspace: Workspace, coming: Collection[str] = ()) -> None:
    """Note what it reads and writes, which device it asks for, how many, and whether it fits on one. What cannot be
    read is told by the job itself, when it begins.
    """
    with contextlib.suppress(UserError, OSError, ValueError):
        job.claims = claims_of(kind, job.settings, job.folder, job.result, workspace, coming)
    if kind is None or job.settings is None:
        return
    settings = job.settings
    if kind.demanded:
        with contextlib.suppress(UserError, OSError, ValueError):
            settings = kind.demanded(settings, workspace)
    device = getattr(settings, "device", "")
    job.device = "" if device == AUTOMATIC else device
    job.count = max(1, int(getattr(settings, "gpus", 1)))
    job.checkpoint = getattr(settings, "checkpoint", "")
    job.gains_by_device = bool(kind.gains_by_device and kind.gains_by_device(job.settings))
    if kind.fits:
        with contextlib.suppress(UserError, OSError, ValueError):
            job.fits = kind.fits(job.settings, workspace)
