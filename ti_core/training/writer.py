"""Writes a run's pictures, copies and states on a thread of its own, in order, so that the loop waits for no disk
and no PNG.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

MOST_WAITING = 8
"""So that memory does not fill when a disk is slower than the training; then the loop does wait."""


class Writer:
    """What failed is raised by the next `put`, or by `finish`, and nothing is written after it. As a context
    manager it ends its thread.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="run-writer")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def put(self, write: Callable[[], object]) -> Future[None]:
        """Have it done after all that was put before; the returned future completes when it is done. Raises what an
        earlier one raised.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._do, write))
        return self._waiting[-1]

    def finish(self) -> None:
        """Wait until all is written. Raises what one of them raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def _do(self, write: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            write()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
