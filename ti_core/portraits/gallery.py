"""Latents of drawn pictures, kept in a file that grows while the UNet trains: drawing and encoding is done once a
picture.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ti_core.files import save_text
from ti_core.portraits.networks import LATENT_PX
from ti_core.portraits.pictures import PictureBook

CAPACITY = 80_000
_CHUNK = 32


def to_pixels(pictures: np.ndarray) -> Tensor:
    """float32 [n, 3, height, width] in [-1, 1] of uint8 [n, height, width, 3]"""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


class Painter:
    """Draws pictures of a book, with one process for each core where a GPU waits for them, else in this one."""

    def __init__(self, book: PictureBook, processes: int) -> None:
        self.book, self.processes = book, processes

    @cached_property
    def _pool(self) -> multiprocessing.pool.Pool:
        return multiprocessing.get_context("spawn").Pool(self.processes)

    def draw(self, first: int, count: int) -> np.ndarray:
        """uint8 [count, 128, 128, 3]: the pictures from number `first` on"""
        numbers = range(first, first + count)
        if self.processes <= 1:
            return np.stack([self.book.render(n) for n in numbers])
        return np.stack(self._pool.map(self.book.render, numbers, chunksize=8))


class Gallery:
    """The latents of the book's first `count` pictures: float16 [count, 4, 32, 32], posterior means, not scaled."""

    def __init__(self, folder: Path, painter: Painter, vae: AutoencoderKL) -> None:
        self.painter, self.vae = painter, vae
        self.note = folder / "latents.json"
        shape, file = (CAPACITY, 4, LATENT_PX, LATENT_PX), folder / "latents.f16"
        if not file.exists():
            file.touch()
            os.truncate(file, int(np.prod(shape)) * 2)  # takes no room until it is written
        self._latents = np.memmap(file, np.float16, "r+", shape=shape)
        self.count = json.loads(self.note.read_text())["count"] if self.note.exists() else 0

    @torch.no_grad()
    def grow(self, count: int) -> None:
        """Draw and encode until there are `count` pictures (CAPACITY at most)."""
        count = min(count, CAPACITY)
        while self.count < count:
            new = min(512 if self.painter.processes > 1 else _CHUNK, count - self.count)
            pixels, device = to_pixels(self.painter.draw(self.count, new)), self.vae.device
            for start in range(0, new, _CHUNK):
                with torch.autocast(device.type, torch.bfloat16):
                    mean = self.vae.encode(pixels[start : start + _CHUNK].to(device)).latent_dist.mean
                at = self.count + start
                self._latents[at : at + len(mean)] = mean.half().cpu().numpy()
            self.count += new
        self._latents.flush()
        save_text(self.note, json.dumps({"count": self.count}))

    def __getitem__(self, numbers: np.ndarray) -> Tensor:
        """float32 [n, 4, 32, 32]"""
        return torch.from_numpy(np.asarray(self._latents[numbers])).float()
