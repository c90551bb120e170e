"""Everything about a run that can be checked without torch and without opening a picture; all problems are reported
at once.
"""

from __future__ import annotations

from collections.abc import Collection

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.data.images import find_images
from ti_core.embeddings.folder import find_embedding, find_embeddings
from ti_core.embeddings.names import known_name
from ti_core.errors import SettingsError, UserError
from ti_core.models.device import DeviceState
from ti_core.runs.folder import RunFolder, saved_facts
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.settings.prompts import find_template, load_template
from ti_core.workspace import Workspace


def check_train(
    settings: TrainSettings, workspace: Workspace, coming: Collection[str] = (), device: DeviceState | None = None
) -> None:
    """Everything that can be checked without opening a picture; raises SettingsError with one sentence per problem.

    `coming` names embeddings and dataset folders that jobs before this one will have made; they need not be there yet.
    `device` is the one that will train, where it is known; else its GPUs are counted where the training begins.
    """

    def check_devices(settings: TrainSettings, workspace: Workspace) -> None:
        if device:
            check_count(settings.gpus, device.count)

    problems = settings.problems()
    checks = (
        (_check_embedding, settings.embedding),
        (_check_dataset, settings.dataset_directory),
        (_check_template, ""),
        (_check_places, ""),
        (check_devices, ""),
    )
    for check, made in checks:
        try:
            if not made or made not in coming:
                check(settings, workspace)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)


def check_resume(settings: ResumeSettings, workspace: Workspace) -> RunFolder:
    """The run that would go on, by what its state file says. Raises UserError if it cannot."""
    settings.check()
    folder = workspace.writable_folder(settings.run_folder, "Run folder")
    facts = saved_facts(folder)
    if facts is None:
        raise UserError(
            f"Run folder '{settings.run_folder}' holds no state to go on from.",
            "Choose the folder of an interrupted run, or train again.",
        )
    return RunFolder(folder, facts["name"], facts["suffix"])


def _check_embedding(settings: TrainSettings, workspace: Workspace) -> None:
    if not settings.embedding.strip():
        return
    name = known_name(settings.embedding, workspace)
    if find_embedding(name, workspace) is None:
        there = ", ".join(find_embeddings(workspace)) or "none yet"
        raise UserError(
            f"Embedding '{settings.embedding}' does not exist.", f"Create it first, or choose one of: {there}."
        )


def _check_dataset(settings: TrainSettings, workspace: Workspace) -> None:
    if settings.dataset_directory.strip() and not find_images(
        workspace.folder(settings.dataset_directory, "Dataset directory")
    ):
        raise UserError(
            f"Dataset directory '{settings.dataset_directory}' holds no pictures.",
            "Preprocess your photos first, or choose another folder.",
        )


def _check_template(settings: TrainSettings, workspace: Workspace) -> None:
    if settings.template_file.strip():
        load_template(find_template(settings.template_file, workspace))


def _check_places(settings: TrainSettings, workspace: Workspace) -> None:
    find_usable_checkpoint(settings.checkpoint, workspace)
    if settings.log_directory.strip():
        workspace.writable(settings.log_directory, "Log directory")


def check_count(wanted: int, there: int) -> None:
    """Raises UserError if fewer devices are there than wanted."""
    if wanted > there:
        raise UserError(
            f"GPUs is {wanted}, but this computer has {there}.",
            f"Choose {there} or fewer." if there > 1 else "Choose 1.",
        )
