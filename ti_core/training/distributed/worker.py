"""One of the processes that `launch.py` started: trains as the others do, tells its events in a file, and stops
when its standard input is closed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ti_core.errors import Interrupted, UserError
from ti_core.events import Alive, Event, Failed, Finished
from ti_core.program.child import ALIVE_EVERY_S, ANSWERS_WITHIN_S, SAVES_WITHIN_S, end_with_parent
from ti_core.program.terminal import clean_terminal
from ti_core.settings import ResumeSettings
from ti_core.training.distributed.launcher import EVENTS, asked_of
from ti_core.training.loop import resume, train


def main(folder: Path) -> int:
    """0 where the training ended as it was asked to, 1 where it failed; the launcher then ends the others."""
    end_with_parent()
    settings, workspace, run_folder = asked_of(folder)
    stop, has_ended, rank = threading.Event(), threading.Event(), int(os.environ.get("RANK", "0"))
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _stop_soon(stop))
    with (folder / EVENTS).open("a", encoding="utf-8", buffering=1) as file:
        lock = threading.Lock()

        def tell(event: Event) -> None:
            with lock:
                file.write(event.to_json() + "\n")

        def say_alive() -> None:
            while not has_ended.is_set():
                tell(Alive(rank))
                has_ended.wait(ALIVE_EVERY_S)

        speaker = threading.Thread(target=say_alive, daemon=True)
        speaker.start()
        try:
            if run_folder:
                resume(ResumeSettings(run_folder), workspace, tell, stop)
            else:
                train(settings, workspace, tell, stop)
        except UserError as error:
            tell(Failed(str(error)))
            return 1
        except Interrupted:
            tell(Finished("Interrupted.", interrupted=True))
        finally:
            has_ended.set()
            speaker.join()
            tell(Alive(rank, ends=True))
    return 0


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
