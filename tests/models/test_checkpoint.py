from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, save_tiny_checkpoint
from ti_core.checkpoints.library import find_checkpoints
from ti_core.errors import Interrupted, UserError
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.runs.plan import plan_run
from ti_core.settings import PORTRAITS
from ti_core.training.noise_loss import add_noise, target_of
from ti_core.training.step_inputs import generator_for, images_of_step, noise_of_step
from ti_core.workspace import Workspace


def test_folders_are_listed_with_their_own_size_after_the_built_in_one(workspace: Workspace) -> None:
    (workspace.checkpoints / "not a checkpoint").mkdir()
    assert [(c.title, c.size_px) for c in find_checkpoints(workspace)][1:] == [(TINY, 16)]
    assert find_checkpoints(workspace)[0].title == PORTRAITS


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: shutil.rmtree(f / "unet"), "unet"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer"),
        (
            lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"broken"),
            "diffusion_pytorch_model",
        ),
        (lambda f: (f / "scheduler" / "scheduler_config.json").write_text("{"), "tiny"),
        (lambda f: (f / "unet" / "config.json").write_text(json.dumps({"sample_size": "x"})), "tiny"),
    ],
)
def test_a_damaged_checkpoint_is_one_clear_sentence(tmp_path: Path, damage: object, named: str) -> None:
    save_tiny_checkpoint(tmp_path / "models" / "Stable-diffusion" / TINY)
    damage(tmp_path / "models" / "Stable-diffusion" / TINY)  # type: ignore[operator]
    with pytest.raises(
        UserError, match=f"'tiny' (cannot be loaded|is incomplete|is damaged): .*{named}|'tiny' cannot be loaded"
    ) as error:
        load_checkpoint(TINY, Workspace(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("choice", ["nowhere", "datasets"])
def test_a_folder_that_is_no_checkpoint_is_refused_with_the_list(workspace: Workspace, choice: str) -> None:
    workspace.datasets.mkdir()
    with pytest.raises(UserError, match=f"'{choice}' (does not exist|has no model_index.json).*Choose one of: .*tiny"):
        load_checkpoint(choice, workspace)


def test_interrupt_does_not_wait_for_the_decoding_of_many_pictures(workspace: Workspace) -> None:
    sd, stop = load_checkpoint(TINY, workspace, LoadOptions(precision="float32")), threading.Event()
    sd.move_to_device()
    requests = [SampleRequest("a man", seed=seed, steps=2) for seed in range(3)]
    with pytest.raises(Interrupted):
        sample_images(sd, requests, {}, stop, on_step=lambda done, total: stop.set() if done == total else None)


def test_a_picture_depends_on_its_seed_and_not_on_its_neighbours(workspace: Workspace) -> None:
    sd = load_checkpoint(TINY, workspace, LoadOptions(precision="float32"))
    sd.move_to_device()
    a, b = SampleRequest("a man", seed=1, steps=3), SampleRequest("a man", seed=2, steps=3)
    alone, together = sample_images(sd, [b], {}), sample_images(sd, [a, b], {})
    assert alone[0].size == (16, 16)
    difference = torch.tensor([abs(x - y) for x, y in zip(alone[0].tobytes(), together[1].tobytes(), strict=True)])
    assert difference.max() <= 1
    assert together[0].tobytes() != together[1].tobytes()


def test_a_v_prediction_checkpoint_is_known_by_its_config(tmp_path: Path) -> None:
    folder = save_tiny_checkpoint(tmp_path / "v", prediction_type="v_prediction")
    assert load_checkpoint(str(folder), Workspace(tmp_path)).prediction_type == "v_prediction"


def test_noise_and_targets_are_those_of_the_papers() -> None:
    signal = torch.linspace(0.99, 0.01, 1000)
    clean, noise, t = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0), torch.tensor([500])
    a, s = signal[500].sqrt().item(), (1 - signal[500]).sqrt().item()
    assert add_noise(clean, noise, t, signal).item() == pytest.approx(2 * a - s, abs=1e-6)
    assert torch.equal(target_of("epsilon", clean, noise, t, signal), noise)
    v = target_of("v_prediction", clean, noise, t, signal)
    assert v.item() == pytest.approx(-a - 2 * s, abs=1e-6)
    noisy = add_noise(clean, noise, t, signal)
    assert (a * noisy - s * v).item() == pytest.approx(2.0, abs=1e-5)


def test_every_image_is_seen_once_a_pass_and_orders_are_functions_of_seed_and_step() -> None:
    plan = plan_run(20, 3, 2, 150)
    assert len({image for step in (1, 2, 3) for image in images_of_step(plan, 7, step)}) == 18
    assert images_of_step(plan, 7, 50) == images_of_step(plan, 7, 50)
    assert images_of_step(plan, 7, 1) != images_of_step(plan, 7, 4)
    clean = [torch.zeros(4, 2, 2), torch.zeros(4, 2, 3)]
    (noise, timesteps), again, later = (
        noise_of_step(clean, 7, 3),
        noise_of_step(clean, 7, 3),
        noise_of_step(clean, 7, 4),
    )
    assert [one.shape for one in noise] == [one.shape for one in clean]
    assert all(torch.equal(a, b) for a, b in zip(noise, again[0], strict=True)) and torch.equal(timesteps, again[1])
    assert not torch.equal(noise[0], later[0][0])
    assert not torch.equal(
        torch.rand(4, generator=generator_for(1, "a", 1)), torch.rand(4, generator=generator_for(2, "a", 1))
    )
