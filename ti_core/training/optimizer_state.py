"""The optimizer's state beside an embedding, `<name>.pt.optim`, so that training on continues instead of starting
Adam anew (A1111 1.10.1, textual_inversion.py: train_embedding).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ti_core.embeddings.folder import optimizer_file
from ti_core.embeddings.pt_file import plain_zip
from ti_core.embeddings.torch_file import load_torch_file
from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.settings import TrainSettings

AVERAGES = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter."""
Rows = Mapping[str, Tensor]
"""Text encoder's name -> [n, width]."""


def keeps_optimizer(settings: TrainSettings) -> bool:
    """Whether the state is written beside the embedding: A1111's layout holds AdamW's and no other."""
    return settings.save_optimizer_state and settings.optimizer == "AdamW"


def checksum(vectors: Rows) -> str:
    """A1111's 4 hex digits of an embedding's values, by which a state file is known to belong to it (A1111 1.10.1,
    textual_inversion.py: Embedding.checksum).
    """
    result = 0
    values = torch.cat([rows.detach().float().cpu().flatten() for rows in vectors.values()])
    for value in (values * 100).to(torch.int32).tolist():
        result = ((result * 281) ^ (value * 997)) & 0xFFFFFFFF
    return f"{result & 0xFFFF:04x}"


def state_of(vectors: Rows, optimizer: torch.optim.Optimizer, average: Rows | None = None) -> dict[str, Any]:
    """A copy of the state that belongs to these vectors, in A1111's layout. Where their average is what the
    embedding holds, the vectors go in too.
    """
    content: dict[str, Any] = {
        "hash": checksum(average or vectors),
        "optimizer_state_dict": copy.deepcopy(optimizer.state_dict()),
    }
    if average:
        content["trained"] = {encoder: rows.detach().cpu().clone() for encoder, rows in vectors.items()}
    return content


def save_state(embedding: Path, state: dict[str, Any]) -> Path:
    """Write what `state_of` gave beside the embedding."""
    return save_atomically(optimizer_file(embedding), lambda part: part.write_bytes(plain_zip(state)))


def load_state(embedding: Path, vectors: Rows, optimizer: torch.optim.Optimizer) -> bool:
    """Put the saved state into the optimizer; False where there is none, or none of exactly these vectors, which
    are the file's.

    Where the file holds an average, the vectors that were trained are put back in place.

    Of the optimizer's own settings in it none is used: the loop sets the schedule's rate before every update, and
    the rest is ours, whatever wrote it.
    """
    try:
        content = load_torch_file(optimizer_file(embedding))
        if content["hash"] != checksum(vectors):
            return False
        states = content["optimizer_state_dict"]["state"]
        for i, rows in enumerate(vectors.values()):
            if states[i]["exp_avg"].shape != rows.shape or states[i]["exp_avg_sq"].shape != rows.shape:
                return False
        trained = (
            {encoder: content["trained"][encoder].reshape(rows.shape).to(rows) for encoder, rows in vectors.items()}
            if "trained" in content
            else {}
        )
        averages = {i: {name: states[i][name] for name in AVERAGES} for i in range(len(vectors))}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": averages})
        with torch.no_grad():
            for encoder, rows in trained.items():
                vectors[encoder].copy_(rows)
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return False
    return True
