"""What noise a checkpoint has: in training, in each sampler, from a file and from a folder, and by somebody's
choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from tests.models.tiny_families import SIZE_PX, change_scheduler, save_folder, save_single_file, save_zero_snr_file
from ti_core.checkpoints.library import CheckpointFile
from ti_core.errors import UserError
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.families import FAMILIES
from ti_core.models.noise_schedule import alphas_cumprod, noise_schedule
from ti_core.models.sampler import SampleRequest, guide, sample_images
from ti_core.models.solvers import LEAST_SIGNAL, EulerAncestral, set_timesteps, solver_for
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.warm import warm_checkpoint
from ti_core.settings import SAMPLERS, CreateSettings
from ti_core.training.create import create_embedding
from ti_core.training.noise_loss import add_noise, target_of
from ti_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_families")
V_ZERO = "v_prediction, zero terminal SNR"
ORDINARY = 0.0046596
"""alphas_cumprod[999] of Stable Diffusion's own betas."""


def save_configs(folder: Path, **values: Any) -> Path:
    """Of a diffusers folder only what says which noise it has."""
    (folder / "scheduler").mkdir(parents=True)
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionXLPipeline", "text_encoder": ["transformers", "CLIPTextModel"]})
    )
    (folder / "scheduler" / "scheduler_config.json").write_text(
        (FAMILIES["sdxl"].configs / "scheduler" / "scheduler_config.json").read_text()
    )
    return change_scheduler(folder, **values)


def save_zero_snr_configs(folder: Path) -> Path:
    return save_configs(folder, prediction_type="v_prediction", rescale_betas_zero_snr=True)


def schedule_of(path: Path, choice: str = "Automatic") -> dict[str, Any]:
    return noise_schedule(CheckpointFile(path.name, path), FAMILIES["sdxl"], choice)


def algorithm_1(betas: torch.Tensor) -> torch.Tensor:
    """alphas_cumprod after Lin et al. 2023, algorithm 1, written down anew."""
    root = (1 - betas.double()).cumprod(0).sqrt()
    return (((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2).float()


@pytest.mark.parametrize("save", [save_zero_snr_file, save_zero_snr_configs])
def test_zero_terminal_snr_is_rescaled_by_algorithm_1_and_ends_at_exactly_nothing(
    tmp_path: Path, save: Callable[[Path], Path]
) -> None:
    signal = alphas_cumprod(schedule_of(save(tmp_path / "xl.safetensors")))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    assert signal.dtype is torch.float32 and signal[-1] == 0 and signal[-2] > 0
    assert torch.allclose(signal, algorithm_1(betas), atol=2e-6) and float(signal[0]) == pytest.approx(1 - 0.00085)
    t = torch.tensor([999, 0])
    clean, noise = torch.full((2, 4, 2, 2), 3.0), torch.randn(2, 4, 2, 2)
    assert torch.equal(add_noise(clean, noise, t, signal)[0], noise[0])
    assert torch.equal(target_of("v_prediction", clean, noise, t, signal)[0], -clean[0])


@pytest.mark.parametrize("save", [save_zero_snr_file, save_zero_snr_configs])
def test_a_choice_stands_in_the_place_of_what_the_checkpoint_says(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    path = save(tmp_path / "xl.safetensors")
    for choice, predicts, last in (
        ("Automatic", "v_prediction", 0.0),
        ("epsilon", "epsilon", ORDINARY),
        ("v_prediction", "v_prediction", ORDINARY),
        (V_ZERO, "v_prediction", 0.0),
    ):
        schedule = schedule_of(path, choice)
        assert (schedule["prediction_type"], schedule["rescale_betas_zero_snr"]) == (predicts, last == 0)
        assert float(alphas_cumprod(schedule)[-1]) == pytest.approx(last, abs=1e-6)


def test_a_file_that_says_nothing_can_be_chosen_to_end_at_zero(tmp_path: Path) -> None:
    path = save_single_file("sdxl", tmp_path / "xl.safetensors")
    assert float(alphas_cumprod(schedule_of(path))[-1]) == pytest.approx(ORDINARY, abs=1e-6)
    chosen = schedule_of(path, V_ZERO)
    assert alphas_cumprod(chosen)[-1] == 0 and chosen["timestep_spacing"] == "trailing"


def test_the_model_that_is_kept_is_loaded_anew_for_another_choice(tmp_path: Path) -> None:
    path, chosen = save_zero_snr_file(tmp_path / "xl.safetensors"), []
    for choice in ("Automatic", "v_prediction"):
        sd = warm_checkpoint(str(path), Workspace(tmp_path), LoadOptions(prediction_type=choice))
        chosen.append((sd.prediction, sd.chosen_prediction, float(sd.alphas_cumprod[-1]) == 0))
    assert chosen == [(V_ZERO, "", True), ("v_prediction", "v_prediction", False)]


@pytest.mark.parametrize("marks", [("v_pred", "ztsnr"), ("ztsnr",)])
def test_every_sampler_begins_at_pure_noise_and_paints_finite_numbers(
    tmp_path: Path, marks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sd = load_checkpoint(str(save_zero_snr_file(tmp_path / "xl.safetensors", marks)), Workspace(tmp_path))
    sd.move_to_device()
    seen, decode = [], StableDiffusion.decode
    monkeypatch.setattr(StableDiffusion, "decode", lambda sd, latents: seen.append(latents) or decode(sd, latents))
    for sampler in SAMPLERS:
        (picture,) = sample_images(
            sd, [SampleRequest("a woman", steps=4, width=SIZE_PX, height=SIZE_PX, sampler=sampler)], {}
        )
        assert picture.size == (SIZE_PX, SIZE_PX) and torch.isfinite(seen[-1]).all() and np.array(picture).std() > 0
        for steps in (1, 2, 20, 61, 122, 150):  # diffusers gives 61 steps a 62nd one, whose timestep is -1
            solver = solver_for(sd.scheduler_config, sampler)
            set_timesteps(solver, steps)
            assert (
                int(solver.timesteps[0]) == 999 and len(solver.timesteps) == steps and int(solver.timesteps.min()) >= 0
            )
        assert float(solver.alphas_cumprod[-1]) == pytest.approx(LEAST_SIGNAL)


def test_with_a_model_that_is_always_right_every_sampler_arrives_at_the_picture(tmp_path: Path) -> None:
    schedule, draw = schedule_of(save_zero_snr_file(tmp_path / "xl.safetensors")), torch.Generator().manual_seed(0)
    picture = torch.randn(1, 4, 8, 8, generator=draw)
    for sampler in SAMPLERS:
        for steps in (5, 20, 61):
            solver = solver_for(schedule, sampler)
            set_timesteps(solver, steps)
            x = torch.randn(1, 4, 8, 8, generator=draw) * solver.init_noise_sigma
            if isinstance(solver, EulerAncestral):
                solver.begin([draw], (4, 8, 8), torch.device("cpu"))
            for t in solver.timesteps:
                kept = solver.alphas_cumprod[int(t)]
                noise = (solver.scale_model_input(x, t) - kept.sqrt() * picture) / (1 - kept).sqrt()
                v = kept.sqrt() * noise - (1 - kept).sqrt() * picture
                x = solver.step(v, t, x, return_dict=False)[0]
            assert (x - picture).abs().max() < 0.15, (
                sampler,
                steps,
            )  # DDIM leaves the noise of the first timestep, as A1111's does


def test_ddim_at_zero_snr_takes_the_picture_out_of_v(tmp_path: Path) -> None:
    solver = solver_for(schedule_of(save_zero_snr_configs(tmp_path / "xl")), "DDIM")
    solver.set_timesteps(1)
    v, noise = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    assert torch.allclose(solver.step(v, 999, noise).pred_original_sample, -v, atol=2e-3)


@pytest.mark.parametrize(
    "values",
    [
        {"beta_schedule": "linear", "beta_start": 0.0002, "beta_end": 0.03, "num_train_timesteps": 400},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.01, 0.02, 0.05, 0.3]},
        {"trained_betas": [0.01, 0.02, 0.05, 1]},
        {"rescale_betas_zero_snr": True, "beta_end": 0.02},
    ],
)
def test_a_folders_own_betas_are_those_of_training_and_of_every_sampler(tmp_path: Path, values: dict[str, Any]) -> None:
    schedule = schedule_of(save_configs(tmp_path / "xl", **values))
    signal = alphas_cumprod(schedule)
    wanted = DDPMScheduler.from_pretrained(tmp_path / "xl" / "scheduler").alphas_cumprod
    assert torch.allclose(signal, wanted, atol=1e-6) and len(signal) == len(wanted)
    for sampler in SAMPLERS:
        solver = solver_for(schedule, sampler)
        assert torch.allclose(solver.alphas_cumprod, wanted, atol=1e-6) and float(solver.alphas_cumprod[-1]) > 0
        assert solver.config.num_train_timesteps == len(wanted)


FIRST_SIGMAS = {"DPM++ 2M Karras": 14.6146, "Euler a": 14.6146, "Euler": 14.6146, "DDIM": 14.6146, "UniPC": 14.6146}
"""A1111 1.10.1's, of Stable Diffusion's betas: k-diffusion's sigma_max, UniPC's t = 1. Its DDIM is told timestep 951 of
20 steps, where sigma is 11.4, and given full noise; ours is told what it is given.
"""


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing", None])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_begins_at_a1111s_first_sigma_however_a_folder_spaces_its_steps(
    tmp_path: Path, sampler: str, spacing: str | None
) -> None:
    folder = save_configs(tmp_path / "xl", timestep_spacing=spacing, steps_offset=1)
    for steps in (1, 4, 12, 20, 61, 150):
        solver = solver_for(schedule_of(folder), sampler)
        set_timesteps(solver, steps)
        kept = float(solver.alphas_cumprod[int(solver.timesteps[0])])
        assert ((1 - kept) / kept) ** 0.5 == pytest.approx(FIRST_SIGMAS[sampler], abs=1e-3), steps
        if hasattr(solver, "sigmas"):
            assert float(solver.sigmas[0]) == pytest.approx(FIRST_SIGMAS[sampler], abs=1e-3), steps
        if "Euler" in sampler:  # k-diffusion's: the noise is as large as the first sigma
            assert float(solver.init_noise_sigma) == pytest.approx(FIRST_SIGMAS[sampler], abs=1e-3), steps


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_at_zero_snr_every_sampler_begins_at_a1111s_largest_sigma(tmp_path: Path, sampler: str) -> None:
    solver = solver_for(schedule_of(save_zero_snr_configs(tmp_path / "xl")), sampler)
    set_timesteps(solver, 20)
    kept = float(solver.alphas_cumprod[int(solver.timesteps[0])])
    assert ((1 - kept) / kept) ** 0.5 == pytest.approx(4518.8, abs=0.1)
    assert float(getattr(solver, "sigmas", torch.tensor([4518.8]))[0]) == pytest.approx(4518.8, abs=0.1)


def test_euler_takes_the_sigmas_of_k_diffusion(tmp_path: Path) -> None:
    schedule = schedule_of(save_configs(tmp_path / "xl"))
    signal = alphas_cumprod(schedule).double().numpy()
    sigmas = ((1 - signal) / signal) ** 0.5
    at = np.linspace(999, 0, 12)  # k-diffusion, DiscreteSchedule.get_sigmas
    wanted = np.exp(np.interp(at, np.arange(1000), np.log(sigmas)))
    for sampler in ("Euler", "Euler a"):
        solver = solver_for(schedule, sampler)
        set_timesteps(solver, 12)
        assert np.allclose(solver.sigmas[:-1].numpy(), wanted, rtol=1e-3) and solver.sigmas[-1] == 0


def test_trailing_steps_are_for_folders_that_say_so_zero_snr_and_models_of_few_steps(tmp_path: Path) -> None:
    folder = save_zero_snr_configs(tmp_path / "xl")
    change_scheduler(folder, timestep_spacing="leading", use_karras_sigmas=True, _class_name="EulerDiscreteScheduler")
    euler = solver_for(schedule_of(folder), "Euler").config
    assert (euler.timestep_spacing, euler.use_karras_sigmas) == ("trailing", False)
    change_scheduler(folder, rescale_betas_zero_snr=False)
    assert solver_for(schedule_of(folder), "Euler").config.timestep_spacing == "linspace"
    change_scheduler(folder, timestep_spacing="trailing")
    assert solver_for(schedule_of(folder), "UniPC").config.timestep_spacing == "trailing"
    turbo = save_single_file("sdxl", tmp_path / "xl_turbo.safetensors")
    solver = solver_for(schedule_of(turbo), "Euler a")
    set_timesteps(solver, 4)
    assert [int(t) for t in solver.timesteps] == [999, 749, 499, 249]
    change_scheduler(folder, beta_start=None, beta_end=None, beta_schedule=None, _class_name="LCMScheduler")
    assert float(alphas_cumprod(schedule_of(folder))[-1]) == pytest.approx(ORDINARY, abs=1e-6), (
        "as LCMScheduler's own betas"
    )


def test_rescaled_guidance_has_the_contrast_of_the_prompt_alone() -> None:
    without, with_prompt = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, rescaled = (guide(without, with_prompt, 7.0, share) for share in (0.0, 1.0))
    assert torch.equal(plain, without + 7.0 * (with_prompt - without))
    assert torch.allclose(rescaled.std(dim=(1, 2, 3)), with_prompt.std(dim=(1, 2, 3)))
    assert torch.allclose(guide(without, with_prompt, 7.0, 0.7), 0.7 * rescaled + 0.3 * plain, atol=1e-6)
    nothing = torch.zeros(1, 4, 2, 2)
    assert torch.equal(guide(nothing, nothing, 7.0, 1.0), nothing)


def test_another_noise_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = save_folder("sdxl", tmp_path / "xl")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"never read")
    for name in ("EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"):
        change_scheduler(folder, _class_name=name)
        with pytest.raises(UserError, match=name):
            load_checkpoint(str(folder), Workspace(tmp_path))
        with pytest.raises(UserError, match=name):
            create_embedding(CreateSettings(name="anna", checkpoint=str(folder)), Workspace(tmp_path))
