"""Events of a job as lines of text in the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ti_core.errors import shown_number
from ti_core.events import (
    EmbeddingSaved,
    Emit,
    Evaluated,
    Event,
    Finished,
    Notice,
    PreviewSaved,
    Progress,
    Started,
    StepDone,
)
from ti_core.program.signals import asked_to_end

EXIT_OK, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 2, 130


def watch(work: Callable[[Emit, threading.Event], object], makes: str = "", trains: bool = False) -> int:
    """Do the work and print its events; returns the exit status. `makes` is what its first file is called.

    Ctrl+C, SIGTERM or a closed terminal asks it to stop, and it saves.
    """
    printer, stop = Printer(makes, trains), threading.Event()

    def ask_to_stop() -> None:
        stop.set()
        with contextlib.suppress(OSError):
            print("\nStopping; what is done is saved first. Ctrl+C once more ends at once.", file=sys.stderr)

    def show(event: Event) -> None:
        try:
            printer.show(event)
        except OSError:  # who read the output has gone, or its disk is full: no reason to lose a training
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the program

    with asked_to_end(ask_to_stop):
        work(show, stop)
    return EXIT_INTERRUPTED if printer.interrupted else EXIT_OK


@dataclass
class Printer:
    """Events as lines of text; progress overwrites itself in a terminal and is rare in a log."""

    makes: str = ""
    trains: bool = False
    interrupted: bool = False
    first_step: int = 0
    total: int = 0
    began: float = 0.0
    last: float = 0.0
    folder: str = ""

    def show(self, event: Event) -> None:
        """Print what an event tells."""
        match event:
            case Started():
                self.first_step, self.total, self.began, self.folder = (
                    event.first_step,
                    event.total,
                    time.monotonic(),
                    event.folder,
                )
                print(f"{event.title}. {event.plan}")
            case Progress():
                self._progress(f"{event.text} {event.done}/{event.total}", event.done == event.total)
            case StepDone():
                done = event.step - self.first_step
                pace = (time.monotonic() - self.began) / done
                left = (self.total - event.step) * pace
                text = (
                    f"step {event.step}/{self.total}  loss {event.loss:.4f}  rate {shown_number(event.rate)} "
                    f" {1 / pace:.2f} it/s  {left:.0f} s left"
                )
                self._progress(text, event.step == self.total)
            case PreviewSaved() | EmbeddingSaved():
                print(f"\rsaved {event.path}")
            case Evaluated():
                low, high = event.usual_norms
                obeys = f" obedience {sum(event.obedience) / len(event.obedience):.0%}," if event.obedience else ""
                print(
                    f"\revaluation of step {event.step}: loss {event.loss:.5f},{obeys} norm {event.norm:.2f} (words"
                    f" {low:.2f} to {high:.2f}), best step so far {event.best}"
                )
            case Notice():
                print(f"\rnote: {event.text}")
            case Finished():
                self.interrupted = event.interrupted
                print(f"\r{event.text}")
                if self.trains and self.folder:
                    print(f"Run folder: {self.folder}")
                for file in event.files[:1] if self.makes else ():
                    print(f"{self.makes}: {file}")

    def _progress(self, text: str, is_last: bool) -> None:
        now = time.monotonic()
        if is_last or now - self.last > (0.2 if sys.stdout.isatty() else 5.0):
            self.last = now
            end = "" if sys.stdout.isatty() and not is_last else "\n"
            print(f"\r{text:<79}" if sys.stdout.isatty() else text, end=end, flush=True)
