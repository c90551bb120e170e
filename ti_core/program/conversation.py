"""How our programs talk to a child that works for them: one line of JSON for each thing that is said, the parent's side
here and the child's side below.

A thread of each process of the child says every two seconds that it lives. One that is stopped, swapped out, or kept by
a regular expression without end says nothing; a long computation does. So nobody who works is taken for dead, and
Interrupt ends what does not answer.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ti_core.errors import Interrupted, UserError
from ti_core.events import Alive, Emit, Event, parse_event
from ti_core.program.child import GONE_WITHIN_S, end_child, kill_child
from ti_core.program.control import wishes_of

ALIVE_EVERY_S = 2.0
"""How often a working process says that it lives, from a thread of its own."""
ANSWERS_WITHIN_S = 10.0
"""A process that was asked to stop and is not heard for so long is ended."""
SAVES_WITHIN_S = 120.0
"""One that is heard, but comes no further for so long after it was asked to stop, is ended too."""
LOOK_EVERY_S = 0.1
DIED, SILENT, INTERRUPTED = "died", "silent", "interrupted"
"""Ways in which work ends, beside well (an empty text) and with a sentence that says what is wrong."""


class Child:
    """The parent's side: a program that works, what it has said, and when each of its processes was heard last.

    `lines` are what it says: its standard output, or `lines_of_file`. `also` takes what is neither an event nor the
    end, and raises KeyError, TypeError or ValueError for what it does not understand. What `starts_silent` is not
    missed until it was heard once.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        lines: Iterable[str] | None = None,
        also: Callable[[dict[str, Any]], None] | None = None,
        starts_silent: bool = False,
    ) -> None:
        self.process = process
        self.said: queue.Queue[Event | str] = queue.Queue()
        self.heard_at: dict[int, float] = {} if starts_silent else {0: time.monotonic()}
        self._lines, self._also = lines if lines is not None else process.stdout or (), also
        threading.Thread(target=self._read, name="child", daemon=True).start()

    def say(self, what: dict[str, Any]) -> None:
        """A line for a child that has one process."""
        assert self.process.stdin is not None, "it is started with a pipe"
        with contextlib.suppress(OSError, ValueError):  # it has died; the reader says so
            self.process.stdin.write(json.dumps(what) + "\n")

    def stop_all(self) -> None:
        """Ask a child of several processes to stop. They share one standard input, of which each line reaches only one
        of them; that it is closed reaches all.
        """
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def follow(
        self, emit: Emit, stop: threading.Event, ask_to_stop: Callable[[], None], ask_for: Callable[[str], None]
    ) -> str:
        """Pass its events on until it says how the work has ended: empty for well, INTERRUPTED, DIED, SILENT, or a
        sentence. One that is SILENT is killed. What is wished in the meantime (`Control`) is passed on to it by
        `ask_for`.
        """
        asked_at: float | None = None
        news_at = looked_at = time.monotonic()
        alive_at = 0.0
        while True:
            # ask it to stop once, and give it up if it does not answer
            now = time.monotonic()
            if stop.is_set() and asked_at is None:
                ask_to_stop()
                asked_at = now
            if asked_at is not None and now - looked_at > LOOK_EVERY_S + 1:  # this program was stopped itself
                asked_at = now
            looked_at = now
            if asked_at is not None and self._is_lost(asked_at, news_at):
                kill_child(self.process)
                return SILENT

            for wish in wishes_of(stop):
                ask_for(wish)

            # who watches this program hears of the child's life too
            heard_at = max((at for at in self.heard_at.copy().values() if at < math.inf), default=0.0)
            if heard_at - alive_at >= ALIVE_EVERY_S:
                alive_at = heard_at
                emit(Alive())

            # what it says
            with contextlib.suppress(queue.Empty):
                said = self.said.get(timeout=LOOK_EVERY_S)
                if isinstance(said, str):
                    return said
                news_at = time.monotonic()
                emit(said)

    def _is_lost(self, asked_at: float, news_at: float) -> bool:
        """Whether a child that was asked to stop will not do so: one of its processes is heard no more, or nothing
        comes of it.
        """
        now = time.monotonic()
        is_silent = any(now - max(asked_at, heard) > ANSWERS_WITHIN_S for heard in self.heard_at.copy().values())
        return is_silent or now - max(asked_at, news_at) > SAVES_WITHIN_S

    def _read(self) -> None:
        """Take in what it says until it is gone. A line that we do not understand is shown in the terminal, and the
        work goes on.

        Its output closes before it has ended: only then nobody may write to it any more, so its end is waited for.
        """
        try:
            for line in self._lines:
                try:
                    self._take(line)
                except (KeyError, TypeError, ValueError):
                    traceback.print_exc()
        finally:
            end_child(self.process, GONE_WITHIN_S)
            self.said.put(DIED)

    def _take(self, line: str) -> None:
        """What is no JSON object was printed by something else. Raises KeyError, TypeError or ValueError."""
        try:
            values = json.loads(line)
        except ValueError:
            return
        if not isinstance(values, dict):
            return
        if values.get("event") != Alive.__name__ and 0 in self.heard_at:  # only the first process says more than that
            self.heard_at[0] = max(self.heard_at[0], time.monotonic())
        if "ended" in values:
            if not isinstance(values["ended"], str):
                raise ValueError(f"Not an end: {line[:100]}")
            self.said.put(values["ended"])
        elif "event" in values or self._also is None:
            event = parse_event(line)
            if not isinstance(event, Alive):
                self.said.put(event)
            else:
                self.heard_at[event.rank] = math.inf if event.ends else time.monotonic()
        else:
            self._also(values)


def lines_of_file(path: Path, process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines that a child of several processes adds to a file, until all of it has ended. Each of them adds a whole
    line at once, which a pipe would not do for a long one.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        line = ""
        while True:
            has_ended = process.poll() is not None
            while piece := file.readline():
                line += piece
                if line.endswith("\n"):
                    yield line
                    line = ""
            if has_ended:
                return
            time.sleep(LOOK_EVERY_S)


# ---- the child's side


class Voice:
    """The child's side: says a line of JSON for each thing, and from a thread of its own that it lives.

    `file` is an open file's number, `rank` the number of this process among those of the child.
    """

    def __init__(self, file: int, rank: int = 0) -> None:
        self._file, self._rank = file, rank
        self._lock, self._has_ended = threading.Lock(), threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def emit(self, event: Event) -> None:
        """Tell an event."""
        self._write(event.to_json())

    def say(self, what: dict[str, Any]) -> None:
        """Tell something else, such as {"ended": ""}."""
        self._write(json.dumps(what))

    def close(self) -> None:
        """Say that this process will be heard no more, and is not to be missed."""
        self._has_ended.set()
        self._heart.join()
        self.emit(Alive(self._rank, ends=True))

    def _beat(self) -> None:
        while not self._has_ended.is_set():
            self.emit(Alive(self._rank))
            self._has_ended.wait(ALIVE_EVERY_S)

    def _write(self, line: str) -> None:
        """At once, so that no other process's line comes in between."""
        rest = (line + "\n").encode("ascii")
        with self._lock:
            while rest:
                rest = rest[os.write(self._file, rest) :]


def ended_by(work: Callable[[], object]) -> str:
    """Do the work; how it ended: empty for well, INTERRUPTED, or the sentence of its UserError."""
    try:
        work()
    except Interrupted:
        return INTERRUPTED
    except UserError as error:
        return str(error)
    return ""
