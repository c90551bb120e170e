"""The noise schedule of a checkpoint, as it says or somebody chose: betas, what is predicted, how a sampler spaces
its steps.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
from diffusers import DDPMScheduler
from torch import Tensor

from ti_core.checkpoints.library import CheckpointFile
from ti_core.models.families import Family
from ti_core.runs.folder import saved_prediction
from ti_core.settings import AUTOMATIC, parse_prediction, prediction_label

if TYPE_CHECKING:
    from ti_core.models.stable_diffusion import StableDiffusion

KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
    "timestep_spacing",
)
"""What describes the noise in a scheduler's configuration. The rest is a solver's own: "Euler" is Euler with any
checkpoint.
"""
TRAILING = "trailing"
"""Of n steps the last begins at timestep 1000 / n: for models that were trained so, those of few steps among them, and
for zero terminal SNR (Lin et al. 2023, section 3.3). Any other spacing of a folder is replaced by each sampler's own
(models/sampler.py).
"""


def noise_schedule(file: CheckpointFile, family: Family, choice: str) -> dict[str, Any]:
    """KEYS with the values of the checkpoint, or with a `choice` of PREDICTION_TYPES in their place.

    Raises OSError or ValueError for a folder whose configuration cannot be read.
    """
    is_folder = file.path.is_dir()
    config = _scheduler_config(file.path if is_folder else family.configs)
    named = str(config.get("_class_name", "")).removeprefix("Flax")
    schedule = (
        _defaults(DDPMScheduler)
        | _defaults(getattr(diffusers, named, DDPMScheduler))
        | {key: config[key] for key in KEYS if key in config}
    )
    predicts, zero = file.facts.prediction_type or "epsilon", file.facts.zero_terminal_snr
    if choice != AUTOMATIC:
        predicts, zero = parse_prediction(choice)
    if betas := schedule["trained_betas"]:
        schedule["num_train_timesteps"] = len(betas)
        zero = zero or betas[-1] == 1
    if zero or file.facts.few_steps:
        schedule["timestep_spacing"] = TRAILING
    return schedule | {"prediction_type": predicts, "rescale_betas_zero_snr": zero}


def trained_prediction(run: Path, sd: StableDiffusion) -> str:
    """What the checkpoint was taken to predict in the run of that folder, as `sd.prediction` names it.

    A run whose settings do not say was begun by a version that read zero terminal SNR from folders alone.
    """
    predicts, zero = saved_prediction(run) or (
        sd.prediction_type,
        sd.zero_terminal_snr and sd.file.facts.form == "folder",
    )
    return prediction_label(predicts, zero)


def _scheduler_config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("its scheduler_config.json holds no settings")
    return config


def _defaults(kind: type) -> dict[str, Any]:
    """What a class of diffusers takes for those of KEYS that a configuration leaves out."""
    return {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items() if name in KEYS}


def alphas_cumprod(schedule: dict[str, Any]) -> Tensor:
    """float32 [timesteps] on the CPU, in 0..1 (Ho et al. 2020, eq. 4); the last is exactly 0 at zero terminal SNR."""
    cumulative: Tensor = DDPMScheduler(**schedule).alphas_cumprod
    return cumulative
