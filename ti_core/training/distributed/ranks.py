"""Several processes, one for each GPU, train one embedding: `accelerate launch -m ti_core train ...` or torchrun.

Each takes its share of an update's images, and the gradients are summed; the update that follows is the same in all
of them, and only the first process writes. As images, prompts and noise are functions of (seed, step, index), the
number of processes changes nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import torch
from accelerate import PartialState
from torch import Tensor

from ti_core.errors import Interrupted, UserError
from ti_core.program.temporary_folders import temporary_folder
from ti_core.settings import TrainSettings
from ti_core.training.distributed.launcher import is_launched
from ti_core.training.setup import Prepared


def _process_group() -> PartialState:
    """Joins the other processes. Those on CPUs are several only if accelerate is told so; on cards accelerate would
    take NCCL, which torch for Windows and some other builds do not have.
    """
    on_cards = torch.cuda.is_available()
    if on_cards and not torch.distributed.is_nccl_available():
        return PartialState(backend="gloo")
    return PartialState(cpu=not (on_cards or torch.xpu.is_available()))


class RanksLost(UserError):
    """Another process of this training is gone: it was killed, its machine was switched off, or the network failed."""

    def with_state(self, step: int, run_folder: str) -> RanksLost:
        """The same, told by the process that has saved."""
        return RanksLost(
            "Another process of this training is gone, or cannot be reached any more, so the training ends here. Step"
            f" {step} is saved.",
            f"Look at the terminals of the other machines; then go on with: python -m ti_core resume {run_folder}",
        )


class Ranks:
    """This process, by its `rank` from 0 to below `count`, among those of the training. Where it is the only one,
    nothing is sent and nothing differs.
    """

    def __init__(self) -> None:
        state = _process_group() if is_launched() else PartialState()
        self.rank, self.count = state.process_index, state.num_processes
        # gloo sums what lies in the computer's memory, where the vectors are; NCCL what lies on a card
        self._sums_on = torch.device("cpu") if state.backend in (None, "gloo") else state.device
        self.lacks_nccl = self.count > 1 and state.backend == "gloo" and state.device.type != "cpu"
        """Whether the cards' gradients are summed in the computer's memory, for want of a better way."""
        self._parted = self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one process that writes and reports."""
        return self.rank == 0

    def shard(self, images: int) -> list[int]:
        """Indices of an update's images that this process takes."""
        return list(range(self.rank, images, self.count))

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
        everything = torch.cat([*(gradient.flatten() for gradient in gradients), numbers]).to(self._sums_on)
        with self._meeting():
            torch.distributed.all_reduce(everything)
            stopped = float(everything[-1]) > 0
        if stopped:
            self._parted = True
            raise Interrupted
        pieces = everything[:-2].split([rows.numel() for rows in vectors.values()])
        for rows, piece in zip(vectors.values(), pieces, strict=True):
            rows.grad = piece.view_as(rows).to(rows.device, copy=True)
        return float(everything[-2])

    def sync_stop(self, stopped: bool) -> None:
        """Wait for all processes before the first step. If one was stopped while it prepared, raises Interrupted in
        all of them.
        """
        if self.count > 1:
            flag = torch.tensor([float(stopped)], device=self._sums_on)
            with self._meeting():
                torch.distributed.all_reduce(flag)
                stopped = float(flag) > 0
        if stopped:
            self._parted = True
            raise Interrupted

    def wait(self) -> None:
        """Wait until all have come this far: a process that fails makes the launcher end the others, which may still
        be saving.
        """
        if not self._parted:
            with contextlib.suppress(RanksLost), self._meeting():  # why this one ends is told already
                PartialState().wait_for_everyone()

    def stop_all(self, vectors: dict[str, Tensor]) -> None:
        """End the training before its last step in the other processes too, which wait for this one's gradient."""
        if not self._parted:
            with contextlib.suppress(Interrupted, RanksLost):
                self.sum(vectors, 0.0, stopped=True)

    def gather(self, value: str) -> list[str]:
        """The text that each process gives, by rank, in all of them."""
        values = [value] * self.count
        if self.count > 1:
            with self._meeting():
                torch.distributed.all_gather_object(values, value)
        return values

    @contextlib.contextmanager
    def _meeting(self) -> Iterator[None]:
        """What is exchanged inside comes from all processes. Raises RanksLost where one is gone. The connection of one
        that was killed closes at once; a machine that is switched off is given up after torch's own 10 (NCCL) or 30
        minutes (gloo).
        """
        try:
            yield
        except RuntimeError as error:  # torch has no narrower class for what gloo and NCCL tell
            self._parted = True
            raise RanksLost(
                "Another process of this training is gone, or cannot be reached any more, so this one ends too. What"
                " the first process has saved is kept, at most ten steps old.",
                "Look at the terminals of the other machines; then go on with: python -m ti_core resume RUN_FOLDER",
            ) from error

    def as_worker(self, settings: TrainSettings, inputs: Prepared) -> tuple[TrainSettings, Prepared]:
        """What all but the first process train with: no previews, no copies, and a run folder that is removed when
        the process ends.
        """
        held = ExitStack()
        atexit.register(held.close)
        folder = held.enter_context(temporary_folder("helper"))
        return replace(settings, **settings.other_rank_values()), replace(inputs, log_directory=folder)
