"""The mathematics of one update, as pure functions of (seed, step): which images, what noise, which timesteps, what
loss.

So a resumed run sees exactly what an unbroken one would have seen, and previews cannot disturb it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ti_core.data.latents import Latents
from ti_core.runs.plan import RunPlan

GOLDEN_RATIO = (5**0.5 - 1) / 2


def generator_for(seed: int, purpose: str, step: int) -> torch.Generator:
    """A CPU generator of its own for each (seed, purpose, step); the same on every device."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {purpose} {step}".encode()) | (seed & 0x7FFFFFFF) << 32)


def prompt_random(seed: int, step: int, place: int) -> random.Random:
    """Draws template line, shuffle and drop-out of one image's prompt in one update."""
    return random.Random(f"{seed} prompt {step} {place}")


def images_of_step(plan: RunPlan, seed: int, step: int) -> list[int]:
    """Numbers of the images of update `step` (from 1), all different.

    Each pass over the data is shuffled anew; images that do not fill a last step are left out of that pass (A1111's
    train_embedding).
    """
    epoch, place = divmod(step - 1, plan.steps_per_epoch)
    order = torch.randperm(plan.images, generator=generator_for(seed, "order", epoch))
    return order[place * plan.images_per_step : (place + 1) * plan.images_per_step].tolist()


def clean_latents(latents: Latents, images: list[int], method: str, seed: int, step: int) -> list[Tensor]:
    """The latents to put noise on, each [c, h, w], by A1111's three methods (A1111 1.10.1,
    textual_inversion/dataset.py: PersonalizedBase).
    """
    if method == "deterministic":
        return [latents.mean[i] for i in images]
    if method == "random":
        return latents.draw(images, generator_for(seed, "posterior", step))
    return [latents.draw([i], generator_for(seed, f"posterior of image {i}", 0))[0] for i in images]


def noise_of_step(
    clean: Sequence[Tensor], seed: int, step: int, spread: str = "independent", timesteps_there: int = 1000
) -> tuple[list[Tensor], Tensor]:
    """Standard normal noise like each of `clean`, and timesteps int64 [n] from 0 to below `timesteps_there`, on
    their device.

    `spread` says how the images of an update, and the updates, share out what they see: `independent` draws each
    timestep by itself, as A1111 does; `even` spreads them over all timesteps; `even, paired noise` also gives every
    second image the opposite of its neighbour's noise.
    """
    generator = generator_for(seed, "noise", step)
    timesteps = torch.randint(0, timesteps_there, (len(clean),), generator=generator)
    noise = [torch.randn(one.shape, generator=generator) for one in clean]
    if spread != "independent":
        timesteps = even_timesteps(len(clean), seed, step, timesteps_there)
    if spread == "even, paired noise":
        noise = [-noise[i - 1] if i % 2 and one.shape == noise[i - 1].shape else one for i, one in enumerate(noise)]
    return [one.to(like.device) for one, like in zip(noise, clean, strict=True)], timesteps.to(clean[0].device)


def even_timesteps(count: int, seed: int, step: int, timesteps_there: int = 1000) -> Tensor:
    """int64 [count] timesteps of one update, from 0 to below `timesteps_there`, that lie evenly spread, and go on
    so from update to update, in random order.

    Points of the sequence frac(start + k x golden ratio): any run of them leaves no gap much larger than the mean
    one, so even updates of one image cover all timesteps within a few of them.
    """
    start = torch.rand((), generator=generator_for(seed, "timesteps", 0), dtype=torch.float64)
    k = (step - 1) * count + torch.arange(count, dtype=torch.float64)
    spread = ((start + k * GOLDEN_RATIO) % 1 * timesteps_there).long().clamp(max=timesteps_there - 1)
    return spread[torch.randperm(count, generator=generator_for(seed, "timestep order", step))]


def parts_of_one_shape(clean: Sequence[Tensor], limit: Callable[[Tensor], int]) -> list[list[int]]:
    """Places of an update's images in micro-batches of equal size, each of at most `limit(one of them)` images."""
    groups: dict[torch.Size, list[int]] = {}
    for place, one in enumerate(clean):
        groups.setdefault(one.shape, []).append(place)
    return [
        places[i : i + step]
        for places in groups.values()
        if (step := limit(clean[places[0]]))
        for i in range(0, len(places), step)
    ]


def add_noise(clean: Tensor, noise: Tensor, timesteps: Tensor, signal: Tensor) -> Tensor:
    """Latents [n, c, h, w] with standard normal noise like them, as much as timesteps int64 [n] say (Ho et al.
    2020, eq. 4); `signal` is alphas_cumprod, float32 [timesteps].
    """
    kept = signal[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def target_of(prediction_type: str, clean: Tensor, noise: Tensor, timesteps: Tensor, signal: Tensor) -> Tensor:
    """What the UNet should predict, [n, c, h, w]: the noise for "epsilon", else v (Salimans & Ho 2022, eq. 13).
    Parameters as in `add_noise`.
    """
    if prediction_type == "epsilon":
        return noise
    kept = signal[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * noise - (1 - kept).sqrt() * clean


def squared_error(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of each image, float32 [n]; `weight` [n, 1, h, w] says how much each place counts."""
    return ((predicted.float() - target.float()).square() * weight).mean((1, 2, 3))
