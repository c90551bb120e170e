"""Starts our own modules as programs of their own, which talk through pipes and which Ctrl+C in the terminal does not reach; and says how people start them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

from ti_core.workspace import REPOSITORY

SAVES_WITHIN_S = 120


def shown_command(command: str) -> str:
    """A command of the project's own environment, as a person types it in the project's folder."""
    return (".venv\\Scripts\\" if sys.platform == "win32" else ".venv/bin/") + command


def start_child(*arguments: str, listens: bool = True) -> subprocess.Popen[str]:
    """`python -m arguments` with a pipe to its standard input, and one from its output if `listens`. Its errors go to our terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE if listens else subprocess.DEVNULL, text=True, encoding="utf-8",
        errors="replace", bufsize=1, cwd=REPOSITORY, start_new_session=True, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )  # fmt: skip


def end_child(child: subprocess.Popen[str]) -> None:
    """Close its input, which asks it to end; let it save, then see that it is gone."""
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        child.wait(SAVES_WITHIN_S)
    except subprocess.TimeoutExpired:
        kill_child(child)


def kill_child(child: subprocess.Popen[str]) -> None:
    """With all that it has started, where the system knows groups of processes."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
