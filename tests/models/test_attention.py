"""Attention in slices beside torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.models.test_recompute import one_pass, sd1_unet, sdxl_unet
from ti_core.models import attention
from ti_core.models.attention import slice_attention
from ti_core.models.device import DeviceState
from ti_core.models.families import FAMILIES
from ti_core.models.memory import SLICED_ATTENTION_BYTES, plan_fit
from ti_core.models.private_torch import has_fused_attention
from ti_core.settings import TrainSettings


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even tiny pictures need several."""
    monkeypatch.setattr(attention, "SLICE_BYTES", 2**16)


@pytest.mark.parametrize("make", [sd1_unet, sdxl_unet])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_answer_and_gradient_are_those_of_torch(make: Callable[[], UNet2DConditionModel], checkpointing: bool) -> None:
    torch.manual_seed(0)
    unet = make().requires_grad_(False).eval()
    whole, _ = one_pass(unet, autocast=False)
    slice_attention(unet)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    sliced, _ = one_pass(unet, autocast=False)
    for one, other in zip(sliced, whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


def test_the_autoencoder_gives_the_same_in_slices() -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(3, 3, ("DownEncoderBlock2D",), ("UpDecoderBlock2D",), (8,), 1, norm_num_groups=4).eval()
    latents = torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        whole = vae.decode(latents).sample
        slice_attention(vae)
        assert torch.allclose(vae.decode(latents).sample, whole, atol=1e-5)


def test_a_processor_has_an_attention_of_its_own() -> None:
    assert has_fused_attention(torch.device("cpu"), torch.float32)
    with sdpa_kernel(SDPBackend.MATH):
        assert not has_fused_attention(torch.device("cpu"), torch.float32)


def test_the_plan_knows_what_attention_the_device_has() -> None:
    def planned(fused: bool) -> int:
        state = DeviceState("mps", "", 12 * 2**30, fused_attention=fused)
        return plan_fit(TrainSettings(micro_batch=1), state, FAMILIES["sd1"].memory, 512, 512, 1).need.total

    assert planned(fused=False) - planned(fused=True) == SLICED_ATTENTION_BYTES
