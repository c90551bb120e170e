"""What is asked of work that is under way: to stop, or for something in between."""

from __future__ import annotations

import queue
import threading

PICTURE, SAVE = "picture", "save"
WISHES = (PICTURE, SAVE)
"""What a training does when the update under way is done: paint a preview; save a copy and its state."""


class Control(threading.Event):
    """The flag that stops work; and the wishes that it takes up when it comes to them. Any thread may wish."""

    def __init__(self) -> None:
        super().__init__()
        self._wishes: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(self, wish: str) -> None:
        """Have it done soon; the work itself knows what that means."""
        self._wishes.put(wish)

    def take(self) -> list[str]:
        """The wishes since the last time."""
        return [self._wishes.get() for _ in range(self._wishes.qsize())]


def wishes_of(stop: threading.Event) -> list[str]:
    """The wishes since the last time; none where work was begun with a flag that only stops it."""
    return stop.take() if isinstance(stop, Control) else []
