"""Getting a small file from the network, or giving up soon."""

from __future__ import annotations

import threading
import urllib.request

MOST_BYTES = 10_000_000


def fetch_within(url: str, timeout_s: float) -> bytes | None:
    """What is at `url`, None where it does not arrive within `timeout_s` in all.

    It runs in a thread that is left behind if need be, because a name server that does not answer ignores every
    timeout.
    """
    fetched: list[bytes] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                fetched.append(answer.read(MOST_BYTES))
        except (OSError, ValueError):  # no network, no such page
            return

    worker = threading.Thread(target=fetch, daemon=True)
    worker.start()
    worker.join(timeout_s)
    return fetched[0] if fetched else None
