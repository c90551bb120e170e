"""Works on many files with all cores, a few ahead of whoever takes the results, so that a thousand photos never lie
in memory together.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ti_core.errors import Interrupted

CORES = os.cpu_count() or 1
MOST_WORKERS = 32
MOST_WEIGHT = max(100_000_000, 13_000_000 * min(CORES, MOST_WORKERS))
"""Pixels that are worked on at once: eight photos of 12 megapixels or one for each core, or one of 100, which takes
0.4 GB for each copy of it.
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    stop: threading.Event | None = None,
    weigh: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result]:
    """work(item) of each item, in order. Pillow lets other threads run while it decodes. Raises what `work` raises,
    and Interrupted.

    `weigh` gives an item's pixels: so many items are worked on, or wait to be taken, that these stay within
    MOST_WEIGHT; a heavier one is alone.
    """
    workers = min(CORES, MOST_WORKERS)
    waiting: deque[tuple[int, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                weight = weigh(item)
                while waiting and weight + sum(other for other, _ in waiting) > MOST_WEIGHT:
                    yield _next(waiting, stop)
                waiting.append((weight, pool.submit(work, item)))
                del item  # a photo that is taken is not held until the next one comes
                if len(waiting) > workers:
                    yield _next(waiting, stop)
            while waiting:
                yield _next(waiting, stop)
        finally:
            for _, future in waiting:
                future.cancel()


def _next(waiting: deque[tuple[int, Future[Result]]], stop: threading.Event | None) -> Result:
    if stop is not None and stop.is_set():
        raise Interrupted
    return waiting.popleft()[1].result()
