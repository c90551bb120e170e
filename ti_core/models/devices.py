"""Which devices this computer has."""

from __future__ import annotations

import sys

from ti_core.errors import UserError, unexpected
from ti_core.models.chosen_device import CPU
from ti_core.models.device import DeviceState, device_state


def look_at_devices() -> list[tuple[str, DeviceState | None]]:
    """Name and state of every device that jobs can run on: the accelerator's, or else the processor. None for one that
    does not answer; the terminal shows why. A card that was looked at keeps some memory until this process ends.
    """
    return [(name, _state_of(name)) for name in _names()]


def _names() -> list[str]:
    import torch
    from accelerate import PartialState

    device = PartialState().device
    if device.type in (CPU, "mps") or device.index is not None:
        return [str(device)]
    return [f"{device.type}:{index}" for index in range(max(1, torch.accelerator.device_count()))]


def _state_of(name: str) -> DeviceState | None:
    import torch

    try:
        return device_state(torch.device(name))
    except Exception as error:  # noqa: BLE001 - whatever a driver does, the other devices work
        print(f"{name}: {error if isinstance(error, UserError) else unexpected(error)}", file=sys.stderr, flush=True)
        return None
