"""How many connections a server holds open and for how long, so that whoever knocks without coming in keeps nobody
else out.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import h11

from ti_core.ui.server.gradio_internals import HttpConnection

WANTED_FILES = 4096
"""Open files that the server asks the system for; macOS gives 256 to whoever does not ask."""
FILES_FOR_ELSE = 150
"""For everything but connections."""
MOST_CONNECTIONS = 1000
SHARE_OF_STRANGERS, SHARE_OF_A_LOGIN = 0.2, 0.4
"""Of all connections, so that two logins and the strangers have room beside each other."""
HEAD_WITHIN_S = 10.0
"""From the opening of a connection, or the answer before, until the next request's headers are there."""
MOST_IGNORED_BYTES = 2**20
"""Of a body that was refused before it was read. The connection of a stranger who goes on sending is cut."""


def raise_file_limit() -> int:
    """Ask the system for enough open files; returns how many connections there is room for."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(20, min(MOST_CONNECTIONS, soft - FILES_FOR_ELSE))


@dataclass
class Connections:
    """All open connections of a server, by the name of who has logged in on them; strangers have the name "".

    When a group is full, its oldest idle connection is closed for the new one, and not the new one refused: the
    owner, who is a stranger until the login, always gets a connection.
    """

    room: int = MOST_CONNECTIONS
    of: dict[str, dict[LimitedConnection, None]] = field(default_factory=dict)

    def most(self, name: str) -> int:
        """How many connections this login, or all strangers together, may hold."""
        return max(4, int(self.room * (SHARE_OF_A_LOGIN if name else SHARE_OF_STRANGERS)))

    def add(self, connection: LimitedConnection, name: str) -> None:
        """Count a new connection, and close another one of its group if that is full."""
        group = self.of.setdefault(name, {})
        group[connection] = None
        while len(group) > self.most(name):
            worst = self._to_close([other for other in group if other is not connection])
            del group[worst]
            worst.cut()

    def remove(self, connection: LimitedConnection, name: str) -> None:
        """Forget a connection that was closed."""
        group = self.of.get(name, {})
        group.pop(connection, None)
        if not group:
            self.of.pop(name, None)

    def _to_close(self, others: list[LimitedConnection]) -> LimitedConnection:
        """Of the address that holds the most: the oldest one without a request, else the oldest one."""
        counts = Counter(other.address for other in others)
        most = max(counts.values())
        crowded = [other for other in others if counts[other.address] == most]
        return next((other for other in crowded if not other.is_busy), crowded[0])


class LimitedConnection(HttpConnection):
    """uvicorn's connection, with a time limit for each request's headers and a place in `Connections`. Requests
    find it in `scope["state"]`.
    """

    def __init__(self, *given: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*given, **named)
        self.all = connections
        self.name = ""
        self.address = ""
        # uvicorn copies this into the scope of every request, where AccessMiddleware finds it
        self.app_state = {**self.app_state, "connection": self}
        self._ignored = 0
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """uvicorn calls it when somebody has connected."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self.all.add(self, self.name)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn calls it when the connection has ended."""
        self.all.remove(self, self.name)
        if self._head_timer:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """uvicorn calls it with whatever arrives."""
        if self._ignores_a_body:  # the rest of what was refused: read and thrown away, up to a limit
            self._ignored += len(data)
            if self._ignored > MOST_IGNORED_BYTES and not self.name:
                self.cut()
                return
        super().data_received(data)

    def on_response_complete(self) -> None:
        """uvicorn calls it when an answer has been sent."""
        self._ignored = 0
        self._expect_head()
        super().on_response_complete()

    def belongs_to(self, name: str) -> None:
        """Say who has logged in; "" for nobody."""
        if name != self.name and not self.transport.is_closing():
            self.all.remove(self, self.name)
            self.name = name
            self.all.add(self, name)

    def cut(self) -> None:
        """Close the connection at once, without an answer."""
        self.transport.abort()

    @property
    def _ignores_a_body(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY

    def _expect_head(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._head_is_late)

    def _head_is_late(self) -> None:
        """A request that is being answered has its own time; so has the rest of an upload that was refused, of
        somebody who may upload.
        """
        if not self.is_busy and not (self._ignores_a_body and self.name):
            self.cut()
