"""Latents that were encoded before, one small file a picture in the workspace: a second training with the same
photos starts at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ti_core.errors import UserError
from ti_core.files import save_atomically

LIMIT_BYTES = 2 * 2**30
"""What all of it may take; a picture of 512 px takes 145 kB, so some 14,000 fit. The ones not used for longest go
first.
"""


@dataclass(frozen=True)
class LatentCache:
    """A folder, and what besides a picture's bytes decides about its latents: the size it is brought to, the
    autoencoder and its precision.
    """

    folder: Path
    how: str

    def file(self, digest: str) -> Path:
        """Where the latents of a picture lie, by the SHA-256 of its file in hex, so that a renamed picture is found
        again and an edited one is not.
        """
        return self.folder / f"{hashlib.sha256(f'{self.how} {digest}'.encode()).hexdigest()[:32]}.safetensors"


def load_latents(file: Path) -> dict[str, Tensor] | None:
    """The tensors of a file of the cache; None if it is not there or broken, or holds numbers that are not finite, as
    an earlier version kept them.
    """
    try:
        found = load_file(file)
        os.utime(file)  # used just now
    except (OSError, SafetensorError):
        return None
    return found if all(bool(tensor.isfinite().all()) for tensor in found.values()) else None


def save_latents(file: Path, tensors: dict[str, Tensor]) -> None:
    """Never a reason to stop: where nothing can be written, the next training encodes again."""
    try:
        save_atomically(
            file,
            lambda part: part.write_bytes(save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})),
        )
    except UserError:
        return


def keep_below(limit_bytes: int, folder: Path) -> None:
    """Remove the files that were not used for longest until all take less."""
    files = []
    for file in folder.glob("*.safetensors"):
        with contextlib.suppress(OSError):  # another process tidies too
            files.append((file.stat().st_mtime_ns, file.stat().st_size, file))
    total = 0
    for _, size, file in sorted(files, reverse=True):
        total += size
        if total > limit_bytes:
            with contextlib.suppress(OSError):
                file.unlink()


def fingerprint(network: nn.Module) -> str:
    """A hash of all its weights; 0.2 s for an autoencoder of Stable Diffusion."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
