"""Everything a run needs, checked before the first slow action; all problems are reported at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.dataset import Dataset, scan_dataset
from ti_core.data.images import find_images
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.pt_file import load_pt
from ti_core.errors import SettingsError, UserError
from ti_core.events import Emit
from ti_core.library import find_checkpoint, find_embeddings
from ti_core.plan import RunPlan, plan_run
from ti_core.prompts import find_template, load_template
from ti_core.schedule import Schedule, parse_schedule
from ti_core.settings import TrainSettings
from ti_core.workspace import Workspace, clean_name


@dataclass(frozen=True)
class Prepared:
    """The checked inputs of a run, all read but the checkpoint."""

    embedding: Embedding
    dataset: Dataset
    lines: list[str]
    schedule: Schedule
    log_directory: Path
    plan: RunPlan


def check_train(settings: TrainSettings, workspace: Workspace) -> None:
    """Everything that can be checked without opening a picture; raises SettingsError with one sentence per problem."""
    problems = settings.problems()
    for check in (_check_embedding, _check_dataset, _check_template, _check_places):
        try:
            check(settings, workspace)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)


def _check_embedding(settings: TrainSettings, workspace: Workspace) -> None:
    if not settings.embedding.strip():
        return
    name = clean_name(settings.embedding)
    if not (workspace.embeddings / f"{name}.pt").is_file():
        there = ", ".join(find_embeddings(workspace)) or "none yet"
        raise UserError(f"Embedding '{settings.embedding}' does not exist.", f"Create it first, or choose one of: {there}.")


def _check_dataset(settings: TrainSettings, workspace: Workspace) -> None:
    if settings.dataset_directory.strip() and not find_images(workspace.folder(settings.dataset_directory, "Dataset directory")):
        raise UserError(f"Dataset directory '{settings.dataset_directory}' holds no pictures.", "Preprocess your photos first, or choose another folder.")


def _check_template(settings: TrainSettings, workspace: Workspace) -> None:
    if settings.template_file.strip():
        load_template(find_template(settings.template_file, workspace))


def _check_places(settings: TrainSettings, workspace: Workspace) -> None:
    find_checkpoint(settings.checkpoint, workspace)
    if settings.log_directory.strip():
        workspace.path(settings.log_directory, "Log directory")


def prepare(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> Prepared:
    """Check and read everything; raises SettingsError or UserError with nothing written. Pictures that cannot be read become a Notice."""
    check_train(settings, workspace)
    embedding = load_pt(workspace.embeddings / f"{clean_name(settings.embedding)}.pt")
    dataset = scan_dataset(workspace.folder(settings.dataset_directory, "Dataset directory"), emit, stop)
    first_step = embedding.step or 0
    if first_step >= settings.steps:
        raise UserError(
            f"Embedding '{embedding.name}' has {first_step} steps already, and Max steps is {settings.steps}.",
            "Set Max steps higher to train on, or create a new embedding.",
        )
    plan = plan_run(len(dataset.examples), settings.batch_size, settings.gradient_accumulation_steps, settings.steps, first_step)
    return Prepared(
        embedding, dataset, load_template(find_template(settings.template_file, workspace)), parse_schedule(settings.learning_rate),
        workspace.path(settings.log_directory, "Log directory"), plan,
    )  # fmt: skip
