"""Small tensors to the device, all of a kind in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The tensors of the CPU, all of one dtype, on the device, in their order: one copy for all of them.

    On CUDA nobody waits for it: CUDA takes what lies in ordinary memory into its own before it returns, and does the
    device's work in order. Other devices do not promise that.
    """
    if device.type == "cpu" or not tensors:
        return list(tensors)
    together = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(device, non_blocking=device.type == "cuda")
    parts = together.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
