"""The job that makes a dataset of photos."""

from __future__ import annotations

from collections.abc import Collection

from ti_core.data.preprocess import check_preprocess, preprocess
from ti_core.jobs.kind import JobKind
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace


def _check(settings: PreprocessSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    photos, _ = check_preprocess(settings, workspace)
    return f"Preprocess {photos[0].parent.name}", settings.destination_directory


def _captions(settings: PreprocessSettings) -> bool:
    return settings.blip_caption or settings.florence_caption or settings.booru_caption


PREPROCESS = JobKind(
    PreprocessSettings,
    _check,
    preprocess,
    help="crop photos to squares, flip them, keep their captions",
    verb="preprocess",
    api_name="preprocess",
    tab="preprocess",
    shows_pictures=True,
    is_small=True,
    gains_by_device=_captions,
)
