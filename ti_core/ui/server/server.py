"""Serves the page: who may come in, under which names, what may be fetched, and the public link."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ti_core.data.images import open_only_known_formats
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceMonitor
from ti_core.settings import PORTRAITS
from ti_core.ui.a1111_api import a1111_routes
from ti_core.ui.desk import Desk
from ti_core.ui.live.live import live_routes
from ti_core.ui.page import TITLE, Page
from ti_core.ui.server.files import file_routes
from ti_core.ui.server.gate import Gate
from ti_core.ui.server.guarded_blocks import fetch_nothing
from ti_core.ui.server.guessing import Guesses, TooManyGuesses
from ti_core.ui.server.page_server import guarded_server
from ti_core.ui.server.roles import Login, Logins
from ti_core.ui.server.uploads import not_stored
from ti_core.workspace import Workspace

STYLE = Path(__file__).parent.parent / "style.css"
MAX_PHOTO_SIZE = "64mb"
SESSIONS = 200
"""Open tabs whose state gradio remembers, half a megabyte each; the longest unused goes first, so that memory stays
flat.
"""


@dataclass(frozen=True)
class Door:
    """How the page is reached. Empty `user` means no login, which is for this computer alone; `look_user` may look
    only.

    `mcp_token` opens the page's functions to assistants.
    """

    port: int = 7860
    listen: bool = False
    share: bool = False
    user: str = ""
    password: str = ""
    look_user: str = ""
    look_password: str = ""
    allow_pickle: bool = False
    mcp_token: str = ""

    @property
    def logins(self) -> Logins:
        trains = {self.user: Login(self.password, may_train=True)} if self.user else {}
        return Logins(
            {self.look_user: Login(self.look_password, may_train=False), **trains}
            if self.look_user and trains
            else trains
        )


def start_page(
    workspace: Workspace,
    door: Door,
    jobs: JobQueue,
    checkpoint: str = PORTRAITS,
    device: DeviceMonitor | None = None,
) -> gr.Blocks:
    """Open the page and return at once; raises UserError if the port is taken. `device` is that of the process that
    trains, if there is one.
    """
    open_only_known_formats()
    allow_pickle = door.allow_pickle or not workspace.confined
    desk = Desk(workspace, jobs, allow_pickle, device=device or DeviceMonitor())
    blocks = Page(desk, checkpoint).build()
    uploads = Path(os.environ.get("GRADIO_TEMP_DIR") or workspace.root / ".gradio" / "uploads")
    guesses = Guesses(door.logins)
    hosts = ["*"] if door.listen else ["127.0.0.1", "localhost", *(["*.gradio.live"] if door.share else [])]

    def guard(app: ASGIApp) -> ASGIApp:
        return TrustedHostMiddleware(Gate(app, guesses, uploads, door.mcp_token), allowed_hosts=hosts)

    _calm(blocks)
    fetch_nothing()
    try:
        with guarded_server(guard):
            blocks.launch(
                server_name="0.0.0.0" if door.listen else "127.0.0.1",
                server_port=door.port,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                auth=login_check(guesses) if door.logins else None,
                auth_message=TITLE,
                theme=_theme(),
                css_paths=[STYLE],
                max_file_size=MAX_PHOTO_SIZE,
                blocked_paths=[str(workspace.root / hidden) for hidden in (".git", ".venv")],
                state_session_capacity=SESSIONS,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=bool(door.mcp_token),
                app_kwargs={
                    "exception_handlers": {OSError: not_stored},
                    "openapi_url": None,
                    "routes": [
                        Route("/robots.txt", _no_robots),
                        *live_routes(desk),
                        *file_routes(desk),
                        *a1111_routes(desk, checkpoint),
                    ],
                },
            )
    except OSError as error:
        raise UserError(
            f"Port {door.port} is taken by another program.", f"Choose another one: --port {door.port + 1}"
        ) from error
    return blocks


def _no_robots(request: Request) -> PlainTextResponse:
    """Whoever finds a public link does not put it into a search engine."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


def _theme() -> gr.themes.Base:
    """Gradio's orange default with the system's font, and help texts dark enough to be read."""
    theme = gr.themes.Default(
        spacing_size="sm",
        radius_size="sm",
        font=["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
    )
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_800",
        button_primary_background_fill="#cb4709",
        button_primary_background_fill_hover="#9a3412",
        button_primary_background_fill_dark="#cb4709",
        button_large_text_size="*text_md",
    )


def _calm(blocks: gr.Blocks) -> None:
    """Gradio's idle queue looks for work a thousand times a second, 5 % of a core that training needs."""
    for name, pause_s in (("sleep_when_free", 0.05), ("progress_update_sleep_when_free", 0.1)):
        if hasattr(blocks._queue, name):
            setattr(blocks._queue, name, pause_s)


def login_check(guesses: Guesses) -> Callable[[str, str], Awaitable[bool]]:
    """Gradio's question whether a name and a password fit.

    It is async because gradio calls it inside its event loop, where a sleeping function would stop every page.
    """

    async def check(name: str, password: str) -> bool:
        try:
            return await guesses.person(name, password) is not None
        except TooManyGuesses as error:
            raise HTTPException(429, error.sentence) from None

    return check


def open_public_link(blocks: gr.Blocks) -> None:
    """Make the gradio.live link in the background: without a network, launch(share=True) would hold the page up for
    half a minute.

    `blocks.share` stays False: with it gradio sends a page whose program comes from a server of its makers.
    """

    def tunnel() -> None:
        from gradio import networking

        try:
            address = networking.setup_tunnel(
                local_host="127.0.0.1",
                local_port=blocks.server_port,
                share_token=blocks.share_token,
                share_server_address=None,
                share_server_tls_certificate=None,
            )
        except Exception as error:  # whatever the tunnel's trouble is, the page on this computer goes on
            logging.getLogger(__name__).debug("no public link", exc_info=error)
            print(
                "Public page: none, because the share service could not be reached. The page works on this computer.",
                flush=True,
            )
            return
        blocks.share_url = "https://" + address.split("://", 1)[-1]
        print(f"Public page: {blocks.share_url} (while this program runs, a week at most)", flush=True)

    threading.Thread(target=tunnel, name="public-link", daemon=True).start()
