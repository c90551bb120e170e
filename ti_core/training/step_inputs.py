"""What an update sees, as pure functions of (seed, step): which images, which of their latents, which noise and
which timesteps.

So a resumed run sees exactly what an unbroken one would have seen, and previews cannot disturb it.
"""

from __future__ import annotations

import itertools
import random
import zlib
from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from ti_core.data.latents import Latents
from ti_core.runs.plan import RunPlan


def generator_for(seed: int, purpose: str, step: int) -> torch.Generator:
    """A CPU generator of its own for each (seed, purpose, step), so that every device draws the same numbers."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {purpose} {step}".encode()) | (seed & 0x7FFFFFFF) << 32)


def prompt_random(seed: int, step: int, index: int) -> random.Random:
    """The generator that draws template line, tag order and tag drop-out for the image at `index` of an update."""
    return random.Random(f"{seed} prompt {step} {index}")


def images_of_step(plan: RunPlan, seed: int, step: int) -> list[int]:
    """Indices of the images of update `step` (from 1), all different but those that are repeated.

    Each pass over the data is shuffled anew; images that do not fill a last step are left out of that pass (A1111
    1.10.1, textual_inversion.py: train_embedding).
    """
    epoch, step_of_epoch = divmod(step - 1, plan.steps_per_epoch)
    order = torch.randperm(plan.images_per_pass, generator=generator_for(seed, "order", epoch))
    drawn = order[step_of_epoch * plan.images_per_step : (step_of_epoch + 1) * plan.images_per_step].tolist()
    if not plan.repeats:
        return drawn
    ends = list(itertools.accumulate(plan.repeats))  # image i is drawn from ends[i - 1] to below ends[i]
    return [bisect_right(ends, number) for number in drawn]


def caption_of_step(lines: Sequence[str], drop_out: float, seed: int, step: int, index: int) -> str:
    """One of an image's captions, or none with the chance `drop_out` (0 to 1), for the image at `index` of an update.
    It has a generator of its own, so that the rest of the prompt does not depend on it.
    """
    rng = random.Random(f"{seed} caption {step} {index}")
    caption = rng.choice(lines)
    return "" if rng.random() < drop_out else caption


def posterior_noise(latents: Latents, images: list[int], method: str, seed: int, step: int) -> list[Tensor]:
    """The noise by which the latents of the images are drawn from their posterior, each [c, h, w], on the CPU, by
    A1111's three methods (A1111 1.10.1, textual_inversion/dataset.py: PersonalizedBase): none for "deterministic".
    """
    if method == "deterministic":
        return []
    of_step = generator_for(seed, "posterior", step)
    return [
        torch.randn(
            latents.mean[i].shape,
            generator=of_step if method == "random" else generator_for(seed, f"posterior of image {i}", 0),
        )
        for i in images
    ]


def offset_noise(noise: Sequence[Tensor], amount: float, seed: int, step: int) -> list[Tensor]:
    """The noise with a number of its own added to each channel of each image (Guttenberg 2023, 'Diffusion with offset
    noise'), which teaches brightness.
    """
    generator = generator_for(seed, "noise offset", step)
    return [one + amount * torch.randn((len(one), 1, 1), generator=generator).to(one.device) for one in noise]


def noise_of_step(
    clean: Sequence[Tensor], seed: int, step: int, timestep_count: int = 1000
) -> tuple[list[Tensor], Tensor]:
    """Standard normal noise like each of `clean` [c, h, w], and timesteps int64 [n] from 0 to below `timestep_count`,
    on the CPU. Each timestep is drawn by itself, as in A1111.
    """
    generator = generator_for(seed, "noise", step)
    timesteps = torch.randint(0, timestep_count, (len(clean),), generator=generator)
    noise = [torch.randn(one.shape, generator=generator) for one in clean]
    return noise, timesteps
