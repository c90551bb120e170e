"""One stage of the training: a network, its optimizer, its averaged weights and where it stands, kept in one file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
SAVE_EVERY_S = 180
SHOW_EVERY_S = 30
EMA_EVERY = 4


class OutOfTime(Exception):
    """The minutes given to this command are over; everything is saved."""


@dataclass
class Clock:
    """The minutes of one command. With `last`, the learning rate of an unending stage falls to zero over their last
    third.
    """

    ends: float
    minutes: float
    last: bool

    @classmethod
    def of(cls, minutes: float, last: bool) -> Clock:
        return cls(time.monotonic() + minutes * 60, minutes, last)

    def rate_factor(self) -> float:
        if not self.last or not self.minutes:
            return 1.0
        left = (self.ends - time.monotonic()) / (self.minutes * 60)
        return max(0.0, min(1.0, left * 3))

    def stop(self) -> None:
        self.ends = -math.inf

    def over(self) -> bool:
        return time.monotonic() >= self.ends


@dataclass(frozen=True)
class Stage:
    """How one network is trained. `examples` in all, None for as long as there is time; then the rate does not fall
    by itself.
    """

    name: str
    examples: int | None
    batch: int
    rate: float
    ema: float
    warmup: int = 100

    def rate_at(self, steps: int, seen: int, clock: Clock) -> float:
        """Warms up, stays, and falls over the second half of the examples."""
        if self.examples is None:
            fall = clock.rate_factor()
        else:
            left = max(0.0, 2 * (1 - seen / self.examples))
            fall = 1.0 if left >= 1 else 0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * left))
        return self.rate * min(1.0, (steps + 1) / self.warmup) * fall


class Training:
    """`model` in training at one stage, taken up where the file in `folder` left off."""

    def __init__(self, stage: Stage, model: nn.Module, folder: Path, device: torch.device) -> None:
        self.stage, self.model, self.device = stage, model.to(device), device
        self.file = folder / f"{stage.name}.pt"
        self.optimizer = torch.optim.AdamW(
            model.parameters(), stage.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.steps = self.seen = 0
        self.extra: dict[str, Any] = {}
        if self.file.exists():
            state = torch.load(self.file, weights_only=True, map_location=device)
            model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.steps, self.seen = state["average"], state["steps"], state["seen"]
        else:
            self.average = {key: value.detach().clone() for key, value in model.state_dict().items()}
        self._saved = self._shown = time.monotonic()
        self._mean, self._pace_from = math.nan, (time.process_time(), time.monotonic(), self.seen)

    @property
    def done(self) -> bool:
        return self.stage.examples is not None and self.seen >= self.stage.examples

    def run(
        self, loss_of: Callable[[nn.Module, int], Tensor], clock: Clock, every: Callable[[Training], None] | None = None
    ) -> None:
        """Train until the stage is done or the clock runs out (then OutOfTime). `loss_of(model, step)` draws its
        own batch.
        """
        self.model.train()
        while not self.done:
            self._step(loss_of, clock)
            now = time.monotonic()
            if every is not None:
                every(self)
            if now - self._shown > SHOW_EVERY_S:
                self._show()
            if now - self._saved > SAVE_EVERY_S or self.done or clock.over():
                self.save()
            if clock.over():
                raise OutOfTime

    def _step(self, loss_of: Callable[[nn.Module, int], Tensor], clock: Clock) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate_at(self.steps, self.seen, clock)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = loss_of(self.model, self.steps)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.steps % EMA_EVERY == 0:
            keep = min(self.stage.ema**EMA_EVERY, (self.steps + 1) / (self.steps + 10))
            with torch.no_grad():
                for key, value in self.model.state_dict().items():
                    if value.is_floating_point():
                        self.average[key].lerp_(value, 1 - keep)
        self.steps, self.seen = self.steps + 1, self.seen + self.stage.batch
        if self.steps % 10 == 0:
            self._mean = loss.item() if math.isnan(self._mean) else 0.9 * self._mean + 0.1 * loss.item()

    def _show(self) -> None:
        cpu, wall, seen = self._pace_from
        new = max(1, self.seen - seen)
        now = time.monotonic()
        print(
            f"{time.strftime('%H:%M:%S')} {self.stage.name} {self.seen} examples, {self.steps} steps, loss"
            f" {self._mean:.4f}, {(time.process_time() - cpu) / new * 1000:.1f} ms of processor and"
            f" {(now - wall) / new * 1000:.1f} ms of time an example",
            flush=True,
        )
        self._shown, self._pace_from = now, (time.process_time(), now, self.seen)

    def save(self) -> None:
        """Atomically: a stop at any moment leaves the file before or the file after."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "seen": self.seen,
        }
        part = self.file.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.file)
        self._saved = time.monotonic()

    def averaged(self, model: Network) -> Network:
        """The averaged weights in `model`, which is then frozen."""
        model.load_state_dict(self.average)
        return model.to(self.device).eval().requires_grad_(False)
