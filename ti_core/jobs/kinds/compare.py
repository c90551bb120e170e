"""The job that paints a run's steps side by side."""

from __future__ import annotations

from collections.abc import Collection

from ti_core.jobs.kind import JobKind
from ti_core.painting.compare import check_compare, compare
from ti_core.settings import CompareSettings
from ti_core.workspace import Workspace


def _check(settings: CompareSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    check_compare(settings, workspace)
    return f"Compare {settings.run}", ""


COMPARE = JobKind(
    CompareSettings,
    _check,
    compare,
    help="paint a grid of a run's steps, prompts and seeds, to choose the step by eye",
    verb="compare",
    api_name="compare",
    tab="compare",
    makes="Grid",
    shows_pictures=True,
)
