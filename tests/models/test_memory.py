from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ti_core.checkpoints.library import find_checkpoint
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.device import DeviceState
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import MIB
from ti_core.models.memory import choose_fit, estimate, facts_by_size, memory_facts, plan_fit
from ti_core.settings import PORTRAITS, TrainSettings
from ti_core.workspace import Workspace

GIB = 2**30
SD1, SDXL = FAMILIES["sd1"].memory, FAMILIES["sdxl"].memory


def test_the_estimate_is_the_sum_of_its_measured_parts() -> None:
    need = estimate(SD1, 512, 512, 2, 2, checkpointing=False, encoders_on_device=True, vae_on_device=True, prompts=2)
    assert need.weights == 859_520_964 * 2
    assert need.activations == pytest.approx(1032 * MIB, rel=0.01)
    assert need.vae == pytest.approx((160 + 384) * MIB, rel=0.01)
    assert need.encoders == 123_060_480 * 4
    assert need.total == pytest.approx(need.weights + need.activations + need.encoders + need.prompts + 83_653_863 * 2)


@pytest.mark.parametrize(
    ("size", "batch", "checkpointing", "counted"),
    [(512, 1, False, 516), (512, 4, False, 2065), (512, 4, True, 783), (1024, 1, True, 783)],
)
def test_activations_of_sd1_are_what_bench_memory_counted(
    size: int, batch: int, checkpointing: bool, counted: int
) -> None:
    need = estimate(SD1, size, size, batch, 2, checkpointing, True, False)
    assert need.activations == pytest.approx(counted * MIB, rel=0.01)


def test_float32_needs_twice_as_much_and_a_preview_counts_where_it_is_the_larger() -> None:
    half, full = (estimate(SDXL, 1024, 1024, 1, size, True, False, False) for size in (2, 4))
    assert (full.weights, full.activations, full.vae) == (2 * half.weights, 2 * half.activations, 2 * half.vae)
    assert half.total == half.weights + half.vae
    assert estimate(SDXL, 1024, 1024, 1, 2, True, False, False, vae_slicing=True).vae == pytest.approx(
        (160 + 384) * MIB, rel=0.01
    )


def test_an_autoencoder_that_stays_float32_beside_a_half_unet_counts_twice(workspace: Workspace) -> None:
    sd = load_checkpoint(PORTRAITS, workspace)
    sd.unet.to(torch.float32), sd.vae.to(torch.float32)
    alike = memory_facts(sd)
    sd.unet.to(torch.float16)
    wide = memory_facts(sd)
    assert (wide.vae_parameters, wide.vae_numbers) == (2 * alike.vae_parameters, 2 * alike.vae_numbers)


def test_the_sentence_says_the_whole_and_its_parts_in_gigabytes() -> None:
    need = estimate(SD1, 512, 512, 1, 2, False, True, True)
    assert (
        need.sentence()
        == "about 2.8 GB of the device's memory: 1.6 for the UNet, 0.5 for the text encoders, 0.5 for 1 picture at"
        " once, 0.5 for a preview"
    )
    assert replace(need, total=10 * MIB).sentence() == "less than 0.1 GB of the device's memory"


def test_sd1_at_512_trains_on_a_4_gb_card_without_checkpointing() -> None:
    plan = choose_fit(int(3.6 * GIB), SD1, 512, 512, images=20)
    assert plan.fits and plan.micro_batch >= 2
    assert not plan.gradient_checkpointing and not plan.encoders_off_device and not plan.vae_slicing
    assert plan.vae_off_device and plan.need.total < 3.6 * GIB


def test_sdxl_at_1024_trains_on_a_10_gb_card_with_its_text_encoders_on_the_device() -> None:
    plan = choose_fit(int(9.3 * GIB), SDXL, 1024, 1024, images=20)
    assert plan.fits and plan.micro_batch == 1
    assert plan.gradient_checkpointing and plan.vae_slicing and plan.vae_off_device and not plan.encoders_off_device
    assert plan.prompts_at_once < 20
    assert plan.need.total < 9.3 * GIB


def test_sdxl_on_8_gb_moves_the_text_encoders_and_on_80_gb_nothing() -> None:
    small = choose_fit(int(7.5 * GIB), SDXL, 1024, 1024, images=20)
    assert small.fits and small.encoders_off_device and small.gradient_checkpointing and small.prompts_at_once == 20
    between = choose_fit(int(9.9 * GIB), SDXL, 1024, 1024, images=20, wishes=TrainSettings(encoders_to_ram="on"))
    assert between.fits and not between.gradient_checkpointing
    large = choose_fit(78 * GIB, SDXL, 1024, 1024, images=12)
    assert (large.micro_batch, large.vae_off_device, large.gradient_checkpointing, large.encoders_off_device) == (
        12,
        False,
        False,
        False,
    )


def test_more_memory_never_means_fewer_pictures_at_once_in_the_same_way() -> None:
    plans = [choose_fit(free * GIB // 4, SD1, 512, 512, images=40) for free in range(10, 160)]
    ranks = [(not p.fits, p.encoders_off_device, p.gradient_checkpointing, -p.micro_batch) for p in plans]
    assert ranks == sorted(ranks, reverse=True)
    assert plans[-1].micro_batch == 40


def test_a_choice_of_the_user_is_obeyed_and_the_rest_is_fitted_around_it() -> None:
    free = int(3.6 * GIB)
    assert choose_fit(free, SD1, 512, 512, 20, wishes=TrainSettings(gradient_checkpointing="on")).gradient_checkpointing
    assert not choose_fit(free, SD1, 512, 512, 20, wishes=TrainSettings(vae_to_ram="off")).vae_off_device
    assert choose_fit(free, SD1, 512, 512, 20, wishes=TrainSettings(vae_slicing="on")).vae_slicing
    four = choose_fit(free, SD1, 512, 512, 20, wishes=TrainSettings(micro_batch=4))
    assert four.fits and four.micro_batch == 4 and four.gradient_checkpointing
    assert choose_fit(free, SD1, 512, 512, 3, wishes=TrainSettings(micro_batch=8)).micro_batch == 3


def test_what_cannot_fit_says_so_with_what_it_would_need() -> None:
    plan = choose_fit(2 * GIB, SDXL, 1024, 1024, images=20)
    assert not plan.fits and plan.micro_batch == 1 and plan.need.total > 2 * GIB
    refused = choose_fit(
        int(3.6 * GIB), SD1, 512, 512, 20, wishes=TrainSettings(micro_batch=20, gradient_checkpointing="off")
    )
    assert not refused.fits and refused.micro_batch == 20


def test_the_plan_of_the_page_is_that_of_the_run() -> None:
    """A CPU has few pictures at once, float32 has 4 bytes a number, and the user's precision comes before the
    device's own.
    """
    settings, images = TrainSettings(), 24
    gpu = plan_fit(settings, DeviceState("cuda", "", 12 * 2**30), SD1, 512, 512, images)
    cpu = plan_fit(settings, DeviceState("cpu", "", 12 * 2**30, half=False), SD1, 512, 512, images)
    assert gpu.micro_batch > 4 == cpu.micro_batch and cpu.need.weights == 2 * gpu.need.weights
    assert (
        plan_fit(TrainSettings(micro_batch=6), DeviceState("cpu", "", 24 * 2**30), SD1, 512, 512, images).micro_batch
        == 6
    )
    for precision, half in (("float32", True), ("bfloat16", False)):
        fit = plan_fit(
            TrainSettings(precision=precision), DeviceState("cuda", "", 12 * 2**30, half=half), SD1, 512, 512, images
        )
        assert (fit.need.weights == gpu.need.weights) == (precision == "bfloat16")


def test_a_loaded_checkpoint_counts_its_own_parameters_and_scales_by_width(tmp_path: Path) -> None:
    sd = load_checkpoint(PORTRAITS, Workspace(tmp_path))
    facts = memory_facts(sd)
    assert facts.unet_parameters == sum(p.numel() for p in sd.unet.parameters())
    assert facts.kept_numbers == pytest.approx(SD1.kept_numbers * 64 / 320)
    assert facts.latent_factor == 4 and 0 < facts.prompt_bytes < SD1.prompt_bytes


def test_by_its_header_alone_a_checkpoint_is_about_as_large_as_loaded(tmp_path: Path) -> None:
    """The page plans before anything is loaded; a small model differs from its family in more than its size."""
    header = facts_by_size(find_checkpoint(PORTRAITS, Workspace(tmp_path)).facts)
    loaded = memory_facts(load_checkpoint(PORTRAITS, Workspace(tmp_path)))
    assert header.latent_factor == loaded.latent_factor == 4
    for name in (
        "unet_parameters",
        "vae_parameters",
        "encoder_parameters",
        "kept_numbers",
        "checkpointed_numbers",
        "prompt_bytes",
        "vae_numbers",
    ):
        assert 0.6 < getattr(header, name) / getattr(loaded, name) < 1.7, name
