"""The job that trains an embedding."""

from __future__ import annotations

import threading
from collections.abc import Collection

from ti_core.embeddings.names import known_name
from ti_core.events import Emit
from ti_core.jobs.kind import UNDONE, JobKind
from ti_core.models.device import DeviceMonitor
from ti_core.settings import TrainSettings
from ti_core.training.checks import check_train
from ti_core.training.fits import training_fits
from ti_core.workspace import Workspace


def _check(
    settings: TrainSettings, workspace: Workspace, coming: Collection[str], device: DeviceMonitor | None = None
) -> tuple[str, str]:
    check_train(settings, workspace, coming, device.latest() if device else None)
    return f"Train {known_name(settings.embedding, workspace)}", ""


def _run(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    from ti_core.training.loop import train  # loads torch

    train(settings, workspace, emit, stop)


def _run_of(settings: TrainSettings | None, folder: str) -> str:
    return folder


TRAIN = JobKind(
    TrainSettings,
    _check,
    _run,
    uses=("embedding", "dataset_directory"),
    fits=training_fits,
    checks_device=True,
    help="train an embedding",
    verb="train",
    takes_form=True,
    api_name="train",
    tab="train",
    makes="Embedding",
    only_once=True,
    repeated_after=UNDONE,
    run_of=_run_of,
)
