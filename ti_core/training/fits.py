"""Whether a training fits on a device, before anything of it is loaded: for the choice of one among several."""

from __future__ import annotations

from collections.abc import Callable

from ti_core.checkpoints.library import find_checkpoint
from ti_core.models.device import DeviceState
from ti_core.models.memory import facts_by_size, plan_fit
from ti_core.runs.folder import saved_settings
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.workspace import Workspace


def training_fits(settings: TrainSettings, workspace: Workspace) -> Callable[[DeviceState], bool]:
    """Says of a device whether the training fits there by the memory plan. Raises UserError where there is no such
    checkpoint.
    """
    checkpoint = find_checkpoint(settings.checkpoint, workspace)
    facts = facts_by_size(checkpoint.facts)
    width, height = settings.width or checkpoint.size_px, settings.height or checkpoint.size_px
    images = max(1, -(-settings.batch_size * settings.gradient_accumulation_steps // max(1, settings.gpus)))
    return lambda state: plan_fit(settings, state, facts, width, height, images).fits


def resumed_fits(settings: ResumeSettings, workspace: Workspace) -> Callable[[DeviceState], bool]:
    """As `training_fits`, for the run that goes on."""
    return training_fits(saved_settings(workspace.root / settings.run_folder).settings, workspace)
