"""The optimizers to choose from, and all of their state, so that a run that was interrupted goes on exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

GROUP = "group."
CHANGING = ("d", "d_max", "d_numerator", "d_denom", "d_hat", "k")
"""What Prodigy keeps of all parameters together; its other values, as all of the others', never change."""


WHOLE_RATE = 1.0
"""Adafactor multiplies the rate by the root mean square of what is trained, or by this if it is larger. That of a
vector is near 0.02: its rate would be a fiftieth of the one on the page, and a face is not learned (40% identity where
AdamW reaches 81%, bench/quality.py).
"""


def new_optimizer(name: str, vectors: Mapping[str, Tensor]) -> torch.optim.Optimizer:
    """AdamW as in A1111; Prodigy (Mishchenko & Defazio 2023), whose rate is a factor near 1; Adafactor (Shazeer & Stern
    2018), whose rate is that of AdamW. None has weight decay, because a vector's length is dealt with by norm control.
    """
    rows = list(vectors.values())
    if name == "Prodigy":
        from prodigyopt import Prodigy

        return Prodigy(rows, lr=1.0, weight_decay=0.0)
    if name == "Adafactor":
        return torch.optim.Adafactor(rows, eps=(None, WHOLE_RATE), weight_decay=0.0)
    return torch.optim.AdamW(rows, weight_decay=0.0)


def tensors_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A copy of its state on the CPU: "<index of the parameter>.<name>" and "group.<name>"."""
    kept: dict[str, Any] = {
        f"{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }
    group = optimizer.param_groups[0]
    kept |= {GROUP + name: torch.tensor(float(group[name]), dtype=torch.float64) for name in CHANGING if name in group}
    return {key: torch.as_tensor(value).detach().cpu().clone().contiguous() for key, value in kept.items()}


def fill(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state of `tensors_of` back; the learning rate is the schedule's."""
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        if index.isdigit():
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    group = optimizer.param_groups[0]
    for name in CHANGING:
        if (value := tensors.get(GROUP + name)) is not None and name in group:
            group[name] = int(value) if isinstance(group[name], int) else float(value)
