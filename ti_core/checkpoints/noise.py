"""What a checkpoint predicts, and the noise schedule it was trained with: by a file's header and the .yaml beside it,
or by a folder's configuration.

Only DDPM's noise (Ho et al. 2020, eq. 2), given by betas, can be trained here; EDM (Karras et al. 2022) and flow
matching are refused, with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.checkpoints.families import predicts_epsilon
from ti_core.checkpoints.file_names import few_steps_named, flow_word
from ti_core.checkpoints.tensor_headers import TensorHeader

NOISE_HINT = "Choose a checkpoint of Stable Diffusion 1, 2 or XL that was trained with the noise of its family."
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Those that every sampler here knows; `trained_betas` may replace them."""
_DDPM_LIKE = {
    f"{name}Scheduler"
    for name in (
        "DDPM",
        "DDPMParallel",
        "DDIM",
        "DDIMParallel",
        "DDIMInverse",
        "PNDM",
        "LMSDiscrete",
        "EulerDiscrete",
        "EulerAncestralDiscrete",
        "HeunDiscrete",
        "KDPM2Discrete",
        "KDPM2AncestralDiscrete",
        "DPMSolverMultistep",
        "DPMSolverMultistepInverse",
        "DPMSolverSinglestep",
        "DPMSolverSDE",
        "DEISMultistep",
        "UniPCMultistep",
        "SASolver",
        "LCM",
        "TCD",
    )
}
"""diffusers' solvers of the one process that betas describe: a model saved with any of them was trained alike."""
_PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
_SCALINGS = {"EpsScaling": "epsilon", "VScaling": "v_prediction"}
"""Classes of `denoiser_scaling` in the .yaml of SDXL; A1111's sd_xl_v.yaml has VScaling. The others are EDM's."""
_ZERO_SNR = re.compile(r"^\s*(rescale_betas_zero_snr|zero_terminal_snr|ztsnr):\s*true\b", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class NoiseFacts:
    """`prediction_type`: epsilon or v_prediction, empty if the file does not say. `problem` is the end of a sentence
    that begins with the checkpoint's name, `hint` what to do about it.
    """

    prediction_type: str = ""
    zero_terminal_snr: bool = False
    problem: str = ""
    hint: str = NOISE_HINT


def _not_trainable(what: str) -> NoiseFacts:
    return NoiseFacts(problem=f"was trained with another noise ({what}), so it cannot be trained here")


# ---- single files


def noise_of_file(path: Path, header: TensorHeader, family: str, inpainting: bool) -> NoiseFacts:
    """Of a single file, by its empty tensors `v_pred` and `ztsnr` (as A1111 and ComfyUI read them), its metadata, the
    .yaml beside it, and what the first files of the family had, in this order.
    """
    said = header.metadata.get("modelspec.prediction_type", "").lower()
    try:
        config = path.with_suffix(".yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        config = ""
    scaling = re.search(r"denoiser_scaling\.(\w+)", config)
    # What cannot be trained. Files of rectified flow rarely say it inside, and may have kept the marks of the v model
    # that they were made from.
    if "flow" in said or said in ("sample", "edm"):
        return _not_trainable(f"its metadata say that it predicts {said}")
    title = header.metadata.get("modelspec.title", "")
    if said not in _PREDICTIONS and (word := flow_word(path.stem) or flow_word(title)):
        return NoiseFacts(
            problem=f"has '{word}' in its {'name' if flow_word(path.stem) else 'title'}, so it is taken for a model of"
            " rectified flow, which cannot be trained here",
            hint="Choose another checkpoint. If this one is no such model, rename the file.",
        )
    if scaling and scaling[1] not in _SCALINGS:
        return _not_trainable(f"{path.with_suffix('.yaml').name} beside it names {scaling[1]}")
    # What says it, the plainest first.
    zero = "ztsnr" in header.shapes or bool(_ZERO_SNR.search(config))
    if "v_pred" in header.shapes:
        return NoiseFacts("v_prediction", zero)
    if said in _PREDICTIONS:
        return NoiseFacts(_PREDICTIONS[said], zero)
    if scaling:
        return NoiseFacts(_SCALINGS[scaling[1]], zero)
    if re.search(r"""^\s*parameterization:\s*["']?v["']?\s*(#.*)?$""", config, re.MULTILINE):
        return NoiseFacts("v_prediction", zero)
    # A config that does not name the parameterization means epsilon.
    if "model:" in config or predicts_epsilon(family, inpainting, header.metadata.get("global_step")):
        return NoiseFacts("epsilon", zero)
    return NoiseFacts("", zero)


# ---- diffusers folders


def noise_of_folder(index: dict[str, Any], scheduler: dict[str, Any], vae: dict[str, Any]) -> NoiseFacts:
    """Of a diffusers folder, by its model_index.json, scheduler/scheduler_config.json and vae/config.json."""
    entry = index.get("scheduler")
    named = [entry[1] if isinstance(entry, list) and len(entry) == 2 else None, scheduler.get("_class_name")]
    for name in named:
        if isinstance(name, str) and name.removeprefix("Flax") not in _DDPM_LIKE:
            return _not_trainable(name)
    # Options of the scheduler by which its betas do not describe the noise.
    for option in ("use_flow_sigmas", "snr_shift_scale"):
        if scheduler.get(option):
            return _not_trainable(f"its scheduler has {option}")
    if (scheduler.get("timestep_type") or "discrete") != "discrete":
        return _not_trainable(f"its scheduler has timesteps of the type {scheduler['timestep_type']}")
    if vae.get("latents_mean") is not None:  # as Playground 2.5's, for whose latents betas give another amount of noise
        return _not_trainable("its VAE has latents_mean")
    predicts, betas = scheduler.get("prediction_type") or "epsilon", scheduler.get("trained_betas")
    if predicts not in ("epsilon", "v_prediction"):
        return _not_trainable(f"its scheduler says that it predicts {predicts}")
    if betas is None and (scheduler.get("beta_schedule") or "linear") not in BETA_SCHEDULES:
        return _not_trainable(f"the beta_schedule {scheduler['beta_schedule']}")
    ends_at_zero = isinstance(betas, list) and bool(betas) and betas[-1] == 1
    return NoiseFacts(predicts, scheduler.get("rescale_betas_zero_snr") is True or ends_at_zero)


def few_steps_of_folder(folder: Path, scheduler: dict[str, Any], unet: dict[str, Any]) -> str:
    """How a diffusers folder's model was distilled to a few steps, empty if it was not: by its scheduler, its UNet, or
    its name.
    """
    named = str(scheduler.get("_class_name", "")).removesuffix("Scheduler")
    if named in ("LCM", "TCD"):
        return named
    return "LCM" if unet.get("time_cond_proj_dim") else few_steps_named(folder.name)
