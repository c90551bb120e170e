"""Whether the build of torch that is installed suits the graphics card, and which one would. tools/install.py chooses
by the same table; this is for cards, drivers and builds that changed afterwards.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ti_core.errors import UserError

if TYPE_CHECKING:
    import torch

NVIDIA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("C:/Windows/System32/nvcuda.dll"))
AMD_DRIVER = (Path("/dev/kfd"),)
"""What a driver that programs can compute with leaves on a computer."""
OLDEST_OF_CUDA_13, BLACKWELL = (7, 5), (10, 0)
"""Compute capabilities: CUDA 13 knows no card before Turing, CUDA 12.6 none from Blackwell on."""


def check_architecture(device: torch.device) -> None:
    """Raises UserError for a card for which this torch holds no code, with the build that has some."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return
    built_for = torch.cuda.get_arch_list()
    if torch.version.hip is not None:
        kind = str(torch.cuda.get_device_properties(device).gcnArchName).partition(":")[0]
        suits, build = kind in built_for, "rocm7.2"
    else:
        capability = torch.cuda.get_device_capability(device)
        kind, suits = f"sm_{capability[0]}{capability[1]}", runs_on(capability, built_for)
        build = "cu126" if capability < OLDEST_OF_CUDA_13 else "cu130"
    if built_for and not suits:
        raise UserError(
            f"This torch ({torch.__version__}) has no code for {torch.cuda.get_device_name(device)} ({kind}); it is"
            f" built for {', '.join(built_for)}.",
            f"Start once with: ./webui.sh --torch {build} (Windows: webui.bat), or set ACCELERATE_USE_CPU=1 to train on"
            " the processor.",
        )


def runs_on(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a card of this compute capability runs code built for these: `sm_86` runs on cards of the same major
    number from 8.6 on, `compute_86` is translated for all from 8.6 on (CUDA C++ Programming Guide, 6.1).
    """
    for one in built_for:
        if found := re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", one):
            major, minor = int(found[2]), int(found[3])
            is_same = capability[0] == major and capability[1] >= minor
            if is_same or (found[1] == "compute" and capability >= (major, minor)):
                return True
    return False


def unused_card() -> str:
    """The build that would use a card which this torch, built for the processor alone, cannot use; empty where there is
    none.
    """
    import torch

    if torch.version.cuda is not None or torch.version.hip is not None or torch.version.xpu is not None:
        return ""
    if shutil.which("nvidia-smi") or any(path.exists() for path in NVIDIA_DRIVER):
        return "cu130"
    return "rocm7.2" if any(path.exists() for path in AMD_DRIVER) else ""
