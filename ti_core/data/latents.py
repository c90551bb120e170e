"""Encodes each picture once with the autoencoder, and keeps mean, deviation and loss weight of its latents on the device."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ti_core.data.images import cover, open_alpha, open_rgb
from ti_core.errors import Interrupted
from ti_core.events import Emit, Notice, Progress
from ti_core.models.checkpoint import StableDiffusion


@dataclass
class Latents:
    """For each image, in order: float32 [channels, height, width] mean and deviation, already times the autoencoder's scaling factor,
    and its loss weight [1, height, width] with mean 1. Sizes may differ from image to image.
    """

    mean: list[Tensor] = field(default_factory=list)
    deviation: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)

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


@torch.no_grad()
def encode_images(sd: StableDiffusion, paths: Sequence[Path], size: PictureSize, alpha_as_weight: bool, emit: Emit, stop: threading.Event) -> Latents:
    """Latents of the pictures; files are read ahead by threads, off the training thread. Raises Interrupted between pictures."""
    latents, cropped = Latents(), 0
    with ThreadPoolExecutor(max_workers=2) as readers:
        for done, (pixels, alpha, was_cropped) in enumerate(readers.map(lambda path: _read(path, size, alpha_as_weight), paths)):
            if stop.is_set():
                readers.shutdown(cancel_futures=True)
                raise Interrupted
            image = torch.from_numpy(pixels).to(sd.device).permute(2, 0, 1)[None]
            with sd.autocast():
                posterior = sd.vae.encode((image.float() / 127.5 - 1).to(sd.vae.dtype)).latent_dist
            latents.mean.append(posterior.mean[0].float() * sd.vae.config.scaling_factor)
            latents.deviation.append(posterior.std[0].float() * sd.vae.config.scaling_factor)
            latents.weight.append(loss_weight(alpha, latents.mean[-1].shape[-2:]).to(sd.device))
            cropped += was_cropped
            emit(Progress("Preparing the pictures", done + 1, len(paths)))
    if cropped:
        emit(Notice(f"{cropped} of {len(paths)} pictures were cropped by a few pixels, because their sizes must be multiples of {size.factor}."))
    return latents


def _read(path: Path, size: PictureSize, alpha_as_weight: bool) -> tuple[np.ndarray, np.ndarray | None, bool]:
    image = open_rgb(path)
    width, height = size.of(image)
    alpha = open_alpha(path) if alpha_as_weight else None
    cut = size.keep and (width, height) != image.size
    return np.array(cover(image, width, height)), None if alpha is None else np.array(cover(alpha, width, height)), cut


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
