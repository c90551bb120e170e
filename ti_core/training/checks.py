"""Everything about a run that can be checked without torch and without opening a picture; all problems are reported
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ti_core.checkpoints.library import check_vae, find_usable_checkpoint, own_px
from ti_core.data.dataset_parts import parts_of
from ti_core.embeddings.folder import find_embeddings
from ti_core.embeddings.names import existing_name, similar_name
from ti_core.errors import SettingsError, UserError, about
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

    problems = settings.problems(own_px(settings.checkpoint, workspace))
    wrong = {problem.field for problem in problems}
    checks: tuple[tuple[str, Callable[[TrainSettings, Workspace], None]], ...] = (
        ("embedding", _check_embedding),
        ("dataset_directory", _check_dataset),
        ("template_file", _check_template),
        ("checkpoint", _check_checkpoint),
        ("vae", _check_vae),
        ("log_directory", _check_log_directory),
        ("gpus", check_devices),
    )
    for field, check in checks:
        if field in wrong or getattr(settings, field) in coming:
            continue
        try:
            with about(field):
                check(settings, workspace)
        except UserError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)


def check_resume(settings: ResumeSettings, workspace: Workspace) -> RunFolder:
    """The run that would go on, by what its state file says. Raises UserError if it cannot."""
    settings.check()
    with about("run_folder"):
        folder = workspace.writable_folder(settings.run_folder, "Run folder")
        facts = saved_facts(folder)
        if facts is None:
            raise UserError(
                f"Run folder '{settings.run_folder}' holds no state to go on from.",
                "Choose the folder of an interrupted run, or train again.",
            )
    return RunFolder(folder, facts["name"], facts["suffix"])


def _check_embedding(settings: TrainSettings, workspace: Workspace) -> None:
    if not existing_name(settings.embedding, workspace):
        there = find_embeddings(workspace)
        alike = similar_name(settings.embedding, there)
        meant = f" Did you mean '{alike}'?" if alike else ""
        raise UserError(
            f"Embedding '{settings.embedding}' does not exist.",
            f"Create it first, or choose one of: {', '.join(there) or 'none yet'}.{meant}",
        )


def _check_dataset(settings: TrainSettings, workspace: Workspace) -> None:
    parts = parts_of(settings, workspace)
    if not parts.used:
        raise parts.no_pictures("Dataset directory", settings.dataset_directory.strip())


def _check_template(settings: TrainSettings, workspace: Workspace) -> None:
    load_template(find_template(settings.template_file, workspace))


def _check_checkpoint(settings: TrainSettings, workspace: Workspace) -> None:
    find_usable_checkpoint(settings.checkpoint, workspace)


def _check_vae(settings: TrainSettings, workspace: Workspace) -> None:
    check_vae(settings.vae, settings.checkpoint, workspace)


def _check_log_directory(settings: TrainSettings, workspace: Workspace) -> None:
    workspace.writable(settings.log_directory, "Log directory")


def check_count(wanted: int, there: int) -> None:
    """Raises UserError if fewer devices are there than wanted."""
    if wanted > there:
        raise UserError(
            f"GPUs is {wanted}, but this computer has {there}.",
            f"Choose {there} or fewer." if there > 1 else "Choose 1.",
        )
