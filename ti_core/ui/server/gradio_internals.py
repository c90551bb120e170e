"""All that we use of gradio, starlette and uvicorn beyond what they document, so that an update has one file to read.

What changes how they work stands beside it: `guarded_blocks.py`, `connections.py` and `editor_blobs.py`.
`missing_parts()` says which parts an installed version lacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import gradio as gr
import orjson
from gradio import http_server, networking, processing_utils, routes
from gradio.context import Context, LocalContext
from gradio.utils import get_upload_folder
from starlette.requests import cookie_parser
from uvicorn.protocols.http.h11_impl import H11Protocol

from ti_core.errors import UserError
from ti_core.files import sendable

SEEN_IN = {"gradio": "6.31.0", "starlette": "1.10.0", "uvicorn": "0.54.0"}
"""The versions in which all of this was looked at and tested."""
PARTS = {
    "gradio.context": ("LocalContext.request", "Context.root_block"),
    "gradio.components": ("ImageEditor.accept_blobs",),
    "gradio.blocks": ("Blocks.process_api", "Blocks.launch", "Blocks.fns"),
    "gradio.queueing": ("Queue.start_processing",),
    "gradio.routes": ("App.create_app", "orjson.dumps"),
    "gradio.http_server": ("Server.run_in_thread", "Server.run", "start_server"),
    "gradio.networking": ("setup_tunnel",),
    "gradio.utils": ("get_upload_folder",),
    "gradio.processing_utils": ("async_ssrf_protected_get", "async_ssrf_protected_download"),
    "starlette.requests": ("cookie_parser",),
    "uvicorn.protocols.http.h11_impl": (
        *(f"H11Protocol.{name}" for name in ("connection_made", "connection_lost", "data_received")),
        "H11Protocol.on_response_complete",
    ),
}
"""Module -> names in it. What exists only in objects is looked at by `tests/ui/server/test_gradio_internals.py`."""
IDLE_PAUSES_S = {"sleep_when_free": 0.05, "progress_update_sleep_when_free": 0.1}

HttpServer = http_server.Server
"""gradio's server: `page_server.py` starts it on a socket of its own."""
HttpConnection = H11Protocol
"""uvicorn's connection: `connections.py` gives it time limits. It reads `client`, `cycle`, `conn` and `loop`."""


def upload_folder() -> str:
    """gradio's cache: what lies in it is served as it is to whoever may see the page."""
    return str(get_upload_folder())


def page_being_built() -> gr.Blocks:
    """The page inside whose `with` this is called; a component's `parent` does not always lead to it later."""
    assert Context.root_block, "components are made inside gr.Blocks"
    return Context.root_block


def missing_parts() -> list[str]:
    """Which parts the installed versions lack, such as `gradio.networking.setup_tunnel`; empty if all are there."""
    return [f"{module}.{name}" for module, names in PARTS.items() for name in names if not _is_there(module, name)]


def _is_there(module: str, name: str) -> bool:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def check_parts() -> None:
    """Raise UserError if a part is missing: better no page than one whose guards do not hold."""
    if missing := missing_parts():
        raise UserError(
            f"The installed version of gradio or of what it uses lacks {', '.join(missing)}.",
            "Install the versions that requirements.txt names.",
        )


# ---- who calls


def current_request() -> Any:
    """gradio's request of the call under way, also inside a component's server function; None outside of any call."""
    return LocalContext.request.get(None)


def logins_by_token(app: Any) -> MutableMapping[str, str]:
    """Token of a browser -> the name that logged in with it. gradio never forgets one."""
    found: MutableMapping[str, str] = getattr(app, "tokens", {})
    return found


def login_cookies(app: Any) -> list[str]:
    """The names of the cookies that hold a login's token; over plain http a browser keeps the second one alone."""
    number = getattr(app, "cookie_id", "")
    return [f"access-token-{number}", f"access-token-unsecure-{number}"]


def parse_cookies(header: str) -> dict[str, str]:
    """Name -> value, as gradio's own login reads the header."""
    return cookie_parser(header)


# ---- what it does by itself


def handlers_of(blocks: gr.Blocks) -> Collection[Any]:
    """Everything that can be called in a page: each with `fn`, `inputs`, `api_name` and `api_visibility`."""
    return blocks.fns.values()


def calm_queue(blocks: gr.Blocks) -> None:
    """gradio's idle queue looks for work a thousand times a second, 5 % of a core that training needs."""
    for name, pause_s in IDLE_PAUSES_S.items():
        if hasattr(blocks._queue, name):
            setattr(blocks._queue, name, pause_s)


def fetch_nothing() -> None:
    """Close the ways by which gradio's components download what they are given the address of. Page or guest,
    nobody needs them here.
    """
    processing_utils.async_ssrf_protected_get = _fetch_nothing
    processing_utils.async_ssrf_protected_download = _fetch_nothing


class _Json:
    """orjson, but a file's name that is no UTF-8 is sent with question marks, and does not break the whole page."""

    def __getattr__(self, name: str) -> Any:
        return getattr(orjson, name)

    @staticmethod
    def dumps(content: Any, default: Callable[[Any], Any] | None = None, option: int | None = None) -> bytes:
        """As orjson's. Raises TypeError for what is no JSON."""
        try:
            return orjson.dumps(content, default, option)
        except TypeError:
            fallback = None if default is None else lambda value: _sendable(default(value))
            return orjson.dumps(_sendable(content), fallback, option)


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return sendable(value)
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list | tuple) else value


def send_any_name() -> None:
    """Let gradio's answers hold names of files that are no UTF-8."""
    routes.orjson = _Json()  # type: ignore[attr-defined]


async def _fetch_nothing(*_: Any, **__: Any) -> Any:
    raise UserError("Nothing is fetched from other servers.", "Save the file, and drop it on the page.")


@contextmanager
def server_started_by(start: Callable[..., tuple[str, int, str, Any]]) -> Iterator[None]:
    """Inside, `Blocks.launch()` calls `start(app=..., server_name=..., server_port=..., ...)` in place of gradio's
    `start_server`, for which it has no setting.
    """
    before = http_server.start_server
    http_server.start_server = start
    try:
        yield
    finally:
        http_server.start_server = before


def open_tunnel(blocks: gr.Blocks) -> str:
    """Make a gradio.live link to a page that runs on this computer, and return its address (https). Raises whatever
    the tunnel's trouble is.
    """
    address = networking.setup_tunnel(
        local_host="127.0.0.1",
        local_port=blocks.server_port,
        share_token=blocks.share_token,
        share_server_address=None,
        share_server_tls_certificate=None,
    )
    return "https://" + str(address).split("://", 1)[-1]
