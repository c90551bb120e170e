"""Keeps the checkpoint of the last job loaded, so that the next job with the same one starts at once."""

from __future__ import annotations

import gc
from typing import Any

from accelerate import PartialState
from accelerate.utils.memory import clear_device_cache

from ti_core.checkpoints.library import find_checkpoint, find_vae, state_of_model
from ti_core.events import Emit, Notice
from ti_core.models import checkpoint
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.device import autocast_dtype, device_state
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.workspace import Workspace

_kept: dict[Any, StableDiffusion] = {}
"""At most one: what decides how it is loaded -> the model. Jobs run one after the other, so nobody else has it."""


def warm_checkpoint(
    choice: str, workspace: Workspace, options: LoadOptions, emit: Emit | None = None
) -> StableDiffusion:
    """As `load_checkpoint`, but without loading if the last job had the same choices and the files are as they were.

    It comes as if loaded: off the device, with nothing switched on. Another model is freed before this one is loaded.
    Raises UserError as `load_checkpoint` does, and for a device that does not answer.
    """
    device_state()  # one that does not answer is a sentence, before minutes of loading
    key = _key(choice, workspace, options)
    if key not in _kept:
        release_model()
        _kept[key] = checkpoint.load_checkpoint(choice, workspace, options, emit)
    _kept[key].rest()
    if emit:
        _kept[key].on_notice = lambda sentence: emit(Notice(sentence))
    clear_device_cache()
    return _kept[key]


def _key(choice: str, workspace: Workspace, options: LoadOptions) -> Any:
    file, device = find_checkpoint(choice, workspace), PartialState().device
    states = [(str(path), state_of_model(path)) for path in (file.path, find_vae(options.vae, workspace, file)) if path]
    return tuple(states), options, str(device), autocast_dtype(device)


def release_model() -> None:
    """Free the memory of the model that is kept, if there is one."""
    if _kept:
        _kept.clear()
        gc.collect()
        clear_device_cache()
