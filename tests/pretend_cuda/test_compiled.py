"""The compiled UNet on a card whose torch has no Triton."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, train
from ti_core.events import Notice
from ti_core.workspace import Workspace

pytestmark = [
    pytest.mark.pretend_card,
    pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="Triton is there"),
]


def test_without_triton_nothing_is_compiled_and_who_asked_for_it_is_told_why(
    card: PretendCard, workspace: Workspace, anna: Path
) -> None:
    events = train(workspace, steps=3, image_every=0, compile_unet="on")
    assert [event.text for event in events.of(Notice) if "Triton is missing" in event.text]
