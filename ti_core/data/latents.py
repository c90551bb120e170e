"""Encodes each picture once with the autoencoder, and keeps mean, deviation and loss weight of its latents on the device."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ti_core.data.images import cover, open_alpha, open_rgb
from ti_core.errors import Interrupted
from ti_core.events import Emit, Notice, Progress
from ti_core.models.stable_diffusion import StableDiffusion, size_of


@dataclass
class Latents:
    """For each image, in order: float32 [channels, height, width] mean and deviation, already times the autoencoder's scaling factor,
    its loss weight [1, height, width] with mean 1, and what SDXL is told of its size. Sizes may differ from image to image.
    """

    mean: list[Tensor] = field(default_factory=list)
    deviation: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)

    def draw(self, images: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """A sample of the posterior of some images."""
        return [self.mean[i] + self.deviation[i] * torch.randn(self.mean[i].shape, generator=generator).to(self.mean[i].device) for i in images]


@dataclass(frozen=True)
class PictureSize:
    """How pictures are brought to size: covered to width x height, or kept, and then cropped to multiples of `factor`."""

    width: int
    height: int
    factor: int
    keep: bool = False

    def of(self, image: Image.Image) -> tuple[int, int]:
        if not self.keep:
            return self.width, self.height
        return max(self.factor, image.width // self.factor * self.factor), max(self.factor, image.height // self.factor * self.factor)


def encode_images(sd: StableDiffusion, paths: Sequence[Path], size: PictureSize, alpha_as_weight: bool, emit: Emit, stop: threading.Event) -> Latents:
    """Latents of the pictures; files are read ahead by threads, off the training thread. Raises Interrupted between pictures."""
    latents, cropped = Latents(), 0
    with ThreadPoolExecutor(max_workers=2) as readers, sd.vae_at_work():
        for done, picture in enumerate(readers.map(lambda path: _read(path, size, alpha_as_weight), paths)):
            if stop.is_set():
                readers.shutdown(cancel_futures=True)
                raise Interrupted
            image = torch.from_numpy(picture.pixels).to(sd.device).permute(2, 0, 1)[None]
            mean, deviation = sd.encode(image.float() / 127.5 - 1)
            latents.mean.append(mean[0])
            latents.deviation.append(deviation[0])
            latents.weight.append(loss_weight(picture.alpha, mean.shape[-2:]).to(sd.device))
            latents.sizes.append(picture.told)
            cropped += picture.cropped
            emit(Progress("Preparing the pictures", done + 1, len(paths)))
    if cropped:
        emit(Notice(f"{cropped} of {len(paths)} pictures were cropped by a few pixels, because their sizes must be multiples of {size.factor}."))
    return latents


class _Picture(NamedTuple):
    """uint8 pixels [h, w, 3] and alpha [h, w]; `told` is what SDXL is told of its size; `cropped` where a kept size had to be cut."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    told: list[int]
    cropped: bool


def _read(path: Path, size: PictureSize, alpha_as_weight: bool) -> _Picture:
    image = open_rgb(path)
    width, height = size.of(image)
    alpha = open_alpha(path) if alpha_as_weight else None
    scale = max(width / image.width, height / image.height)
    crop = round((image.width * scale - width) / 2), round((image.height * scale - height) / 2)
    return _Picture(
        np.array(cover(image, width, height)), None if alpha is None else np.array(cover(alpha, width, height)),
        size_of(width, height, image.size, crop), size.keep and (width, height) != image.size,
    )  # fmt: skip


def loss_weight(alpha: np.ndarray | None, latent_size: torch.Size | tuple[int, int]) -> Tensor:
    """float32 [1, height, width] with mean 1 from an alpha channel, uint8 [height, width]: opaque places count, transparent ones do not.

    Reference 2.7, mended: no alpha, an opaque or an empty one means weight 1 everywhere (A1111 divides 0 by 0), and sizes that are
    not square stay in order. As there, the least opaque place has weight 0.
    """
    ones = torch.ones(1, *latent_size)
    if alpha is None:
        return ones
    small = F.interpolate(torch.from_numpy(alpha).float()[None, None], size=tuple(latent_size), mode="area")[0]
    small = small - small.min()
    return small / small.mean() if float(small.mean()) > 1e-3 else ones
