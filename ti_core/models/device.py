"""The device that accelerate chose, and how much memory it has. torch is imported by the functions, so that the page opens without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_ready = threading.Event()


@dataclass(frozen=True)
class DeviceState:
    """`free_bytes` is what this program may still take; on a CPU it is the free RAM."""

    kind: str
    name: str
    free_bytes: int


def warm_up(load: Callable[[], object]) -> None:
    """Call `load`, which imports what every job needs, in the background, so that the first click need not wait for it."""

    def work() -> None:
        load()
        _ready.set()

    threading.Thread(target=work, name="warm-up", daemon=True).start()


def state_when_warm() -> DeviceState | None:
    """The device's state, or None while torch is not loaded: the page does not wait for it."""
    return device_state() if _ready.is_set() else None


def device_state(device: torch.device | None = None) -> DeviceState:
    """Of accelerate's device, or of the given one."""
    import psutil
    import torch
    from accelerate import PartialState

    device = device or PartialState().device
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return DeviceState("cuda", torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)[0] + held)
    if device.type == "mps":
        return DeviceState("mps", "Apple GPU", torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return DeviceState(device.type, "CPU", int(psutil.virtual_memory().available))
