"""Builds of torch that do not suit the card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ti_core.errors import UserError
from ti_core.models import torch_build
from ti_core.models.torch_build import check_architecture, runs_on, unused_card

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((6, 1), False), ((7, 0), False), ((7, 5), True), ((8, 9), True), ((12, 0), True), ((12, 1), True)],
)
def test_a_card_runs_code_of_its_own_major_number_and_what_is_translated(
    capability: tuple[int, int], runs: bool
) -> None:
    assert runs_on(capability, CUDA_13) is runs


@pytest.mark.parametrize(("capability", "build"), [((6, 1), "cu126"), ((13, 0), "cu130")])
def test_a_card_without_code_gets_a_sentence_with_the_build_to_install(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], build: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CUDA_13[:-1])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GTX 1080")
    with pytest.raises(UserError, match=rf"has no code for GTX 1080 \(sm_{capability[0]}.*--torch {build}"):
        check_architecture(torch.device("cuda"))


@pytest.mark.parametrize(("driver", "build"), [("NVIDIA_DRIVER", "cu130"), ("AMD_DRIVER", "rocm7.2"), ("", "")])
def test_a_build_for_the_processor_beside_a_card_names_the_one_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: str, build: str
) -> None:
    for name in ("NVIDIA_DRIVER", "AMD_DRIVER"):
        monkeypatch.setattr(torch_build, name, (tmp_path if name == driver else tmp_path / "none",))
    monkeypatch.setattr(torch_build.shutil, "which", lambda name: None)
    for name in ("cuda", "hip", "xpu"):
        monkeypatch.setattr(torch.version, name, None)
    assert unused_card() == build
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert unused_card() == ""
