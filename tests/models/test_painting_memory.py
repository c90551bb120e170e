"""How pictures are painted where memory is short."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from ti_core.errors import TooLittleMemory
from ti_core.models import sampler
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.families import FAMILIES
from ti_core.models.painting_memory import place_networks, plan_painting
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.settings import PORTRAITS
from ti_core.workspace import Workspace

GIB = 2**30
SD1, SDXL = FAMILIES["sd1"].memory, FAMILIES["sdxl"].memory
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(("free_gib", "in_turns"), [(5.8, True), (7.4, True), (9.4, False)])
def test_sdxl_is_painted_on_cards_of_6_to_10_gb_on_small_ones_with_its_networks_in_turns(
    free_gib: float, in_turns: bool
) -> None:
    plan = plan_painting(int(free_gib * GIB), SDXL, 1024, 1024, pictures=4)
    assert plan.fits and plan.in_turns is in_turns and plan.total < free_gib * GIB


def test_with_more_memory_everything_stays_on_the_device() -> None:
    plan = plan_painting(22 * GIB, SDXL, 1024, 1024, pictures=4)
    assert (plan.at_once, plan.in_turns, plan.vae_slicing, plan.fits) == (4, False, False, True)
    small = plan_painting(int(3.6 * GIB), SD1, 512, 512, pictures=16)
    assert small.fits and not small.in_turns and 1 <= small.at_once < 16


def test_what_cannot_fit_is_tried_in_the_smallest_way() -> None:
    plan = plan_painting(2 * GIB, SDXL, 1024, 1024, pictures=4)
    assert (plan.at_once, plan.in_turns, plan.vae_slicing, plan.fits) == (1, True, True, False)


@pytest.fixture
def sd(tmp_path: Path) -> StableDiffusion:
    loaded = load_checkpoint(PORTRAITS, Workspace(tmp_path))
    loaded.move_to_device()
    return loaded


def test_a_picture_that_cannot_be_decoded_at_first_is_not_painted_twice(
    sd: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, decode = list[int](), StableDiffusion.decode
    predict = StableDiffusion.predict

    def counted(sd: StableDiffusion, *given: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return predict(sd, *given)  # type: ignore[arg-type]

    def decode_in_parts_alone(sd: StableDiffusion, latents: torch.Tensor) -> torch.Tensor:
        if not sd.vae.use_tiling:
            raise FULL
        return decode(sd, latents)

    request = SampleRequest("a photo of a woman", steps=2, width=64, height=64)
    whole = sample_images(sd, [request], {})
    monkeypatch.setattr(StableDiffusion, "predict", counted)
    monkeypatch.setattr(StableDiffusion, "decode", decode_in_parts_alone)
    parts = sample_images(sd, [request], {})
    assert len(passes) == 2
    assert parts[0].tobytes() == whole[0].tobytes(), "64 px are one part"


def test_where_nothing_smaller_is_left_it_is_one_sentence(sd: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Image.Image:
        raise FULL

    monkeypatch.setattr(sampler, "_sample_latents", full)
    with pytest.raises(TooLittleMemory, match=r"too small for a picture of 64x96\. Choose a smaller Width and Height"):
        sample_images(sd, [SampleRequest("anna", width=64, height=96)], {})


def test_networks_that_do_not_fit_together_stay_in_the_computers_memory(
    sd: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, move = list[tuple[bool, bool]](), StableDiffusion.move_to_device

    def small(sd: StableDiffusion, vae_off: bool = False, encoders_off: bool = False) -> None:
        tried.append((vae_off, encoders_off))
        if not encoders_off:
            raise FULL
        move(sd, vae_off, encoders_off)

    monkeypatch.setattr(StableDiffusion, "move_to_device", small)
    place_networks(sd, False, False)
    assert tried == [(False, False), (True, False), (True, True)]


def test_in_turns_a_network_comes_when_it_works_and_training_finds_all_in_their_places(
    sd: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, to = list[tuple[str, str]](), nn.Module.to
    names = {id(sd.unet): "UNet", id(sd.vae): "VAE", id(sd.text_encoders[0]): "text encoder"}

    def noted(module: nn.Module, *given: object) -> nn.Module:
        if id(module) in names and given[0] == torch.device("cpu", 0):
            moved.append((names[id(module)], "device"))
        return to(module, *given)  # type: ignore[call-overload, no-any-return]

    sd.device = sd.encoder_device = torch.device("cpu", 0)  # by which it is known from the computer's memory
    monkeypatch.setattr(nn.Module, "to", noted)
    sd.paints_in_turns = True
    with sd.painting():
        for network in (0, 1):
            moved.clear()
            sd.encoder_at_work(0)
            sd._give_turn(sd.unet)
            sd._give_turn(sd.unet)
            with sd.vae_at_work():
                pass
            assert list(dict.fromkeys(moved)) == [
                ("text encoder", "device"),
                ("UNet", "device"),
                ("VAE", "device"),
            ], network
    moved.clear()
    sd.encoder_at_work(0)
    assert {name for name, _ in moved} == {"UNet", "VAE", "text encoder"}
