"""The device that a process works on, by its name: one that was chosen is told by accelerate's own variable, before
torch is loaded.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ti_core.errors import UserError

if TYPE_CHECKING:
    import torch

CHOSEN = "ACCELERATE_TORCH_DEVICE"
"""accelerate's variable: the device of this process."""
TOGETHER = "TI_DEVICES"
"""Names of the devices, with commas, on which a job of this process may train together."""
CPU = "cpu"


def device_name(typed: str) -> str:
    """A device as torch names it; a number alone counts graphics cards, as A1111's --device-id does. Raises UserError
    for what can be none.
    """
    name = typed.strip().lower()
    name = f"cuda:{int(name)}" if re.fullmatch(r"\d{1,3}", name) else name
    name = f"{name}:0" if name in ("cuda", "xpu") else name
    if not re.fullmatch(r"(cuda|xpu):\d{1,3}|mps|cpu", name):
        raise UserError(f"There is no device called '{typed[:60]}'.", "Type cuda:0, cuda:1, xpu:0, mps or cpu.")
    return name


def choose_device(typed: str) -> None:
    """Have this program work on the device; before torch is loaded. Raises UserError."""
    os.environ[CHOSEN] = device_name(typed)


def device_is_open() -> bool:
    """Whether asking this process's device for its state takes no memory of it that is not taken already."""
    import torch
    from accelerate import PartialState

    kind = PartialState().device.type
    return bool(getattr(torch, kind).is_initialized()) if kind in ("cuda", "xpu") else True


def use_as_current(device: torch.device) -> None:
    """What names no device, in torch or in a library, means this one from here on, so that no other card gets
    anything. Raises UserError if there is none of that number.
    """
    import torch

    if device.type not in ("cuda", "xpu") or device.index is None:
        return
    count = torch.accelerator.device_count()
    if device.index >= count:
        there = ", ".join(f"{device.type}:{index}" for index in range(count)) or CPU
        raise UserError(f"There is no device {device} here.", f"Choose one of: {there}.")
    getattr(torch, device.type).set_device(device)
