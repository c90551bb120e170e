"""Atomic writes, so that a crash or a full disk never leaves half a file: written under a temporary name, synced, then
renamed.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ti_core.errors import UserError

T = TypeVar("T")
TRIES = 15 if os.name == "nt" else 1
SAVED_AT_ONCE = 8


def _put_in_place(part: Path, path: Path) -> None:
    """Rename, with retries: Windows refuses while a virus scanner or another reader has the old file open."""
    for _ in range(TRIES - 1):
        try:
            os.replace(part, path)
            return
        except PermissionError:
            time.sleep(0.1)
    os.replace(part, path)


def save_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Call `write` with a temporary path beside `path`, then rename that to `path`; missing folders are made.

    Raises UserError, with the old file untouched, when the disk is full or the folder may not be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("r+b") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
        _put_in_place(part, path)
    except OSError as error:
        raise UserError(
            f"'{path.name}' could not be saved in {path.parent.name}/: {reason(error)}.",
            "Make room or choose another folder, then try again.",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may not be there
            part.unlink(missing_ok=True)
    return path


def save_many(save: Callable[[Path], object], files: Iterable[Path]) -> None:
    """Call `save` with each file, several at once: a disk confirms eight small files in little more time than one.
    Raises the UserError of the first that could not be saved; those after it are not begun.
    """
    with ThreadPoolExecutor(SAVED_AT_ONCE) as pool:
        saved = [pool.submit(save, file) for file in files]
        try:
            for each in saved:
                each.result()
        except UserError:
            pool.shutdown(cancel_futures=True)
            raise


# ---- text and JSON


def save_text(path: Path, text: str) -> Path:
    """Write atomically as UTF-8; a lone surrogate, which UTF-8 cannot encode, becomes a question mark. Raises
    UserError.
    """
    return save_atomically(path, lambda part: part.write_text(text, encoding="utf-8", errors="replace"))


def load_json(path: Path) -> dict[str, Any]:
    """The object in a small JSON file; an empty dict if there is no such file, or if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the last for brackets nested too deep
        return {}
    return content if isinstance(content, dict) else {}


# ---- what is on disk


def move(path: Path, target: Path) -> Path:
    """Move a file or folder to `target`, where nothing is, also to another disk; missing folders are made. Raises
    UserError, with it where it was, if the system refuses, as Windows does for what is open.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # another disk
                raise
            shutil.move(path, target)
    except OSError as error:
        raise UserError(
            f"'{path.name}' could not be moved: {reason(error)}.", "Close what has it open, then try again."
        ) from error
    return target


def first_free(name: Callable[[int], T], is_taken: Callable[[T], bool]) -> T:
    """The first of name(1), name(2), ... that is not taken."""
    return next(found for number in itertools.count(1) if not is_taken(found := name(number)))


def sendable(text: str) -> str:
    """The text as UTF-8 can hold it: a file's name that came from a system with another encoding, such as out of an old
    zip, holds bytes that Python shows as lone surrogates; these become question marks.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def state_of(files: Iterable[Path]) -> tuple[int, int]:
    """Total size in bytes and latest modification time in ns, by which caches notice a change; zeros if a file is
    missing.
    """
    try:
        states = [file.stat() for file in files]
    except OSError:
        return 0, 0
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


def reason(error: OSError) -> str:
    """Why the system refused, in plain words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing there is not allowed"
    return error.strerror or str(error)
