"""What is said of a device that does not answer."""

from __future__ import annotations

import pytest
import torch

from ti_core.errors import UserError
from ti_core.models.device import device_state


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
