"""One of the processes that `launcher.py` started: trains as the others do, tells its events in a file, and stops when
its standard input is closed. The first one, which paints and saves, also hears from a file what is wished of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ti_core.program.child import end_with_parent
from ti_core.program.control import Control
from ti_core.program.conversation import (
    ANSWERS_WITHIN_S,
    INTERRUPTED,
    LOOK_EVERY_S,
    SAVES_WITHIN_S,
    Voice,
    ended_by,
)
from ti_core.program.terminal import clean_terminal
from ti_core.settings import ResumeSettings
from ti_core.training.distributed.launcher import ASKED, SAID, asked_of
from ti_core.training.loop import resume, train


def main(folder: Path) -> int:
    """0 where the training ended as it was asked to, 1 where it failed; the launcher then ends the others."""
    end_with_parent()
    settings, workspace, run_folder = asked_of(folder)
    stop, rank = Control(), int(os.environ.get("RANK", "0"))
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    if rank == 0:
        threading.Thread(target=_hear, args=(folder / ASKED, stop), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _stop_soon(stop))
    with (folder / SAID).open("ab") as file:
        voice = Voice(file.fileno(), rank)

        def work() -> None:
            if run_folder:
                resume(ResumeSettings(run_folder), workspace, voice.emit, stop)
            else:
                train(settings, workspace, voice.emit, stop)

        try:
            ended = ended_by(work)
            has_failed = ended not in ("", INTERRUPTED)
            if rank == 0 or has_failed:  # the first one saves, so the work has not ended before it has
                voice.say({"ended": ended})
        finally:
            voice.close()
    return int(has_failed)


def _hear(file: Path, control: Control) -> None:
    """Take up the wishes that are added to the file, as long as this process lives."""
    with file.open(encoding="utf-8") as lines:
        line = ""
        while True:
            line += lines.readline()
            if line.endswith("\n"):
                control.ask(line.strip())
                line = ""
            else:
                time.sleep(LOOK_EVERY_S)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    """What has still not saved after the longest time is not waited for, because the program that started it may be
    gone.
    """
    sys.stdin.read()
    stop.set()
    time.sleep(SAVES_WITHIN_S)
    os._exit(1)


def _stop_soon(stop: threading.Event) -> None:
    """The system shuts down, or the launcher ends the others after one has failed: then this one waits for its
    gradient in vain.
    """
    stop.set()
    timer = threading.Timer(ANSWERS_WITHIN_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    clean_terminal()
    sys.exit(main(Path(sys.argv[1])))
