"""How a program is asked to end from outside: Ctrl+C, SIGTERM (docker stop, a shutdown), SIGHUP (a closed terminal)."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Those of them that the system has; SIGBREAK is Windows' word."""


@contextlib.contextmanager
def asked_to_end(ask: Callable[[], None]) -> Iterator[None]:
    """Within this block, call `ask` in the main thread at the first of these signals. From then on Ctrl+C does what
    it did before, and the others nothing: a system that ends a program may send several. A SIGHUP that is ignored,
    as under nohup, stays so. Only for the main thread.
    """
    numbers = [number for name in NAMES if (number := getattr(signal, name, None)) is not None]
    hangup = getattr(signal, "SIGHUP", None)
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]
    was_asked = False

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal was_asked
        if number == hangup:
            _speak_to_nobody(terminals)
        if was_asked:
            return
        was_asked = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        ask()

    before = {}
    for number in numbers:
        before[number] = signal.getsignal(number) or signal.SIG_DFL
        if not (number == hangup and before[number] == signal.SIG_IGN):
            signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _speak_to_nobody(terminals: list[int]) -> None:
    """A terminal that is gone refuses every line, and that must not end the saving."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in terminals:
        os.dup2(nobody, stream)
    os.close(nobody)
