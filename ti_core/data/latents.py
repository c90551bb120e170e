"""Encodes each picture once with the autoencoder, and keeps mean, deviation and loss weight of its latents on the
device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ti_core.data.crops import Size
from ti_core.data.images import cover, open_alpha, open_rgb, pixels_of
from ti_core.data.latent_cache import LIMIT_BYTES, LatentCache, fingerprint, keep_below, load_latents, save_latents
from ti_core.data.origin import Origin, origin_of
from ti_core.data.read_ahead import read_ahead
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Progress
from ti_core.models.device import is_out_of_memory
from ti_core.models.stable_diffusion import StableDiffusion, size_of


@dataclass
class Latents:
    """For each image, in order: float32 [channels, height, width] mean and deviation, already times the
    autoencoder's scaling factor, its loss weight [1, height, width] with mean 1, and what SDXL is told of its size.
    Sizes may differ from image to image.
    """

    mean: list[Tensor] = field(default_factory=list)
    deviation: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)

    def draw(self, images: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """A sample of the posterior of some images."""
        return [
            self.mean[i]
            + self.deviation[i] * torch.randn(self.mean[i].shape, generator=generator).to(self.mean[i].device)
            for i in images
        ]


@dataclass(frozen=True)
class PictureSize:
    """How pictures are brought to size: covered to width x height, or kept; then that times `share`, cropped to
    multiples of `factor`.
    """

    width: int
    height: int
    factor: int
    keep: bool = False
    share: float = 1.0

    def of(self, image: Image.Image) -> tuple[int, int]:
        wanted = image.size if self.keep else (self.width, self.height)
        width, height = (max(self.factor, int(side * self.share) // self.factor * self.factor) for side in wanted)
        return width, height


def encode_images(
    sd: StableDiffusion,
    paths: Sequence[Path],
    size: PictureSize,
    alpha_as_weight: bool,
    emit: Emit,
    stop: threading.Event,
    cache_folder: Path | None = None,
) -> Latents:
    """Latents of the pictures; files are read ahead by all cores, off the training thread. Raises Interrupted
    between pictures.

    With `cache_folder`, those that were encoded before in the same way are read from there, and the others are kept
    there.
    """
    latents, cropped = Latents(), 0
    how = f"1 {size} {alpha_as_weight} {sd.device.type} {sd.vae.dtype} {fingerprint(sd.vae)}" if cache_folder else ""
    cache = LatentCache(cache_folder, how) if cache_folder else None
    read = partial(_read, size=size, alpha_as_weight=alpha_as_weight, cache=cache)
    for done, picture in enumerate(read_ahead(read, paths, stop, weigh=pixels_of)):
        found = picture.latents or _encode(sd, picture, size.keep)
        if picture.file and not picture.latents:
            save_latents(picture.file, found)
        for name in ("mean", "deviation", "weight"):
            getattr(latents, name).append(found[name].to(sd.device))
        latents.sizes.append(found["told"].tolist())
        cropped += bool(found["cropped"])
        emit(Progress("Preparing the pictures", done + 1, len(paths)))
    if cache_folder:
        keep_below(LIMIT_BYTES, cache_folder)
    if cropped:
        emit(
            Notice(
                f"{cropped} of {len(paths)} pictures were cropped by a few pixels, because their sizes must be"
                f" multiples of {size.factor}."
            )
        )
    return latents


class _Picture(NamedTuple):
    """Either the latents of an earlier time, or uint8 pixels [h, w, 3] and alpha [h, w]; `file` is its place in the
    cache.

    `told` is what SDXL is told of its size; `cropped` where a kept size had to be cut.
    """

    file: Path | None
    latents: dict[str, Tensor] | None
    pixels: np.ndarray | None = None
    alpha: np.ndarray | None = None
    told: list[int] | None = None
    cropped: bool = False


def _read(path: Path, size: PictureSize, alpha_as_weight: bool, cache: LatentCache | None) -> _Picture:
    try:
        file = cache.file(path) if cache else None
    except OSError:  # open_rgb says what is the matter with it
        file = None
    if file and (found := load_latents(file)):
        return _Picture(file, found)
    image = open_rgb(path)
    width, height = size.of(image)
    alpha = open_alpha(path) if alpha_as_weight else None
    told = told_of(origin_of(path, image.size), image.size, (width, height))
    return _Picture(
        file,
        None,
        np.array(cover(image, width, height)),
        None if alpha is None else np.array(cover(alpha, width, height)),
        told,
        size.keep and size.share == 1 and (width, height) != image.size,
    )


def told_of(origin: Origin, picture: Size, trained: Size) -> list[int]:
    """What SDXL is told of a picture that is cropped to `trained` size, as it was trained itself (Podell et al.
    2023, sections 2.2 and 2.3; diffusers' train_text_to_image_sdxl.py): the size of the photo before it was
    resized, and where the crop begins in the resized photo.

    Preprocess has resized and cropped before, so both steps are taken together.
    """
    cut = origin.covering(trained, picture)
    crop = round(cut.box[0] * trained[0] / cut.box[2]), round(cut.box[1] * trained[1] / cut.box[3])
    return size_of(*trained, cut.size, crop)


def _encode(sd: StableDiffusion, picture: _Picture, keeps_size: bool) -> dict[str, Tensor]:
    """What is kept of a picture, as tensors."""
    assert picture.pixels is not None and picture.told is not None
    with sd.vae_at_work(), _room_for(picture.pixels, keeps_size):
        image = torch.from_numpy(picture.pixels).to(sd.device).permute(2, 0, 1)[None]
        mean, deviation = sd.encode(image.float() / 127.5 - 1)
    told, cropped = torch.tensor(picture.told), torch.tensor(picture.cropped)
    return {
        "mean": mean[0],
        "deviation": deviation[0],
        "weight": loss_weight(picture.alpha, mean.shape[-2:]),
        "told": told,
        "cropped": cropped,
    }


@contextmanager
def _room_for(pixels: np.ndarray, keeps_size: bool) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = pixels.shape[:2]
        raise UserError(
            f"The device's memory is too small for a picture of {width} x {height} px.",
            (
                "Untick Do not resize images, or preprocess the pictures to a smaller size."
                if keeps_size
                else "Choose a smaller Width and Height."
            ),
        ) from error


def loss_weight(alpha: np.ndarray | None, latent_size: torch.Size | tuple[int, int]) -> Tensor:
    """float32 [1, height, width] with mean 1 from an alpha channel, uint8 [height, width]: opaque places count,
    transparent ones do not.

    Reference 2.7, mended: no alpha, an opaque or an empty one means weight 1 everywhere (A1111 divides 0 by 0), and
    sizes that are not square stay in order. As there, the least opaque place has weight 0.
    """
    ones = torch.ones(1, *latent_size)
    if alpha is None:
        return ones
    small = F.interpolate(torch.from_numpy(alpha).float()[None, None], size=tuple(latent_size), mode="area")[0]
    small = small - small.min()
    return small / small.mean() if float(small.mean()) > 1e-3 else ones
