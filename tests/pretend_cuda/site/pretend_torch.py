"""Puts the pretend device into torch.cuda, and lets tests say what card it is. Imported by sitecustomize right after
torch.

Environment: PRETEND_MIB (memory of each card, 24000), PRETEND_COUNT (cards, 1), PRETEND_BF16 (0: none, as GTX 10, GTX
16 and RTX 20), PRETEND_FLASH (0: plain attention, as Apple's and some of AMD's).
"""

from __future__ import annotations

import ctypes
import os
import types
from collections.abc import Callable

import torch

MIB = 2**20
COUNTED = ("kernels", "to_device", "to_host", "waits", "allocations")
lib = ctypes.CDLL(os.environ["PRETEND_LIBRARY"], mode=ctypes.RTLD_GLOBAL)
for _name in ("pretend_total", "pretend_used", "pretend_peak"):
    getattr(lib, _name).restype = ctypes.c_int64
lib.pretend_limit.argtypes = [ctypes.c_int, ctypes.c_int64]
lib.pretend_fails_in.argtypes = [ctypes.c_int64]
lib.pretend_hollow.argtypes = [ctypes.c_int64]
lib.pretend_names.restype = ctypes.c_char_p
_state = {"count": 1, "bf16": True}


def set_card(mib: int = 24000, count: int = 1, bf16: bool = True, flash: bool = True) -> None:
    """What card this process has from here on: memory in MiB, how many, native bf16, flash attention."""
    lib.pretend_setup(count)
    for card in range(count):
        lib.pretend_limit(card, mib * MIB)
    lib.pretend_flash(int(flash))
    _state.update(count=count, bf16=bf16)


def set_card_of_environment() -> None:
    """As the environment says."""
    get = os.environ.get
    set_card(
        int(get("PRETEND_MIB", "24000")),
        int(get("PRETEND_COUNT", "1")),
        get("PRETEND_BF16", "1") == "1",
        get("PRETEND_FLASH", "1") == "1",
    )


def counts() -> dict[str, int]:
    """Since the process began: kernels, copies to the device and to the host, waits for the device, allocations."""
    out = (ctypes.c_int64 * len(COUNTED))()
    lib.pretend_counts(out)
    return dict(zip(COUNTED, out, strict=True))


def _index(device: object = None) -> int:
    if device is None:
        return lib.pretend_current()
    if isinstance(device, int):
        return device
    device = torch.device(device)
    return lib.pretend_current() if device.index is None else device.index


def _capability(device: object = None) -> tuple[int, int]:
    return (8, 6) if _state["bf16"] else (7, 5)


def _properties(device: object = None) -> types.SimpleNamespace:
    major, minor = _capability()
    total = lib.pretend_total(_index(device))
    name = f"Pretend GPU {_index(device)}"
    return types.SimpleNamespace(
        name=name, major=major, minor=minor, total_memory=total, multi_processor_count=64, warp_size=32
    )


def _memory(device: object = None) -> tuple[int, int]:
    total = lib.pretend_total(_index(device))
    return total - lib.pretend_used(_index(device)), total


class _Device:
    """torch.cuda.device: another current card for a while."""

    def __init__(self, device: object) -> None:
        self.index = _index(device)

    def __enter__(self) -> None:
        self.before = lib.pretend_current()
        lib.pretend_set_current(self.index)

    def __exit__(self, *_: object) -> None:
        lib.pretend_set_current(self.before)


def _nothing() -> Callable[..., None]:
    """A function of its own each time: torch._dynamo knows functions by their identity."""
    return lambda *_, **__: None


def _random_state(device: object = None) -> torch.Tensor:
    return torch.zeros(16, dtype=torch.uint8)


REPLACED = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "_is_compiled": lambda: True,
    "_lazy_init": _nothing(),
    "init": _nothing(),
    "device_count": lambda: _state["count"],
    "current_device": lambda: lib.pretend_current(),
    "set_device": lambda device: lib.pretend_set_current(_index(device)),
    "device": _Device,
    "get_device_name": lambda device=None: _properties(device).name,
    "get_device_capability": _capability,
    "get_device_properties": _properties,
    "get_arch_list": lambda: ["sm_75", "sm_80", "sm_86", "sm_90"],
    "is_bf16_supported": lambda including_emulation=True: bool(_state["bf16"]) or including_emulation,
    "mem_get_info": _memory,
    "memory_allocated": lambda device=None: lib.pretend_used(_index(device)),
    "memory_reserved": lambda device=None: lib.pretend_used(_index(device)),
    "max_memory_allocated": lambda device=None: lib.pretend_peak(_index(device)),
    "max_memory_reserved": lambda device=None: lib.pretend_peak(_index(device)),
    "reset_peak_memory_stats": lambda device=None: lib.pretend_reset_peak(_index(device)),
    "empty_cache": _nothing(),
    "ipc_collect": _nothing(),
    "synchronize": lambda device=None: lib.pretend_wait(),
    "manual_seed": _nothing(),
    "manual_seed_all": _nothing(),
    "get_rng_state": _random_state,
    "set_rng_state": _nothing(),
    "get_rng_state_all": lambda: [_random_state()] * int(_state["count"]),
    "_is_in_bad_fork": lambda: False,
    "is_current_stream_capturing": lambda: False,
}
for _name, _value in REPLACED.items():
    setattr(torch.cuda, _name, _value)
torch.accelerator.device_count = lambda: int(_state["count"])
torch._C._cuda_getCurrentRawStream = lambda device: 0
if not hasattr(torch._C, "_cuda_isCurrentStreamCapturing"):
    torch._C._cuda_isCurrentStreamCapturing = lambda: False

_deepcopy = torch.Tensor.__deepcopy__


def _deepcopy_on_card(self: torch.Tensor, memo: dict) -> torch.Tensor:
    """torch's own copies the storage, by a way that a CPU build has not for a card."""
    if self.device.type != "cuda" or not self.is_leaf:
        return _deepcopy(self, memo)
    copied = self.detach().clone().requires_grad_(self.requires_grad)
    if isinstance(self, torch.nn.Parameter):
        copied = torch.nn.Parameter(copied, self.requires_grad)
    memo[id(self)] = copied
    return copied


torch.Tensor.__deepcopy__ = _deepcopy_on_card
set_card_of_environment()
