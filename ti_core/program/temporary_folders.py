"""Folders in the system's temporary one, which go with the program, or at the next start if it was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOCK = ".in-use"
SETTLES_S = 60
"""A folder is made a moment before its lock is held; one so new is left alone."""


@contextlib.contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """A new folder `ti-<kind>-...`, which is removed at the end; those of programs that ended without doing so are
    removed first.
    """
    clear_left_over(kind)
    folder = Path(tempfile.mkdtemp(prefix=f"ti-{kind}-"))
    lock = _held(folder / LOCK)
    try:
        yield folder
    finally:
        if lock:
            lock.close()  # Windows removes nothing that is open
        shutil.rmtree(folder, ignore_errors=True)


def clear_left_over(kind: str) -> None:
    """Remove the folders of this kind that are ours and that no running program holds. The temporary folder belongs
    to everybody, so nothing else counts.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"ti-{kind}-*"):
        with contextlib.suppress(OSError):  # another start removes it at this moment
            if not _is_ours(folder) or time.time() - (folder / LOCK).lstat().st_mtime < SETTLES_S:
                continue
            if lock := _held(folder / LOCK):
                lock.close()
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """A folder of this user, and no link to one."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (sys.platform == "win32" or found.st_uid == os.getuid())


def _held(path: Path) -> IO[str] | None:
    """The open file with a lock that the system gives back however the program ends; None if a running program has
    it.
    """
    file = path.open("a", encoding="utf-8")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
