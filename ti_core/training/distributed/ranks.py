"""Several processes, one for each GPU, train one embedding: `accelerate launch -m ti_core train ...` or torchrun.

Each takes its share of an update's images, and the gradients are summed; the update that follows is the same in all
of them, and only the first process writes. As images, prompts and noise are functions of (seed, step, place), the
number of processes changes nothing else.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from dataclasses import replace

import torch
from accelerate import PartialState
from torch import Tensor

from ti_core.errors import Interrupted
from ti_core.program.temporary_folders import temporary_folder
from ti_core.settings import TrainSettings
from ti_core.training.distributed.launcher import is_launched
from ti_core.training.setup import Prepared


class Together:
    """This process among those of the training. Where it is the only one, nothing is sent and nothing differs."""

    def __init__(self) -> None:
        alone = not is_launched()
        state = (
            PartialState() if alone else PartialState(cpu=not torch.cuda.is_available())
        )  # several on CPUs only if it is told so
        self.place, self.count = state.process_index, state.num_processes
        self._parted = self.count == 1

    @property
    def is_first(self) -> bool:
        return self.place == 0

    def own(self, images: int) -> list[int]:
        """Places of an update's images that this process takes."""
        return list(range(self.place, images, self.count))

    def sum(self, vectors: dict[str, Tensor], loss: float, stopped: bool = False) -> float:
        """Put the sum of all processes' gradients on the vectors and return the sum of their losses. Raises
        Interrupted in all if one was stopped.
        """
        if self.count == 1:
            if stopped:
                raise Interrupted
            return loss
        gradients = [torch.zeros_like(rows) if rows.grad is None or stopped else rows.grad for rows in vectors.values()]
        numbers = torch.tensor([loss, float(stopped)], device=gradients[0].device)
        everything = torch.cat([*(gradient.flatten() for gradient in gradients), numbers])
        torch.distributed.all_reduce(everything)
        if float(everything[-1]) > 0:
            self._parted = True
            raise Interrupted
        pieces = everything[:-2].split([rows.numel() for rows in vectors.values()])
        for rows, piece in zip(vectors.values(), pieces, strict=True):
            rows.grad = piece.view_as(rows).clone()
        return float(everything[-2])

    def meet(self, stopped: bool) -> None:
        """Before the first step: one that was stopped while it prepared takes the others along. Raises Interrupted
        in all.
        """
        if self.count > 1:
            flag = torch.tensor([float(stopped)], device=PartialState().device)
            torch.distributed.all_reduce(flag)
            stopped = float(flag) > 0
        if stopped:
            self._parted = True
            raise Interrupted

    def wait(self) -> None:
        """Until all have come this far: a process that fails makes the launcher end the others, who may still be
        saving.
        """
        if not self._parted:
            PartialState().wait_for_everyone()

    def leave(self, vectors: dict[str, Tensor]) -> None:
        """Before the last step: take the others along, who wait for this process's gradient."""
        if not self._parted:
            try:
                self.sum(vectors, 0.0, stopped=True)
            except Interrupted:
                return

    def silent(self, settings: TrainSettings, inputs: Prepared) -> tuple[TrainSettings, Prepared]:
        """What all but the first train with: no previews, no copies, and a folder that goes with the process."""
        held = ExitStack()
        atexit.register(held.close)
        folder = held.enter_context(temporary_folder("helper"))
        return replace(settings, **settings.other_rank_values()), replace(inputs, log_directory=folder)
