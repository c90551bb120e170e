"""Whether the machines of one training work on the same: what each has read is compared before the first step."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from ti_core import __version__
from ti_core.data.masks import find_mask
from ti_core.errors import UserError
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.settings import TrainSettings
from ti_core.training.distributed.ranks import Ranks
from ti_core.training.setup import Prepared


def check_same_inputs(ranks: Ranks, settings: TrainSettings, inputs: Prepared, sd: StableDiffusion) -> None:
    """Each machine reads settings, pictures and the checkpoint itself, so a folder that was copied last week would
    spoil the gradient in silence. Raises UserError in all processes, with what differs, and on which machine.

    On one machine all processes read the same files, and nothing is compared.
    """
    if not on_several_machines():
        return
    own = {"machine": platform.node(), "facts": _facts(settings, inputs, sd)}
    found = [json.loads(text) for text in ranks.gather(json.dumps(own))]
    first = found[0]
    for rank, other in enumerate(found):
        different = [
            f"{what} ({other['facts'].get(what)} and {value})"
            for what, value in first["facts"].items()
            if other["facts"].get(what) != value
        ]
        if different:
            raise UserError(
                f"Process {rank}, on {other['machine']}, works on something else than the first one, on"
                f" {first['machine']}: {', '.join(different)}.",
                "Give all machines the same folders and the same versions, then start them again.",
            )


def on_several_machines() -> bool:
    """Whether the launcher has started fewer processes here than there are in all."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) < int(os.environ.get("WORLD_SIZE", "1"))


def _facts(settings: TrainSettings, inputs: Prepared, sd: StableDiffusion) -> dict[str, str]:
    """What must be the same, under names for people."""
    only_first = settings.other_rank_values()
    options = {name: option for name, option in settings.options().items() if name not in only_first}
    pictures = [
        (example.path.name, example.path.stat().st_size, example.caption, _bytes_of_mask(example.path, settings))
        for example in inputs.examples
    ]
    return {
        "this program": __version__,
        "torch": str(torch.__version__),
        "checkpoint": sd.hash,
        "embedding": _digest([rows.flatten().tolist() for rows in inputs.embedding.vectors.values()]),
        "pictures and captions": f"{len(pictures)} of them, {_digest(pictures)}",
        "prompt template": _digest(inputs.lines),
        **{option.label: str(getattr(settings, name)) for name, option in options.items()},
    }


def _digest(what: Any) -> str:
    """A few letters by which two values are told apart."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:8]


def _bytes_of_mask(picture: Path, settings: TrainSettings) -> int:
    mask = find_mask(picture) if settings.masks_as_weight else None
    return mask.stat().st_size if mask else 0
