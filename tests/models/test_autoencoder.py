"""How the autoencoder works: in the precision of its weights, and in float32 where float16 is too narrow for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.settings import PORTRAITS
from ti_core.workspace import Workspace

Half = Callable[[], StableDiffusion]


@pytest.fixture
def half(tmp_path: Path) -> Half:
    def loaded() -> StableDiffusion:
        sd = load_checkpoint(PORTRAITS, Workspace(tmp_path), LoadOptions(precision="float16"))
        sd.move_to_device()
        return sd

    return loaded


def test_it_works_in_the_precision_of_its_weights_without_autocast(half: Half, monkeypatch: pytest.MonkeyPatch) -> None:
    sd, seen = half(), list[bool]()
    for part in (sd.vae.encoder, sd.vae.decoder):
        part.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled(sd.device.type)))
    sd.decode(sd.encode(torch.zeros(1, 3, 32, 32, device=sd.device))[0])
    assert seen == [False, False]


def widened(sd: StableDiffusion) -> list[str]:
    """Scales the weights so that activations exceed 65,504 inside, and finds what is said."""
    said: list[str] = []
    sd.on_notice = said.append
    with torch.no_grad():
        sd.vae.encoder.conv_in.weight.mul_(3e4)
        sd.vae.decoder.conv_in.weight.mul_(3e4)
    return said


def test_where_float16_is_too_narrow_it_goes_to_float32_once_and_says_so(half: Half) -> None:
    sd = half()
    said = widened(sd)
    mean, deviation = sd.encode(torch.ones(1, 3, 32, 32, device=sd.device))
    assert mean.isfinite().all() and deviation.isfinite().all()
    assert sd.vae.dtype is torch.float32
    assert sd.decode(torch.ones(1, 4, 8, 8, device=sd.device)).isfinite().all()
    assert len(said) == 1 and said[0].startswith("The VAE's numbers grew too large for float16")


def test_latents_that_are_not_finite_are_not_blamed_on_it(half: Half) -> None:
    sd = half()
    said: list[str] = []
    sd.on_notice = said.append
    sd.decode(torch.full((1, 4, 8, 8), float("nan"), device=sd.device))
    assert sd.vae.dtype is torch.float16
    assert "the UNet's numbers grew too large for float16" in said[0]


def test_a_unet_that_breaks_in_float16_is_loaded_in_float32_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = StableDiffusion.predict

    def breaks(sd: StableDiffusion, *given: torch.Tensor) -> torch.Tensor:
        answer = predict(sd, *given)  # type: ignore[arg-type]
        return answer * float("nan") if answer.dtype is torch.float16 else answer

    monkeypatch.setattr(StableDiffusion, "predict", breaks)
    sd = load_checkpoint(PORTRAITS, Workspace(tmp_path), LoadOptions(precision="float16"))
    assert sd.unet.dtype is torch.float32 and sd.autocast_dtype is None
    assert "break down in float16" in sd.notes[-1]


def test_it_can_work_on_the_processor_for_a_while(half: Half) -> None:
    sd = half()
    with sd.on_processor():
        assert sd.vae.dtype is torch.float32 and sd.encode(torch.zeros(1, 3, 32, 32))[0].isfinite().all()
    assert sd.vae.dtype is torch.float16
