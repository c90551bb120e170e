"""What a test says to the pretend card: how much memory it has, what it can, and what was asked of it.

A test marked `pretend_card` runs in a process that has the card (plugin.py), and takes it by the fixture `card`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

IS_REAL = torch.cuda.is_available() and not os.environ.get("PRETEND_LIBRARY")


class Counts(dict[str, int]):
    """Of kernels, to_device, to_host, waits and allocations; `names`: how often each kernel and copy, where asked."""

    names: dict[str, int]


class PretendCard:
    """The card of this process and of those it starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import pretend_torch  # there only where the process has the card

        self._torch: Any = pretend_torch
        self._lib: Any = pretend_torch.lib
        self._monkeypatch = monkeypatch

    def becomes(self, mib: int = 24000, count: int = 1, bf16: bool = True, flash: bool = True) -> None:
        """Memory in MiB of each, how many cards, native bf16, flash attention: here and in processes started later."""
        for name, value in {"mib": mib, "count": count, "bf16": bf16, "flash": flash}.items():
            self._monkeypatch.setenv(f"PRETEND_{name.upper()}", str(int(value)))
        self._torch.set_card_of_environment()

    @contextmanager
    def hollow(self, from_bytes: int = 2**20) -> Iterator[None]:
        """In the block, tensors of so many bytes and more take the card's memory and have no content: kernels with one
        of them compute nothing, and what is read of it is 0. So networks of full size run in seconds, and what they
        have on the card at one time is what they would have.
        """
        self._lib.pretend_hollow(from_bytes)
        try:
            yield
        finally:
            self._lib.pretend_hollow(-1)

    @property
    def used(self) -> int:
        """Bytes in use on the first card, after what nobody holds any more was freed."""
        gc.collect()
        return int(self._lib.pretend_used(0))

    @property
    def peak(self) -> int:
        """The most bytes in use on the first card since `reset_peak`."""
        return int(self._lib.pretend_peak(0))

    def reset_peak(self) -> None:
        """From here the peak counts anew."""
        self._lib.pretend_reset_peak(0)

    def fail_at(self, allocation: int) -> None:
        """The allocation of that number from now (0: the next) raises torch's out of memory; -1: none any more."""
        self._lib.pretend_fails_in(allocation)

    @property
    def has_failed(self) -> bool:
        """Whether the allocation that was to fail has been asked for, or none was to."""
        return bool(self._lib.pretend_is_failing() == 0)

    @contextmanager
    def counted(self, names: bool = False) -> Iterator[Counts]:
        """What the block asks of the card; the numbers are there when it ends."""
        counts, before = Counts(), self._torch.counts()
        self._lib.pretend_keep_names(int(names))
        try:
            yield counts
        finally:
            counts.update({name: value - before[name] for name, value in self._torch.counts().items()})
            lines = self._lib.pretend_names().decode().splitlines() if names else []
            counts.names = {name: int(number) for name, number in (line.split("\t") for line in lines)}
            self._lib.pretend_keep_names(0)


class RealCard(PretendCard):
    """A real card, which has its own memory, precision and number, cannot fail when told to, and does not count."""

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            pytest.skip("there is no card")

    def becomes(self, mib: int = 24000, count: int = 1, bf16: bool = True, flash: bool = True) -> None:
        """Less memory and no flash attention can be had of it. What cannot be had skips the test."""
        if not bf16 or count > torch.cuda.device_count():
            pytest.skip("a card without bf16, or several, can only be pretended")
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, mib * 2**20 / total))
        torch.backends.cuda.enable_flash_sdp(flash)
        torch.backends.cuda.enable_mem_efficient_sdp(flash)

    @contextmanager
    def hollow(self, from_bytes: int = 2**20) -> Iterator[None]:
        """A real card computes all."""
        yield

    @property
    def used(self) -> int:
        """Bytes of tensors, after what nobody holds any more was freed."""
        gc.collect()
        return torch.cuda.memory_allocated(0)

    @property
    def peak(self) -> int:
        """The most bytes of tensors since `reset_peak`."""
        return torch.cuda.max_memory_allocated(0)

    def reset_peak(self) -> None:
        """From here the peak counts anew."""
        torch.cuda.reset_peak_memory_stats(0)

    def fail_at(self, allocation: int) -> None:
        """Only a pretend card can."""
        if allocation >= 0:
            pytest.skip("a real card does not fail when told to")

    @contextmanager
    def counted(self, names: bool = False) -> Iterator[Counts]:
        """Only a pretend card can."""
        pytest.skip("a real card does not count")
        yield Counts()


@pytest.fixture
def card() -> Iterator[PretendCard]:
    """The card of this process, with 24,000 MiB, bf16 and flash attention until the test says otherwise."""
    if not os.environ.get("PRETEND_LIBRARY"):
        real = RealCard()
        yield real
        real.becomes()
        return
    with pytest.MonkeyPatch.context() as own:  # undone before other fixtures end
        card = PretendCard(own)
        card.becomes()
        yield card
        card.fail_at(-1)
    card._torch.set_card_of_environment()
