"""The job that paints pictures from a prompt."""

from __future__ import annotations

from collections.abc import Collection

from ti_core.jobs.kind import JobKind
from ti_core.painting.txt2img import check_txt2img, txt2img
from ti_core.settings import Txt2ImgSettings
from ti_core.workspace import Workspace


def _check(settings: Txt2ImgSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    check_txt2img(settings, workspace)
    return f"txt2img: {settings.prompt.strip()[:60]}", ""


TXT2IMG = JobKind(
    Txt2ImgSettings,
    _check,
    txt2img,
    help="paint pictures from a prompt, with any embedding by its name",
    verb="txt2img",
    api_name="generate",
    tab="txt2img",
    makes="Grid",
    shows_pictures=True,
    numbers="picture",
)
