"""Ports of this computer: which are free."""

from __future__ import annotations

import socket
import sys

EVERYWHERE, HERE = "0.0.0.0", "127.0.0.1"
TRIES = 100
LAST_PORT = 65535


def open_socket(host: str, port: int) -> socket.socket:
    """A socket at this port. Raises OSError if another program has it."""
    opened = socket.socket()
    try:
        if sys.platform != "win32":  # there, it would let two programs share the port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def first_free_port(port: int, listen: bool = False) -> int:
    """The first free one of a hundred from `port` on, for others too if `listen`; `port` itself if none is."""
    for found in range(port, min(port + TRIES, LAST_PORT + 1)):
        try:
            for host in (HERE, EVERYWHERE) if listen else (HERE,):  # some systems let two programs have one each
                open_socket(host, found).close()
        except OSError:
            continue
        return found
    return port
