"""Where the page is found: under which host names, below which path, and in whose frames; and what a Hugging Face Space
says of that in its environment.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ti_core.errors import UserError

LOCAL_HOSTS = ("127.0.0.1", "localhost")
EVERY_HOST = "*"
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.\-]*[A-Za-z0-9_])?")
_ORIGIN = re.compile(r"https?://(\*\.)?[A-Za-z0-9_.\-]+(:\d{1,5})?")
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~\-]+)+")

HUB = "https://huggingface.co"
SPACE_STORAGE = Path("/data")
"""Where a Space has what outlives its restart, if its owner has ordered such storage."""
SPACE_PORT = 7860


@dataclass(frozen=True)
class Place:
    """`hosts` are the names that the page answers to (`*.name` for all below it, `*` for all), `frames` the origins of
    the pages that may frame it, `root_path` the path that a proxy has put before it, such as /ti.
    """

    hosts: tuple[str, ...] = LOCAL_HOSTS
    frames: tuple[str, ...] = ()
    root_path: str = ""

    def path_here(self, path: str) -> str:
        """The path without `root_path`, which some proxies take away and some leave. However often it is there: gradio
        takes it away too, and would see another address than the guard.
        """
        while self.root_path and (path == self.root_path or path.startswith(self.root_path + "/")):
            path = path[len(self.root_path) :] or "/"
        return path

    def refused_host(self, header: str) -> str:
        """A sentence if the page does not answer to the name in a request's Host header; empty if it does."""
        host = header.rpartition(":")[0] if re.search(r":\d*$", header) else header
        name = host.lower().rstrip(".")
        for known in map(str.lower, self.hosts):
            if known in (EVERY_HOST, name) or (known.startswith("*.") and name.endswith(known[1:])):
                return ""
        if not _HOST.fullmatch(name):
            return "This page does not know the host name in the request."
        return f"This page does not know the name {name}. If it is yours, start the program with: --allow-host {name}"


# ---- flags


def add_hosting_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `place_of` reads."""
    parser.add_argument(
        "--root-path",
        metavar="/PATH",
        default=os.environ.get("GRADIO_ROOT_PATH", ""),
        help="the path below which a reverse proxy shows the page, such as /ti",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="host name under which a reverse proxy shows the page; asks for a password; may be given several times",
    )
    parser.add_argument(
        "--allow-frame",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="web site that may show the page in a frame, such as https://example.org; may be given several times",
    )


def place_of(options: argparse.Namespace) -> Place:
    """The place by the flags. Raises UserError for values that cannot be."""
    for name in options.allow_host:
        if not _HOST.fullmatch(name):
            raise UserError(
                f"--allow-host '{name}' is no host name.", "Give the name alone, without https:// and port: my.name.org"
            )
    for origin in options.allow_frame:
        if not _ORIGIN.fullmatch(origin):
            raise UserError(
                f"--allow-frame '{origin}' is no origin of a web site.",
                "Give scheme and name, without a path: https://example.org",
            )
    root_path = options.root_path.rstrip("/")
    if root_path and not _ROOT_PATH.fullmatch(root_path):
        raise UserError(
            f"--root-path '{options.root_path}' is no path.", "Give the path alone, with / before it: --root-path /ti"
        )
    hosts = (EVERY_HOST,) if options.listen else LOCAL_HOSTS
    share = ("*.gradio.live",) if options.share else ()
    return Place((*hosts, *share, *options.allow_host), tuple(options.allow_frame), root_path)


# ---- a Hugging Face Space


def adapt_to_space(options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> bool:
    """On a Hugging Face Space, change the flags to what one needs; returns whether it is one.

    The page listens, the hub may frame it, and what is made lies in the storage that outlives a restart, if there is
    one. Without a login, in the secret TI_AUTH, everybody may look, and nobody may change anything.
    """
    if not environment.get("SPACE_ID"):
        return False
    options.listen = True
    port = environment.get("GRADIO_SERVER_PORT", "")
    if options.port is None:
        options.port = int(port) if port.isdigit() else SPACE_PORT
    if HUB not in options.allow_frame:
        options.allow_frame.append(HUB)
    if options.workspace == "." and os.access(SPACE_STORAGE, os.W_OK):
        options.workspace = str(SPACE_STORAGE)
    return True
