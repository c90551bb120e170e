"""No test of this folder may reach the network: what fetches models points at a port that nobody answers."""

from __future__ import annotations

from pathlib import Path

import pytest

NOBODY = "http://127.0.0.1:9"
ASTRONAUT = Path(__file__).parent / "files" / "astronaut.jpg"
"""Eileen Collins, NASA, public domain; made smaller. One face, at about (132, 50) of 384 x 384 px, 71 px wide."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    from ti_core.data import face_model, model_files

    monkeypatch.setattr(face_model, "YUNET_URL", f"{NOBODY}/yunet.onnx")
    monkeypatch.setattr(model_files, "HUB_ENDPOINT", NOBODY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


TINY_YUNET = ASTRONAUT.with_name("tiny_yunet.onnx")
"""Made by make_tiny_yunet.py: takes each blue square of 32 px on its grid of 32 px for a face of 48 x 96 px."""
