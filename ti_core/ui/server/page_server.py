"""The HTTP server under the page: gradio's, but with limits, our own guard outermost, and no belief in headers
about the sender.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ti_core.program.ports import open_socket
from ti_core.ui.server.connections import Connections, LimitedConnection, raise_file_limit
from ti_core.ui.server.gradio_internals import HttpServer, server_started_by

STARTS_WITHIN_S = 60.0
CLOSES_WITHIN_S = 3


class PageServer(HttpServer):
    """Listens at a socket that was opened before, so that a port that is taken is told at once."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        super().__init__(config)
        self.listening = listening

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the page is closed; blocks."""
        super().run(sockets=[self.listening])

    def run_in_thread(self) -> None:
        """Serve in a thread. Returns when the page can be opened. Raises OSError if it never can."""
        self.thread = threading.Thread(target=self.run, name="page-server", daemon=True)
        self.thread.start()
        end = time.monotonic() + STARTS_WITHIN_S
        while not self.started:
            if time.monotonic() > end or not self.thread.is_alive():
                raise OSError("the page's server did not start")
            time.sleep(0.01)


@contextmanager
def guarded_server(guard: Any) -> Iterator[None]:
    """Inside, `Blocks.launch()` starts our server with `guard(app)` in place of its own server with the bare app.

    Gradio's middleware comes outside of every other that it is given, so one that is given to it sees no preflight
    requests and cannot take gradio's CORS headers away.
    """
    started: list[PageServer] = []
    with server_started_by(partial(_start, guard, started)):
        yield
    if not started:  # a gradio that starts its server in another way: better no page than one without its guard
        raise RuntimeError(
            "the page was started without its guard; use the version of gradio that requirements.txt names"
        )


def _start(
    guard: Any, started: list[PageServer], app: Any, server_name: str, server_port: int, **_: Any
) -> tuple[str, int, str, PageServer]:
    """As gradio's start_server. Raises OSError if the port is taken."""
    for host in {"127.0.0.1", server_name} - {
        server_name
    }:  # one system lets two programs share a port if only one of them names the address
        open_socket(host, server_port).close()
    listening = open_socket(server_name, server_port)
    guarded: ASGIApp = guard(app)
    connection: Any = partial(LimitedConnection, connections=Connections(raise_file_limit()))
    config = uvicorn.Config(
        guarded,
        host=server_name,
        port=server_port,
        log_level="warning",
        use_colors=False,
        http=connection,
        ws="none",
        proxy_headers=False,  # who connects here may write any X-Forwarded-For
        server_header=False,
        timeout_graceful_shutdown=CLOSES_WITHIN_S,
    )
    server = PageServer(config, listening)
    server.run_in_thread()
    started.append(server)
    shown = "localhost" if server_name == "0.0.0.0" else server_name
    return server_name, listening.getsockname()[1], f"http://{shown}:{listening.getsockname()[1]}/", server
