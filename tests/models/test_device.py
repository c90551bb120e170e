"""What is said of a device, and of one that does not answer."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from ti_core.errors import UserError, is_out_of_memory, unexpected
from ti_core.models import device
from ti_core.models.device import DeviceMonitor, DeviceState, device_state


def test_a_card_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: torch.device) -> tuple[int, int]:
        raise RuntimeError(
            "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"
        )

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", broken)
    with pytest.raises(
        UserError,
        match=r"^The graphics card does not answer: CUDA error: unspecified launch failure\. Start this program again",
    ):
        device_state(torch.device("cuda"))


def test_a_card_that_other_programs_have_filled_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(device: torch.device) -> tuple[int, int]:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    with pytest.raises(UserError, match=r"^The graphics card's memory is full.*Close the other programs"):
        device_state(torch.device("cuda"))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "HIP out of memory. Tried to allocate 2.00 GiB.",
        "HIP error: out of memory",
        "XPU out of memory. Tried to allocate 2.00 GiB.",
        "UR error: UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY",
        "MPS backend out of memory (MPS allocated: 5 GB, other allocations: 1 GB, max allowed: 6 GB).",
        "Invalid buffer size: 20.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory",
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
    ],
)
def test_each_way_to_say_that_memory_ran_out_is_known(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert unexpected(RuntimeError(text)).startswith("The device's memory ran out.")


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_monitor_waits_for_the_first_report_only_where_one_is_expected() -> None:
    began = time.monotonic()
    assert DeviceMonitor().latest(60) is None and time.monotonic() - began < 30
    monitor, state = DeviceMonitor(is_expected=True), DeviceState("cpu", "CPU", 2**30)
    assert monitor.latest() is None
    threading.Timer(0.05, monitor.report, [state]).start()
    assert monitor.latest(60) is state
    monitor.report(None)
    assert monitor.latest(60) is None, "it has stopped to answer"


def test_an_intel_card_is_called_by_its_name_with_its_own_memory_and_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    xpu = {
        "is_bf16_supported": lambda including_emulation: True,
        "mem_get_info": lambda device: (6 * 2**30, 8 * 2**30),
        "memory_reserved": lambda device: 2**30,
        "get_device_name": lambda device: "Intel Arc A750",
    }
    for name, found in xpu.items():
        monkeypatch.setattr(torch.xpu, name, found)
    monkeypatch.setattr(device, "has_fused_attention", lambda *_: True)
    state = device_state(torch.device("xpu"))
    assert (state.kind, state.name, state.free_bytes, state.half) == ("xpu", "Intel Arc A750", 7 * 2**30, True)
