"""The most memory that a block held, looked at again and again beside it."""

from __future__ import annotations

import threading

import psutil


class Peak:
    """`bytes` is the most that this process held. With `own`, pages of weights files that are mapped do not count,
    where the system tells them apart (Linux): it takes them back when it needs the room.
    """

    def __init__(self, every_s: float, own: bool = False) -> None:
        self._every_s, self._own, self._process, self._ended = every_s, own, psutil.Process(), threading.Event()
        self.bytes = self.before = self._held()

    def _held(self) -> int:
        memory = self._process.memory_info()
        return int(memory.rss - (getattr(memory, "shared", 0) if self._own else 0))

    def __enter__(self) -> Peak:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            self.bytes = max(self.bytes, self._held())

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()

    @property
    def more_mb(self) -> int:
        """Over what was held before the block."""
        return round((self.bytes - self.before) / 2**20)
