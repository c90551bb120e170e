"""A folder that a server is going to work in: made if it is missing, and tried by writing something."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import reason

PROBE_BYTES = 2**16
"""More than fits beside a file's name, so that a full disk says so."""


def ready_folder(folder: Path, flag: str) -> str:
    """Make the folder if it is missing, and see that it can be written. Returns a sentence if it was made. Raises
    UserError, which names the `flag` that the folder was given with.
    """
    hint = f"Choose a folder that you may write in: {flag} DIR"
    notice = ""
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            notice = f"Made the folder {folder}."
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {reason(error)}.", hint) from error
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", hint)
    probe = folder / f".ti-probe.{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"Nothing can be saved in the folder {folder}: {reason(error)}.", _next_step(error, hint)
        ) from (error)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return notice


def _next_step(error: OSError, hint: str) -> str:
    return "Make room on it, then start again." if reason(error) == "the disk is full" else hint
