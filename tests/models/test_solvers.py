"""Our two solvers give bit for bit what diffusers' give; where they draw and compute is all that differs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, UniPCMultistepScheduler

from ti_core.models import solvers
from ti_core.models.solvers import SOLVERS, EulerAncestral, set_timesteps, solver_for

DIFFUSERS = {"Euler a": EulerAncestralDiscreteScheduler, "UniPC": UniPCMultistepScheduler}
SHAPE = (4, 8, 6)


def schedule(prediction: str, zero_snr: bool) -> dict[str, Any]:
    return {
        "num_train_timesteps": 1000,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": prediction,
        "rescale_betas_zero_snr": zero_snr,
        "timestep_spacing": "trailing" if zero_snr else "leading",
    }


def painted(sampler: str, said: dict[str, Any], steps: int) -> torch.Tensor:
    """What comes out where the networks say something of the noisy pictures."""
    solver = solver_for(said, sampler)
    set_timesteps(solver, steps)
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    x = torch.stack([torch.randn(SHAPE, generator=generator) for generator in generators]) * solver.init_noise_sigma
    more: dict[str, Any] = {}
    if isinstance(solver, EulerAncestral):
        solver.begin(generators, SHAPE, torch.device("cpu"))
    elif sampler == "Euler a":
        more = {"generator": generators}
    for t in solver.timesteps:
        said_of_it = solver.scale_model_input(x, t).tanh() + float(t) / 1000
        x = solver.step(said_of_it, t, x, return_dict=False, **more)[0]
    return x


@pytest.mark.parametrize(
    ("prediction", "zero_snr"), [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]
)
@pytest.mark.parametrize("sampler", DIFFUSERS)
def test_a_solver_of_ours_is_bit_for_bit_that_of_diffusers(
    monkeypatch: pytest.MonkeyPatch, sampler: str, prediction: str, zero_snr: bool
) -> None:
    said = schedule(prediction, zero_snr)
    for steps in (1, 2, 3, 20):
        ours = painted(sampler, said, steps)
        with monkeypatch.context() as patch:
            patch.setitem(SOLVERS, sampler, (DIFFUSERS[sampler], SOLVERS[sampler][1]))
            assert torch.equal(ours, painted(sampler, said, steps)), steps


def test_noise_that_is_drawn_in_several_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = painted("Euler a", schedule("epsilon", False), 7)
    monkeypatch.setattr(solvers, "NOISE_BYTES", 3 * 2 * 4 * torch.Size(SHAPE).numel())
    assert torch.equal(painted("Euler a", schedule("epsilon", False), 7), whole)
