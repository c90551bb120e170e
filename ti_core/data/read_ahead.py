"""Works on many files with all cores, a few ahead of whoever takes the results, so that a thousand photos never lie in memory together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ti_core.errors import Interrupted

MOST_WORKERS = 8
"""Photos of 24 megapixels are 72 MB each while they are worked on."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(work: Callable[[Item], Result], items: Iterable[Item], stop: threading.Event | None = None) -> Iterator[Result]:
    """work(item) of each item, in order. Pillow lets other threads run while it decodes. Raises what `work` raises, and Interrupted."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield _next(waiting, stop)
            while waiting:
                yield _next(waiting, stop)
        finally:
            for future in waiting:
                future.cancel()


def _next(waiting: deque[Future[Result]], stop: threading.Event | None) -> Result:
    if stop is not None and stop.is_set():
        raise Interrupted
    return waiting.popleft().result()
