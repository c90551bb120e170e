"""What a job demands of the place where it runs, read from its settings before the table is locked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from ti_core.errors import UserError
from ti_core.jobs.claims import claims_of
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.settings.shared import AUTOMATIC
from ti_core.workspace import Workspace


def note_demands(job: Job, kind: JobKind | None, workspace: Workspace, coming: Collection[str] = ()) -> None:
    """Note what it reads and writes, which device it asks for, how many, and whether it fits on one. What cannot be
    read is told by the job itself, when it begins.
    """
    with contextlib.suppress(UserError, OSError, ValueError):
        job.claims = claims_of(kind, job.settings, job.folder, job.result, workspace, coming)
    if kind is None or job.settings is None:
        return
    device = getattr(job.settings, "device", "")
    job.device = "" if device == AUTOMATIC else device
    job.count = max(1, int(getattr(job.settings, "gpus", 1)))
    job.checkpoint = getattr(job.settings, "checkpoint", "")
    if kind.fits:
        with contextlib.suppress(UserError, OSError, ValueError):
            job.fits = kind.fits(job.settings, workspace)
