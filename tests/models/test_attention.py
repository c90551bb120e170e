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
from ti_core.models.families.family import MIB
from ti_core.models.memory import plan_fit
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


@pytest.mark.parametrize(
    ("family", "size_px", "images", "checkpointing", "measured"),
    [
        ("sd1", 256, 1, False, 201),
        ("sd1", 512, 1, False, 502),
        ("sd1", 512, 2, False, 927),
        ("sd1", 1024, 1, False, 1842),
        ("sd1", 256, 1, True, 127),
        ("sd1", 1024, 1, True, 712),
        ("sdxl", 512, 2, False, 1770),
        ("sdxl", 1024, 1, False, 3465),
        ("sdxl", 1024, 1, True, 628),
    ],
)
def test_the_plan_knows_what_attention_the_device_has(
    family: str, size_px: int, images: int, checkpointing: bool, measured: int
) -> None:
    """Measured on the pretend card with attention in slices, MiB (docs/performance.md)."""
    state = DeviceState("mps", "", 48 * 2**30, fused_attention=False)
    wishes = TrainSettings(micro_batch=images, gradient_checkpointing="on" if checkpointing else "off")
    need = plan_fit(wishes, state, FAMILIES[family].memory, size_px, size_px, images).need
    assert need.activations / MIB == pytest.approx(measured, rel=0.07)
