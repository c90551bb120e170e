"""The job that makes a new embedding."""

from __future__ import annotations

import threading
from collections.abc import Collection

from ti_core.events import Emit, Finished, Progress
from ti_core.jobs.kind import UNDONE, JobKind
from ti_core.settings import CreateSettings
from ti_core.training.create import check_create, create_embedding
from ti_core.workspace import Workspace


def _check(settings: CreateSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    name = check_create(settings, workspace).stem
    return f"Create embedding {name}", name


def _run(settings: CreateSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    emit(Progress("Reading the checkpoint's words", 0, 1))
    path = create_embedding(settings, workspace)
    emit(Progress("Created", 1, 1))
    emit(Finished(f"Created: {workspace.shown(path)}", files=(str(path),)))


CREATE = JobKind(
    CreateSettings,
    _check,
    _run,
    help="make a new embedding",
    verb="create",
    api_name="create_embedding",
    tab="create",
    repeated_after=UNDONE,
    is_small=True,
)
