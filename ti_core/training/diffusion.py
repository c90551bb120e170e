"""The mathematics of one update, as pure functions of (seed, step): which images, what noise, which timesteps, what loss.

So a resumed run sees exactly what an unbroken one would have seen, and previews cannot disturb it.
"""

from __future__ import annotations

import random
import zlib

import torch
from torch import Tensor

from ti_core.data.latents import Latents
from ti_core.plan import RunPlan

TIMESTEPS = 1000


def generator_for(seed: int, purpose: str, step: int) -> torch.Generator:
    """A CPU generator of its own for each (seed, purpose, step); the same on every device."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {purpose} {step}".encode()) | (seed & 0x7FFFFFFF) << 32)


def prompt_random(seed: int, step: int, place: int) -> random.Random:
    """Draws template line, shuffle and drop-out of one image's prompt in one update."""
    return random.Random(f"{seed} prompt {step} {place}")


def images_of_step(plan: RunPlan, seed: int, step: int) -> Tensor:
    """int64 [images per step]: the images of update `step` (from 1), all different.

    Each pass over the data is shuffled anew; images that do not fill a last step are left out of that pass (reference 2.2).
    """
    epoch, place = divmod(step - 1, plan.steps_per_epoch)
    order = torch.randperm(plan.images, generator=generator_for(seed, "order", epoch))
    return order[place * plan.images_per_step : (place + 1) * plan.images_per_step]


def clean_latents(latents: Latents, images: Tensor, method: str, seed: int, step: int) -> Tensor:
    """The latents to put noise on, [n, c, h, w], by A1111's three methods (reference 2.8)."""
    if method == "deterministic":
        return latents.mean[images]
    if method == "random":
        return latents.draw(images, generator_for(seed, "posterior", step))
    everything = latents.draw(torch.arange(len(latents.mean)), generator_for(seed, "posterior", 0))
    return everything[images]


def noise_of_step(shape: torch.Size, seed: int, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Standard normal noise of `shape` [n, c, h, w], and timesteps int64 [n] uniform in 0..999."""
    generator = generator_for(seed, "noise", step)
    noise = torch.randn(shape, generator=generator)
    timesteps = torch.randint(0, TIMESTEPS, (shape[0],), generator=generator)
    return noise.to(device), timesteps.to(device)


def add_noise(clean: Tensor, noise: Tensor, timesteps: Tensor, signal: Tensor) -> Tensor:
    """Ho et al. 2020, eq. 4; `signal` is alphas_cumprod."""
    kept = signal[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def target_of(prediction_type: str, clean: Tensor, noise: Tensor, timesteps: Tensor, signal: Tensor) -> Tensor:
    """What the UNet should predict: the noise, or v (Salimans & Ho 2022, eq. 13)."""
    if prediction_type == "epsilon":
        return noise
    kept = signal[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * noise - (1 - kept).sqrt() * clean


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each image, float32 [n]."""
    return (predicted.float() - target.float()).square().mean((1, 2, 3))
