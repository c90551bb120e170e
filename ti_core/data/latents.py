"""Encodes each picture once with the autoencoder, and keeps mean and deviation of its latents on the device."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ti_core.data.dataset import load_pixels
from ti_core.errors import Interrupted
from ti_core.events import Emit, Progress
from ti_core.models.checkpoint import StableDiffusion


@dataclass(frozen=True)
class Latents:
    """float32 [images, channels, height, width] each, already times the autoencoder's scaling factor."""

    mean: Tensor
    deviation: Tensor

    def draw(self, indexes: Tensor, generator: torch.Generator) -> Tensor:
        """A sample of the posterior of some images."""
        noise = torch.randn((len(indexes), *self.mean.shape[1:]), generator=generator).to(self.mean.device)
        return self.mean[indexes] + self.deviation[indexes] * noise


@torch.no_grad()
def encode_images(sd: StableDiffusion, paths: Sequence[Path], width: int, height: int, emit: Emit, stop: threading.Event) -> Latents:
    """Latents of the pictures, cropped to width x height; files are read ahead by threads, off the training thread.

    Raises Interrupted between pictures.
    """
    means, deviations = [], []
    with ThreadPoolExecutor(max_workers=2) as readers:
        for done, pixels in enumerate(readers.map(lambda path: load_pixels(path, width, height), paths)):
            if stop.is_set():
                readers.shutdown(cancel_futures=True)
                raise Interrupted
            image = torch.from_numpy(np.array(pixels)).to(sd.device).permute(2, 0, 1)[None]
            with sd.autocast():
                posterior = sd.vae.encode((image.float() / 127.5 - 1).to(sd.vae.dtype)).latent_dist
            means.append(posterior.mean.float() * sd.vae.config.scaling_factor)
            deviations.append(posterior.std.float() * sd.vae.config.scaling_factor)
            emit(Progress("Preparing the pictures", done + 1, len(paths)))
    return Latents(torch.cat(means), torch.cat(deviations))
