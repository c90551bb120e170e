"""A1111's short hash of a checkpoint: the first 10 hex digits of the file's SHA-256 (A1111 1.10.1,
modules/sd_models.py: CheckpointInfo.calculate_shorthash).
Hashes are cached by path, size and time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ti_core.checkpoints.facts import weights_of
from ti_core.errors import UserError
from ti_core.files import load_json, save_text, state_of

BLOCK = 4 * 2**20
DIGITS = 10
OnProgress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all; may raise to stop."""


def short_hash(path: Path, cache_file: Path, on_progress: OnProgress | None = None) -> str:
    """The hash of a single file, or of the UNet's weights in a diffusers folder; 7 GB take about 15 s, once.

    If the cache cannot be written, the hash is computed again next time. Raises UserError if a file cannot be read.
    """
    if known := known_hash(path, cache_file):
        return known
    files = _hashed_files(path)
    digest, done = hashlib.sha256(), 0
    try:
        total = sum(file.stat().st_size for file in files)
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
                    done += len(block)
                    if on_progress:
                        on_progress(done, total)
    except OSError as error:
        raise UserError(
            f"'{path.name}' cannot be read: {error.strerror or error}.", "Check the file and the disk."
        ) from error
    short = digest.hexdigest()[:DIGITS]
    # Entries of files that are gone are dropped, so that the cache does not grow for ever.
    cache = {key: entry for key, entry in load_json(cache_file).items() if Path(key).exists()}
    cache[str(path.absolute())] = {"state": list(state_of(files)), "sha256": digest.hexdigest()}
    with contextlib.suppress(UserError):
        save_text(cache_file, json.dumps(cache, indent=1))
    return short


def known_hash(path: Path, cache_file: Path) -> str:
    """The cached hash, empty if the file was never hashed or has changed since."""
    entry = load_json(cache_file).get(str(path.absolute()))
    if not isinstance(entry, dict) or entry.get("state") != list(state_of(_hashed_files(path))):
        return ""
    return str(entry.get("sha256", ""))[:DIGITS]


class HashInWork:
    """The hash of a checkpoint, computed on a thread of its own while the model is loaded and trained: it is needed
    only when a file is written. `on_progress` is called only while somebody waits.
    """

    def __init__(self, path: Path, cache_file: Path, on_progress: OnProgress | None = None) -> None:
        self._on_progress, self._is_awaited = on_progress, threading.Event()
        self._then: list[Callable[[str], object]] = []
        self._lock, self._future = threading.Lock(), Future[str]()
        self._future.add_done_callback(self._tell)
        threading.Thread(target=self._compute, args=(path, cache_file), name="checkpoint-hash", daemon=True).start()

    def _compute(self, path: Path, cache_file: Path) -> None:
        try:
            self._future.set_result(short_hash(path, cache_file, self._progress))
        except Exception as error:  # noqa: BLE001 - none is lost: `result()` raises it where it is asked for
            self._future.set_exception(error)

    def _progress(self, done: int, total: int) -> None:
        if self._is_awaited.is_set() and self._on_progress:
            self._on_progress(done, total)

    @property
    def known(self) -> str:
        """What is known without waiting; empty while it is computed, or where the file cannot be read."""
        is_known = self._future.done() and not self._future.exception()
        return self._future.result() if is_known else ""

    def result(self) -> str:
        """Waits for it. Raises UserError if the file cannot be read."""
        self._is_awaited.set()
        return self._future.result()

    def then(self, use: Callable[[str], object]) -> None:
        """Have `use` called with it as soon as it is known, on whatever thread; not if the file cannot be read."""
        with self._lock:
            if not self._future.done():
                self._then.append(use)
                return
        if self.known:
            use(self.known)

    def _tell(self, future: Future[str]) -> None:
        with self._lock:
            waiting, self._then = self._then, []
        for use in waiting if not future.exception() else ():
            use(future.result())


def _hashed_files(path: Path) -> list[Path]:
    return weights_of(path / "unet") if path.is_dir() else [path]
