"""The device that accelerate chose, and how much memory it has. torch is imported by the functions, so that the
page opens without it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ti_core.errors import UserError, is_out_of_memory
from ti_core.models.private_torch import cpu_multiplies_bf16, has_fused_attention
from ti_core.models.torch_build import check_architecture

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceState:
    """`kind` is torch's type of the device: cuda, xpu, mps or cpu. `free_bytes` is what this program may take, with
    what it holds already, because a model makes room for the next. `count` devices can train together; `half` says
    whether the precision Automatic is half precision on it, `fused_attention` whether attention needs no room for the
    matrix of all pairs.
    """

    kind: str
    name: str
    free_bytes: int
    count: int = 1
    half: bool = True
    fused_attention: bool = True


class DeviceMonitor:
    """The device of the process that trains, as that process reports it, for the page, which loads no torch to ask
    for itself. Belongs to whoever starts the process (jobs/process.py), who hands it on.
    """

    def __init__(self, is_expected: bool = False) -> None:
        """`is_expected`: somebody will report, so that it is worth waiting for."""
        self._is_expected, self._reported = is_expected, threading.Event()
        self._state: DeviceState | None = None

    def report(self, state: DeviceState | None) -> None:
        """Keep what was found; None where the device does not answer."""
        self._state = state
        self._reported.set()

    def latest(self, wait_s: float = 0) -> DeviceState | None:
        """What was reported last, None while nothing was; waits so long for the first report, if one is expected."""
        if wait_s and self._is_expected:
            self._reported.wait(wait_s)
        return self._state


def count_devices() -> int:
    """GPUs that can train together; 1 where there is none. With ACCELERATE_USE_CPU, accelerate's own variable, the
    processor's cores.
    """
    import torch
    from accelerate.utils import parse_flag_from_env

    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return os.cpu_count() or 1
    return max(1, torch.accelerator.device_count())


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """bf16 where the hardware multiplies it natively, fp16 on other GPUs, None (float32) elsewhere."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "xpu":
        return torch.bfloat16 if torch.xpu.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if cpu_multiplies_bf16() else None
    return torch.float16 if device.type == "mps" else None


def device_state(device: torch.device | None = None) -> DeviceState:
    """Of accelerate's device, or of the given one. Raises UserError for one that cannot be asked, as after a fault
    of its driver.
    """
    from accelerate import PartialState

    from ti_core.models.chosen_device import use_as_current

    with answers_wanted():
        device = device or PartialState().device
        use_as_current(device)
        return _state_of(device)


@contextmanager
def answers_wanted() -> Iterator[None]:
    """For a block that asks the device for very little. Raises UserError where it cannot give even that."""
    try:
        yield
    except (RuntimeError, OSError) as error:  # torch's errors of a device are RuntimeErrors
        if is_out_of_memory(error):
            raise UserError(
                "The graphics card's memory is full, so this program cannot use the card.",
                "Close the other programs that use it, such as another web UI or a game, and try again.",
            ) from error
        why = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise UserError(
            f"The graphics card does not answer: {why}.",
            "Start this program again; if that does not help, start the computer again, or look after its driver.",
        ) from error


def _state_of(device: torch.device) -> DeviceState:
    import psutil
    import torch

    if device.type == "cuda":
        check_architecture(device)
    dtype = autocast_dtype(device)
    has_fused = partial(has_fused_attention, device, dtype or torch.float32)
    count, half = count_devices(), dtype is not None
    if device.type == "cuda":
        free_bytes = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return DeviceState("cuda", torch.cuda.get_device_name(device), free_bytes, count, half, has_fused())
    if device.type == "xpu":
        free_bytes = torch.xpu.mem_get_info(device)[0] + torch.xpu.memory_reserved(device)
        return DeviceState("xpu", torch.xpu.get_device_name(device), free_bytes, count, half, has_fused())
    if device.type == "mps":
        return DeviceState("mps", "Apple GPU", torch.mps.recommended_max_memory(), 1, half, has_fused())
    held = psutil.Process().memory_info()
    own = held.rss - getattr(held, "shared", 0)  # what is mapped from files counts as available already
    return DeviceState(device.type, "CPU", psutil.virtual_memory().available + own, count, half)
