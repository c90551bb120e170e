"""Noise, predict, loss: the one function that training, evaluation and the check of the compiled UNet share, and its
mathematics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.models.transfer import to_device


@dataclass(frozen=True)
class NoisyImages:
    """The n images of an update or of an evaluation, and what is done to each. Sizes may differ between images.

    For each image, `clean` and `noise` hold float32 [c, h, w] latents and standard normal noise, and `weight`
    float32 [1, h, w], how much each latent pixel counts. `timesteps` is int64 [n], `sizes` int64 [n, 6] the size
    conditioning of each for SDXL (Podell et al. 2023, section 2.2). All lie on the device.
    """

    clean: Sequence[Tensor]
    noise: Sequence[Tensor]
    timesteps: Tensor
    sizes: Tensor
    weight: Sequence[Tensor]
    huber_delta: float = 0.0
    """From which error on it counts as its distance instead of its square; 0: never."""


@dataclass(frozen=True)
class MicroBatch:
    """Which images go through the UNet together; all have one size. `rows` takes theirs of a tensor on the device."""

    indices: list[int]
    rows: slice | Tensor


def micro_batches(images: NoisyImages, limit: Callable[[Tensor], int]) -> list[MicroBatch]:
    """Every image once. Neighbours are a slice; other indices are on the device before the first pass, so that none
    waits for them.
    """
    parts = parts_of_one_shape(images.clean, limit)
    neighbours = [part == list(range(part[0], part[-1] + 1)) for part in parts]
    mixed = [torch.tensor(part) for part, is_slice in zip(parts, neighbours, strict=True) if not is_slice]
    sent = iter(to_device(mixed, images.timesteps.device))
    return [
        MicroBatch(part, slice(part[0], part[-1] + 1) if is_slice else next(sent))
        for part, is_slice in zip(parts, neighbours, strict=True)
    ]


Compare = Callable[[StableDiffusion, NoisyImages, MicroBatch, Conditioning], tuple[Tensor, Tensor]]
"""What the UNet predicts for a micro-batch, and what it should: training/kinds."""


def against_noise(
    sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning
) -> tuple[Tensor, Tensor]:
    """The prediction and what the noisy images really hold, [k, c, h, w] each."""
    return predict(sd, images, batch, conditioning), target_for(sd, images, batch)


def noise_predict_loss(
    sd: StableDiffusion,
    images: NoisyImages,
    batch: MicroBatch,
    conditioning: Conditioning,
    compare: Compare = against_noise,
) -> Tensor:
    """The loss of each image of a micro-batch, float32 [k]: noise is added to its latents, the UNet predicts, and
    the squared error to the target is weighted and averaged over the image. `compare` gives both.

    `conditioning` is that of all n images. The gradient flows to it where it is enabled.
    """
    weight = torch.stack([images.weight[i] for i in batch.indices])
    prediction, target = compare(sd, images, batch, conditioning)
    return mean_error(prediction, target, weight, images.huber_delta)


def target_for(sd: StableDiffusion, images: NoisyImages, batch: MicroBatch) -> Tensor:
    """What the UNet should predict for the noisy images of a micro-batch, [k, c, h, w]: what they really hold."""
    clean, noise, timesteps = _stacked(images, batch)
    return target_of(sd.prediction_type, clean, noise, timesteps, sd.alphas_cumprod)


def predict(sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning) -> Tensor:
    """What the UNet predicts for the noisy images of a micro-batch, [k, c, h, w]; as in `noise_predict_loss`."""
    clean, noise, timesteps = _stacked(images, batch)
    noisy = add_noise(clean, noise, timesteps, sd.alphas_cumprod)
    return sd.predict(noisy, timesteps, conditioning[batch.rows], images.sizes[batch.rows])


def _stacked(images: NoisyImages, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Latents and noise [k, c, h, w], and timesteps int64 [k]."""
    clean = torch.stack([images.clean[i] for i in batch.indices])
    noise = torch.stack([images.noise[i] for i in batch.indices])
    return clean, noise, images.timesteps[batch.rows]


def loss_scale(sd: StableDiffusion, clean: Sequence[Tensor], images: int) -> float:
    """What the loss of an update of so many images, with latents like these, is multiplied by before its backward pass,
    and the gradient divided by after it: in float16 a power of two that brings the gradient of each predicted number to
    about its error.

    A mean over many numbers has so small a gradient at each that float16 loses its last bits or all of it. On
    Portraits the error was 0.13% to 0.14% from 1/256 to 4,096 times this scale (docs/performance.md).
    """
    if sd.autocast_dtype is not torch.float16:
        return 1.0
    return 2.0 ** round(math.log2(images * max(one.numel() for one in clean) / 2))


def parts_of_one_shape(clean: Sequence[Tensor], limit: Callable[[Tensor], int]) -> list[list[int]]:
    """Indices of the images in groups of one size, each of at most `limit(one of them)` images, and as equal as can be:
    24 images of at most 10 make 8, 8 and 8, for which one compiled graph serves.
    """
    groups: dict[torch.Size, list[int]] = {}
    for index, one in enumerate(clean):
        groups.setdefault(one.shape, []).append(index)
    parts = []
    for indices in groups.values():
        count = -(-len(indices) // limit(clean[indices[0]]))
        ends = [len(indices) * i // count for i in range(count + 1)]
        parts += [indices[start:end] for start, end in itertools.pairwise(ends)]
    return parts


def add_noise(clean: Tensor, noise: Tensor, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Noisy latents [n, c, h, w] at timesteps int64 [n], from clean ones and standard normal noise of the same shape
    (Ho et al. 2020, eq. 4). `alphas_cumprod` is float32 [timesteps].
    """
    kept = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def target_of(prediction_type: str, clean: Tensor, noise: Tensor, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """What the UNet should predict, [n, c, h, w]: the noise for "epsilon", else v (Salimans & Ho 2022, eq. 13).
    Parameters as in `add_noise`.
    """
    if prediction_type == "epsilon":
        return noise
    kept = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * noise - (1 - kept).sqrt() * clean


def mean_error(prediction: Tensor, target: Tensor, weight: Tensor, huber_delta: float = 0.0) -> Tensor:
    """Mean squared error of each image, float32 [n], from [n, c, h, w]; `weight` [n, 1, h, w] says how much each
    latent pixel counts. With `huber_delta` an error above it grows as a line (Huber 1964), with the same slope there.
    """
    difference = prediction.float() - target.float()
    if huber_delta:
        far = huber_delta * (2 * difference.abs() - huber_delta)
        error = torch.where(difference.abs() > huber_delta, far, difference.square())
    else:
        error = difference.square()
    return (error * weight).mean((1, 2, 3))


def min_snr_weights(prediction_type: str, timesteps: Tensor, alphas_cumprod: Tensor, gamma: float) -> Tensor:
    """How much each image counts, float32 [n], by Hang et al. 2023, eq. 7: the loss on the clean image is weighted with
    its signal-to-noise ratio, but at most with `gamma`. Parameters as in `add_noise`.
    """
    snr = alphas_cumprod[timesteps] / (1 - alphas_cumprod[timesteps])
    if prediction_type == "epsilon":
        return torch.where(snr > 0, snr.clamp(max=gamma) / snr, torch.ones_like(snr))
    return snr.clamp(max=gamma) / (snr + 1)
