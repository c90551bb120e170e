"""What can be asked for as data: a job's kind and its settings. Such a job is kept on disk, cloned, and found again
after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.data.preprocess import check_preprocess, preprocess
from ti_core.embeddings.names import known_name
from ti_core.events import Emit, Finished, Progress
from ti_core.models.device import DeviceMonitor
from ti_core.painting.compare import check_compare, compare
from ti_core.painting.txt2img import check_txt2img, txt2img
from ti_core.runs.folder import saved_facts
from ti_core.settings import (
    CompareSettings,
    CreateSettings,
    PreprocessSettings,
    ResumeSettings,
    TrainSettings,
    Txt2ImgSettings,
)
from ti_core.settings.option import Settings
from ti_core.training.checks import check_resume, check_train
from ti_core.training.create import check_create, create_embedding
from ti_core.workspace import Workspace


@dataclass(frozen=True)
class JobKind:
    """`check` raises UserError for settings that cannot work and gives the job's title and what it will have made;
    `run` does the work.

    `check` is also told what the jobs before it in the line will have made. `uses` names the settings that say what
    the work needs of that. `checks_device`: `check` also takes the `device` of the process that trains.
    """

    settings: type[Settings]
    check: Callable[..., tuple[str, str]]
    run: Callable[[Any, Workspace, Emit, threading.Event], object]
    uses: tuple[str, ...] = ()
    checks_device: bool = False


def _check_create(settings: CreateSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    name = check_create(settings, workspace).stem
    return f"Create embedding {name}", name


def _create(settings: CreateSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    emit(Progress("Reading the checkpoint's words", 0, 1))
    path = create_embedding(settings, workspace)
    emit(Progress("Created", 1, 1))
    emit(Finished(f"Created: {workspace.shown(path)}", files=(str(path),)))


def _check_preprocess(settings: PreprocessSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    photos, _ = check_preprocess(settings, workspace)
    return f"Preprocess {photos[0].parent.name}", settings.destination_directory


def _check_train(
    settings: TrainSettings, workspace: Workspace, coming: Collection[str], device: DeviceMonitor | None = None
) -> tuple[str, str]:
    check_train(settings, workspace, coming, device.latest() if device else None)
    return f"Train {known_name(settings.embedding, workspace)}", ""


def _train(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    from ti_core.training.loop import train  # loads torch

    train(settings, workspace, emit, stop)


def _check_resume(settings: ResumeSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    return f"Resume {check_resume(settings, workspace).name}", ""


def _resume(settings: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    from ti_core.training.loop import resume  # loads torch

    resume(settings, workspace, emit, stop)


def _check_txt2img(settings: Txt2ImgSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    check_txt2img(settings, workspace)
    return f"txt2img: {settings.prompt.strip()[:60]}", ""


def _check_compare(settings: CompareSettings, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    check_compare(settings, workspace)
    return f"Compare {settings.run}", ""


KINDS: dict[str, JobKind] = {
    "create": JobKind(CreateSettings, _check_create, _create),
    "preprocess": JobKind(PreprocessSettings, _check_preprocess, preprocess),
    "train": JobKind(TrainSettings, _check_train, _train, uses=("embedding", "dataset_directory"), checks_device=True),
    "resume": JobKind(ResumeSettings, _check_resume, _resume),
    "compare": JobKind(CompareSettings, _check_compare, compare),
    "txt2img": JobKind(Txt2ImgSettings, _check_txt2img, txt2img),
}


def run_folder_of(kind: str, settings: dict[str, Any], folder: str, workspace: Workspace) -> Path | None:
    """The folder of a training that may be resumed, if the job is one."""
    if kind == "resume":
        folder = str(settings.get("run_folder", ""))
    return workspace.root / folder if kind in ("train", "resume") and folder else None


def trained_by(kind: str, settings: dict[str, Any], folder: str, workspace: Workspace) -> str:
    """The embedding that a training works on, by its run's state, or by what was asked for while there is none yet;
    empty for other jobs.
    """
    run = run_folder_of(kind, settings, folder, workspace)
    asked = str(settings.get("embedding", "")) if kind == "train" else ""
    if run and (facts := saved_facts(run)):
        return facts.get("name", "")
    return known_name(asked, workspace) if asked.strip() else ""
