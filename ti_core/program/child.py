"""Starts our own modules as programs of their own, which Ctrl+C in the terminal does not reach, and ends them; and says
how people start them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping

from ti_core.workspace import REPOSITORY

GONE_WITHIN_S = 10.0
"""From the end of a program's output, or from its killing, until the system has cleared it away."""
PR_SET_PDEATHSIG = 1


def shown_command(command: str) -> str:
    """A command of the project's own environment, as a person types it in the project's folder."""
    return (".venv\\Scripts\\" if sys.platform == "win32" else ".venv/bin/") + command


def start_child(
    *arguments: str, listens: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`python -m arguments` with a pipe to its standard input, and one from its output if `listens`. Its errors go
    to our terminal. `environment` is in place of ours.

    On Linux it ends with the thread that calls this, which therefore has to be one that lives as long as the
    program.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "ti_core.program.child", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if listens else subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
        bufsize=1,
        cwd=REPOSITORY,
        env=environment,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def end_child(child: subprocess.Popen[str], within_s: float) -> None:
    """Close its input, which asks it to end; let it save, then see that it is gone."""
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        kill_child(child)


def kill_child(child: subprocess.Popen[str]) -> None:
    """With all that it has started in its group, where the system knows groups of processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers so for one that has ended
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(
        subprocess.TimeoutExpired
    ):  # one that waits in the kernel, for a driver or a network drive, goes when that lets it
        child.wait(GONE_WITHIN_S)


def end_with_parent() -> None:
    """Linux ends this process when the thread that started it is gone, even if it is stopped, or so busy that it
    notices no closed pipe.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """`python -m ti_core.program.child MODULE ...` runs the module as `python -m` does."""
    end_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
