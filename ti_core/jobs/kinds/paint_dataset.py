"""The job that paints pictures to train on."""

from __future__ import annotations

from collections.abc import Collection

from ti_core.jobs.kind import JobKind
from ti_core.painting.painted_dataset import check_paint_dataset, paint_dataset
from ti_core.settings import PaintDatasetSettings
from ti_core.workspace import Workspace


def _check(settings: PaintDatasetSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    check_paint_dataset(settings, workspace)
    return f"Paint {settings.count} pictures", settings.destination_directory


PAINT_DATASET = JobKind(
    PaintDatasetSettings,
    _check,
    paint_dataset,
    help="paint pictures to train on: for a slider word, or bad ones for a negative word",
    verb="paint-dataset",
    api_name="paint_dataset",
    tab="create",
    makes="First picture",
    shows_pictures=True,
    numbers="picture",
)
