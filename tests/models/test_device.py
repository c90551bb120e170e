"""What is said of a device, and of one that does not answer."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from ti_core.errors import UserError
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


def test_a_monitor_waits_for_the_first_report_only_where_one_is_expected() -> None:
    began = time.monotonic()
    assert DeviceMonitor().latest(60) is None and time.monotonic() - began < 30
    monitor, state = DeviceMonitor(is_expected=True), DeviceState("cpu", "CPU", 2**30)
    assert monitor.latest() is None
    threading.Timer(0.05, monitor.report, [state]).start()
    assert monitor.latest(60) is state
    monitor.report(None)
    assert monitor.latest(60) is None, "it has stopped to answer"
