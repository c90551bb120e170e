"""Reads everything a run needs but the checkpoint."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.dataset import Dataset, scan_dataset
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.pt_file import load_pt
from ti_core.errors import UserError
from ti_core.events import Emit
from ti_core.plan import RunPlan, plan_run
from ti_core.prompts import find_template, load_template
from ti_core.schedule import Schedule, parse_schedule
from ti_core.settings import TrainSettings
from ti_core.training.checks import check_train
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


def prepare(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> Prepared:
    """Check and read everything; raises SettingsError or UserError with nothing written. Pictures that cannot be read become a Notice."""
    check_train(settings, workspace)
    embedding = load_pt(workspace.embeddings / f"{clean_name(settings.embedding)}.pt")
    dataset = scan_dataset(
        workspace.folder(settings.dataset_directory, "Dataset directory"), emit, stop, settings.filename_word_regex, settings.filename_join_string
    )
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
