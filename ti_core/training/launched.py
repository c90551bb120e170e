"""One of the processes that `launch.py` started: trains as the others do, tells its events in a file, and stops when its standard input is closed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ti_core.errors import Interrupted, UserError
from ti_core.events import Event, Failed, Finished
from ti_core.settings import ResumeSettings
from ti_core.terminal import clean_terminal
from ti_core.training.launch import EVENTS, asked_of
from ti_core.training.loop import resume, train


def main(folder: Path) -> int:
    """0 where the training ended as it was asked to, 1 where it failed; the launcher then ends the others."""
    settings, workspace, run_folder = asked_of(folder)
    stop = threading.Event()
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    with (folder / EVENTS).open("a", encoding="utf-8", buffering=1) as file:

        def tell(event: Event) -> None:
            file.write(event.to_json() + "\n")

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
    return 0


def _stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    clean_terminal()
    sys.exit(main(Path(sys.argv[1])))
