"""Encodes each picture once with the autoencoder, and keeps mean, deviation and loss weight of its latents on the
device.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ti_core.data.aspect_buckets import nearest_bucket
from ti_core.data.crops import Size
from ti_core.data.images import Problem, cover, open_rgb, open_rgb_and_alpha, pixels_of, problem_of
from ti_core.data.latent_cache import LIMIT_BYTES, LatentCache, fingerprint, keep_below, load_latents, save_latents
from ti_core.data.loss_weight import Weighting, loss_weight
from ti_core.data.masks import find_mask, mask_of
from ti_core.data.origin import Origin, origin_of
from ti_core.data.read_ahead import read_ahead
from ti_core.errors import UserError, is_out_of_memory
from ti_core.events import Emit, Notice, Progress
from ti_core.models.device import answers_wanted
from ti_core.models.size_conditioning import size_conditioning
from ti_core.models.stable_diffusion import StableDiffusion


@dataclass
class Latents:
    """For each image, in order: float32 [channels, height, width] mean and deviation, already times the
    autoencoder's scaling factor, its loss weight [1, height, width] with mean 1, SDXL's size conditioning (six
    numbers, `size_conditioning`), and the SHA-256 of its file in hex. Sizes may differ from image to image.

    `problems` says which pictures are not among them because they could not be decoded.
    """

    mean: list[Tensor] = field(default_factory=list)
    deviation: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    problems: dict[Path, Problem] = field(default_factory=dict)

    def sample(self, images: Sequence[int], noise: Sequence[Tensor]) -> list[Tensor]:
        """A sample of the posterior of some images, each [channels, height, width], by standard normal noise of the
        same shape.
        """
        return [self.mean[i] + self.deviation[i] * drawn for i, drawn in zip(images, noise, strict=True)]

    def in_order(self, images: Sequence[int]) -> Latents:
        """Those of some images, in that order."""
        return Latents(
            mean=[self.mean[i] for i in images],
            deviation=[self.deviation[i] for i in images],
            weight=[self.weight[i] for i in images],
            sizes=[self.sizes[i] for i in images],
            digests=[self.digests[i] for i in images],
            problems=self.problems,
        )


@dataclass(frozen=True)
class PictureSize:
    """How pictures are brought to size, in px: covered to width x height, to the nearest of the `buckets` where there
    are some, or kept; then cropped to multiples of `factor`.
    """

    width: int
    height: int
    factor: int
    keep: bool = False
    buckets: tuple[Size, ...] = ()

    def of(self, image: Image.Image) -> Size:
        """The width and height at which it is encoded."""
        fixed = nearest_bucket(image.size, self.buckets) if self.buckets else (self.width, self.height)
        wanted = image.size if self.keep else fixed
        width, height = (max(self.factor, side // self.factor * self.factor) for side in wanted)
        return width, height


def encode_images(
    sd: StableDiffusion,
    paths: Sequence[Path],
    size: PictureSize,
    weighting: Weighting,
    emit: Emit,
    stop: threading.Event,
    cache_folder: Path | None = None,
) -> Latents:
    """Latents of the pictures; files are read ahead by all cores, off the training thread. Each is hashed and decoded
    once. Those that cannot be decoded are left out with a Notice. Raises Interrupted between pictures.

    With `cache_folder`, those that were encoded before in the same way are read from there without being decoded, and
    the others are kept there.
    """
    latents, cropped = Latents(), 0
    how = f"3 {size} {weighting} {sd.device.type} {sd.vae.dtype} {fingerprint(sd.vae)}" if cache_folder else ""
    cache = LatentCache(cache_folder, how) if cache_folder else None
    read = partial(_read, size=size, weighting=weighting, cache=cache)
    pictures = read_ahead(read, paths, stop, weigh=pixels_of)
    for done, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
        if isinstance(picture, Problem):
            latents.problems[path] = picture
            emit(Notice(picture.sentence()))
        else:
            if picture.mask_problem:
                emit(Notice(picture.mask_problem.sentence()))
            found = picture.latents or _encode(sd, picture, size.keep, weighting)
            if picture.file and not picture.latents:
                save_latents(picture.file, found)
            for name in ("mean", "deviation", "weight"):
                getattr(latents, name).append(_on_device(sd, found[name]))
            latents.sizes.append(found["sizes"].tolist())
            latents.digests.append(picture.digest)
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
    """Either the latents of an earlier time, or uint8 pixels [h, w, 3] and mask [h, w]; `digest` is the SHA-256 of its
    file in hex, `file` where its latents lie in the cache.

    `sizes` is SDXL's size conditioning (`size_conditioning`); `cropped` where a kept size had to be cut.
    """

    digest: str
    file: Path | None
    latents: dict[str, Tensor] | None
    pixels: np.ndarray | None = None
    mask: np.ndarray | None = None
    sizes: list[int] | None = None
    cropped: bool = False
    mask_problem: Problem | None = None


def _read(path: Path, size: PictureSize, weighting: Weighting, cache: LatentCache | None) -> _Picture | Problem:
    try:
        digest = _digest(path, weighting)
        file = cache.file(digest) if cache and digest else None
        if file and (found := load_latents(file)):
            return _Picture(digest, file, found)
        image, mask = open_rgb_and_alpha(path) if weighting.is_used else (open_rgb(path), None)
    except UserError as error:
        return problem_of(path, error)
    mask, mask_problem = mask_of(path, image.size, mask) if weighting.masks else (mask, None)
    width, height = size.of(image)
    return _Picture(
        digest,
        file,
        None,
        np.array(cover(image, width, height)),
        None if mask is None else np.array(cover(mask, width, height)),
        crop_conditioning(origin_of(path, image.size), image.size, (width, height)),
        size.keep and (width, height) != image.size,
        mask_problem,
    )


def _digest(path: Path, weighting: Weighting) -> str:
    """Of a file that cannot be read it is empty: whoever opens the picture says what is the matter. Where masks count,
    it is that of the picture, its mask and how it counts.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if not weighting.masks:
            return digest
        mask = find_mask(path)
        mask_digest = hashlib.sha256(mask.read_bytes()).hexdigest() if mask else ""
        return hashlib.sha256(f"{digest} {mask_digest} {weighting}".encode()).hexdigest()
    except OSError:
        return ""


def crop_conditioning(origin: Origin, picture: Size, trained: Size) -> list[int]:
    """SDXL's size and crop conditioning of a picture that is cropped to `trained` size (Podell et al. 2023, sections
    2.2 and 2.3; diffusers' train_text_to_image_sdxl.py): the size of the photo before it was resized, where the crop
    begins in the resized photo, and the trained size, in px, each height first.

    Preprocess has resized and cropped before, so both steps are taken together.
    """
    cut = origin.covering(trained, picture)
    crop = round(cut.box[0] * trained[0] / cut.box[2]), round(cut.box[1] * trained[1] / cut.box[3])
    return size_conditioning(*trained, cut.size, crop)


def _encode(sd: StableDiffusion, picture: _Picture, keeps_size: bool, weighting: Weighting) -> dict[str, Tensor]:
    """What is kept of a picture, as tensors."""
    assert picture.pixels is not None and picture.sizes is not None
    with _room_for(picture.pixels, keeps_size):
        mean, deviation = _mean_and_deviation(sd, torch.from_numpy(picture.pixels))
    if not (bool(mean.isfinite().all()) and bool(deviation.isfinite().all())):
        raise UserError(
            f"The VAE of {sd.file.title} gives no usable numbers for a picture, even in float32.", "Choose another VAE."
        )
    sizes, cropped = torch.tensor(picture.sizes), torch.tensor(picture.cropped)
    return {
        "mean": mean[0],
        "deviation": deviation[0],
        "weight": loss_weight(picture.mask, mean.shape[-2:], weighting),
        "sizes": sizes,
        "cropped": cropped,
    }


def _mean_and_deviation(sd: StableDiffusion, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Of uint8 pixels [h, w, 3]: on the device, then with nothing else on it, then on the processor."""
    for leave in (lambda: None, sd.leave_device):
        leave()
        try:
            return sd.encode(pixels.to(sd.device).permute(2, 0, 1)[None].float() / 127.5 - 1)
        except RuntimeError as error:
            if sd.device.type == "cpu" or not is_out_of_memory(error):
                raise
    sd.leave_device()
    height, width = pixels.shape[:2]
    sd.on_notice(
        f"The device's memory is too small for a picture of {width} x {height} px, so the processor prepares it, which"
        " takes longer."
    )
    with sd.on_processor():
        return sd.encode(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)


def _on_device(sd: StableDiffusion, tensor: Tensor) -> Tensor:
    """The tensor there, with nothing else on it where it does not fit. Raises UserError where it does not even then."""
    try:
        return tensor.to(sd.device)
    except RuntimeError as error:
        if sd.device.type == "cpu" or not is_out_of_memory(error):
            raise
    sd.leave_device()
    with answers_wanted():
        return tensor.to(sd.device)


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
