"""The solvers that previews and pictures are painted with: diffusers' own, told to begin where training does, and so
that nothing in them waits for the device.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from ti_core.models.noise_schedule import TRAILING
from ti_core.models.transfer import to_device

LEAST_SIGNAL = 4.8973451890853435e-08
"""What A1111 1.10.1 leaves of the picture at zero terminal SNR, so that the first sigma is 4518.8 instead of infinite
(modules/sd_models.py: rescale_zero_terminal_snr_abar).
"""
NOISE_BYTES = 64 * 2**20
"""How much noise is drawn ahead."""


class EulerAncestral(EulerAncestralDiscreteScheduler):
    """diffusers', whose noise is drawn ahead for many steps and sent to the device in one copy."""

    def begin(self, generators: list[torch.Generator], shape: tuple[int, ...], device: torch.device) -> None:
        """Each picture's noise, of `shape`, comes from its own generator."""
        self._generators, self._shape, self._device = generators, shape, device
        self._ahead: list[Tensor] = []

    def _noise(self) -> Tensor:
        if not self._ahead:
            of_step = 4 * len(self._generators) * torch.Size(self._shape).numel()
            steps = max(1, min(len(self.timesteps) - self.step_index, NOISE_BYTES // of_step))
            drawn = [[torch.randn(self._shape, generator=one) for _ in range(steps)] for one in self._generators]
            together = torch.stack([torch.stack(of_picture) for of_picture in drawn], dim=1)
            self._ahead = list(to_device([together], self._device)[0])[::-1]
        return self._ahead.pop()

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """An Euler step to a noise level below the next, then noise up to it (Karras et al. 2022, algorithm 2, with
        the noise after the step, as in k-diffusion).
        """
        sigma, next_sigma = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]
        if self.config.prediction_type == "epsilon":
            clean = sample - sigma * model_output
        else:
            clean = model_output * (-sigma / (sigma**2 + 1) ** 0.5) + (sample / (sigma**2 + 1))
        up = (next_sigma**2 * (sigma**2 - next_sigma**2) / sigma**2) ** 0.5
        down = (next_sigma**2 - up**2) ** 0.5
        stepped = sample + (sample - clean) / sigma * (down - sigma)
        stepped = stepped + self._noise() * up
        self._step_index += 1
        return (stepped,)


class UniPC(UniPCMultistepScheduler):
    """diffusers' of order 2, B2(h), which predicts the picture (Zhao et al. 2023, algorithms 5 to 8). Its numbers are
    those of the CPU, where diffusers' lie on the device and are read from there, dozens for a picture.
    """

    def _terms(self, at: int, order: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of the step from noise level `at` - 1 to `at`: sigma ratio, alpha, e^h - 1, h (negative, as the picture is
        predicted), and the place of the level before in units of h, 1 where the order is 1.
        """
        alpha, sigma = self._sigma_to_alpha_sigma_t(self.sigmas[at])
        alpha_from, sigma_from = self._sigma_to_alpha_sigma_t(self.sigmas[at - 1])
        lambda_from = torch.log(alpha_from) - torch.log(sigma_from)
        h = torch.log(alpha) - torch.log(sigma) - lambda_from
        place = torch.ones(())
        if order == 2:
            alpha_before, sigma_before = self._sigma_to_alpha_sigma_t(self.sigmas[at - 2])
            place = (torch.log(alpha_before) - torch.log(sigma_before) - lambda_from) / h
        return sigma / sigma_from, alpha, torch.expm1(-h), -h, place

    def multistep_uni_p_bh_update(self, model_output: Tensor, *, sample: Tensor, order: int, **more: Any) -> Tensor:
        """The predictor."""
        ratio, alpha, grown, _, place = self._terms(self.step_index + 1, order)
        before, now = self.model_outputs[-2], self.model_outputs[-1]
        to = ratio * sample - alpha * grown * now
        return to if order == 1 else to - alpha * grown * (0.5 * ((before - now) / place))

    def multistep_uni_c_bh_update(
        self, this_model_output: Tensor, *, last_sample: Tensor, this_sample: Tensor, order: int, **more: Any
    ) -> Tensor:
        """The corrector, of the order of the predictor before it."""
        ratio, alpha, grown, h, place = self._terms(self.step_index, order)
        before, now = self.model_outputs[-2], self.model_outputs[-1]
        to = ratio * last_sample - alpha * grown * now
        new = this_model_output - now
        if order == 1:
            return to - alpha * grown * (0.5 * new)
        first = grown / h - 1
        second = first / h - 1 / 2
        places = torch.stack([torch.ones(2), torch.stack([place, torch.ones(())])])
        weights = torch.linalg.solve(places, torch.stack([first / grown, second * 2 / grown]))
        return to - alpha * grown * (weights[0] * ((before - now) / place) + weights[1] * new)


SOLVERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "DPM++ 2M Karras": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True, "final_sigmas_type": "zero"},
    ),
    "Euler a": (EulerAncestral, {"timestep_spacing": "linspace"}),
    "Euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "DDIM": (DDIMScheduler, {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False}),
    "UniPC": (UniPC, {"timestep_spacing": "linspace", "solver_order": 2, "solver_type": "bh2", "predict_x0": True}),
}
"""A1111's name of each sampler -> the class, and what is set beside the checkpoint's own noise schedule.

All begin at the last timestep, as training has it: noise of sigma 14.6 for Stable Diffusion's betas, where diffusers'
"leading" begins at 9 to 12 and paints too grey (Lin et al. 2023, section 3.3). The spacing is that of A1111 1.10.1:
evenly from the last timestep to the first (modules/sd_schedulers.py: uniform; UniPC: time_uniform) or by Karras'
sigmas from the largest. Its DDIM alone begins at 951 of 20 steps, and is given full noise there all the same.
"""


def solver_for(schedule: dict[str, Any], sampler: str) -> Any:
    """The solver of that name, with a checkpoint's noise (models/noise_schedule.py). A checkpoint that wants
    "trailing" steps gets them from every solver.

    At zero terminal SNR the last timestep keeps LEAST_SIGNAL of the picture, so that nothing divides by zero.
    """
    solver_class, options = SOLVERS[sampler]
    if schedule["timestep_spacing"] == TRAILING:
        options = {**options, "timestep_spacing": TRAILING}
    solver = solver_class.from_config(schedule, **options)
    if schedule["rescale_betas_zero_snr"]:
        solver.alphas_cumprod[-1] = LEAST_SIGNAL
    return solver


def set_timesteps(solver: Any, steps: int) -> None:
    """diffusers' own, without the timestep -1 that "trailing" ends with where 1000 / steps is rounded down (61
    steps); a single step is the last timestep, where Euler's even spacing would take the first.

    They stay on the CPU: a kernel takes a number from there, and nobody has to read it from the device. The solver
    is told to begin with the first: Karras' first two noise levels round to one timestep at zero terminal SNR, and
    it would take the second.
    """
    if steps == 1:
        solver.register_to_config(timestep_spacing=TRAILING)
    solver.set_timesteps(steps)
    if hasattr(solver, "set_begin_index"):
        solver.set_begin_index(0)
    if len(solver.timesteps) > steps:
        solver.timesteps = solver.timesteps[:steps]
        if hasattr(solver, "sigmas"):
            solver.sigmas = torch.cat([solver.sigmas[:steps], solver.sigmas[-1:]])
