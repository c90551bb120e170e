"""Serves the page: who may come in, under which names, what may be fetched, and the public link."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ti_core.data.images import open_only_known_formats
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceMonitor
from ti_core.program.ports import first_free_port
from ti_core.settings import PORTRAITS
from ti_core.ui.a1111_api import a1111_routes
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.live import live_routes
from ti_core.ui.live.run_list import run_routes
from ti_core.ui.page import TITLE, Page
from ti_core.ui.photos_panel import photo_routes
from ti_core.ui.server.access import AccessMiddleware
from ti_core.ui.server.editor_blobs import bound_blobs
from ti_core.ui.server.files import file_routes
from ti_core.ui.server.gradio_internals import calm_queue, check_parts, fetch_nothing, open_tunnel, send_any_name
from ti_core.ui.server.guessing import Guesses, TooManyGuesses
from ti_core.ui.server.hosting import EVERY_HOST, LOCAL_HOSTS, Place
from ti_core.ui.server.page_server import guarded_server
from ti_core.ui.server.roles import AT_THIS_COMPUTER, VISITOR, Login, Logins
from ti_core.ui.server.uploads import not_stored
from ti_core.ui.translations import translation_script
from ti_core.workspace import Workspace

STYLE = Path(__file__).parent.parent / "style.css"
MAX_PHOTO_SIZE = "64mb"
SESSIONS = 200
"""Open tabs whose state gradio remembers, half a megabyte each; the longest unused goes first, so that memory stays
flat.
"""


@dataclass(frozen=True)
class ServerOptions:
    """How the page is reached. Empty `user` means no login, which is for this computer alone; `look_user` may look
    only.

    `mcp_token` opens the page's functions to assistants. `place` says where the page is found; without one, under the
    names that `listen` and `share` bring. `all_may_look` is for a page without login that nobody may change.
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
    place: Place | None = None
    all_may_look: bool = False
    more_logins: tuple[tuple[str, str], ...] = ()
    """Names and passwords of further people who may train, beside `user`."""

    @property
    def found_at(self) -> Place:
        """`place`, or what goes with `listen` and `share`."""
        public = ("*.gradio.live",) if self.share else ()
        return self.place or Place((EVERY_HOST,) if self.listen else (*LOCAL_HOSTS, *public))

    @property
    def logins(self) -> Logins:
        """The logins that these options make: none, one, or one more that may only look."""
        pairs = ((self.user, self.password), *self.more_logins) if self.user else ()
        trains = {name: Login(password, may_train=True) for name, password in pairs}
        return Logins(
            {self.look_user: Login(self.look_password, may_train=False), **trains}
            if self.look_user and trains
            else trains
        )


def start_page(
    workspace: Workspace,
    options: ServerOptions,
    jobs: JobQueue,
    checkpoint: str = PORTRAITS,
    device: DeviceMonitor | None = None,
) -> gr.Blocks:
    """Open the page and return at once. Raises UserError if the port is taken, or gradio is not the one we know.
    `device` is that of the process that trains, if there is one.
    """
    # What must hold before the first request comes.
    check_parts()
    open_only_known_formats()
    fetch_nothing()
    bound_blobs()
    send_any_name()

    # The page, and what stands before it.
    allow_pickle = options.allow_pickle or not workspace.confined
    context = AppContext(workspace, jobs, allow_pickle, device=device or DeviceMonitor())
    blocks = Page(context, checkpoint).build()
    uploads = Path(os.environ.get("GRADIO_TEMP_DIR") or workspace.root / ".gradio" / "uploads")
    guesses = Guesses(options.logins)
    calm_queue(blocks)
    try:
        with guarded_server(partial(_guarded, options, guesses, uploads)):
            blocks.launch(
                server_name="0.0.0.0" if options.listen else "127.0.0.1",
                server_port=options.port,
                root_path=options.found_at.root_path,
                share=False,  # `open_public_link` does it in the background
                prevent_thread_lock=True,
                _frontend=False,  # else a busy computer that needs 3 s for the first page gets none at all
                quiet=True,
                auth=login_check(guesses) if options.logins else None,
                auth_message=TITLE,
                theme=_theme(),
                css_paths=[STYLE],
                head=translation_script(),
                max_file_size=MAX_PHOTO_SIZE,
                blocked_paths=[str(workspace.root / hidden) for hidden in (".git", ".venv")],
                state_session_capacity=SESSIONS,
                # What gradio offers beside the page is closed: it tells of others, or writes.
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=bool(options.mcp_token),
                app_kwargs={
                    "exception_handlers": {OSError: not_stored},
                    "openapi_url": None,
                    "routes": _own_routes(context, checkpoint),
                },
            )
    except OSError as error:
        free = first_free_port(options.port + 1, options.listen)
        raise UserError(
            f"Port {options.port} is taken by another program.", f"Choose another one: --port {free}"
        ) from error
    return blocks


def _guarded(options: ServerOptions, guesses: Guesses, uploads: Path, app: ASGIApp) -> ASGIApp:
    visitor = VISITOR if options.all_may_look else AT_THIS_COMPUTER
    return AccessMiddleware(app, guesses, uploads, options.mcp_token, options.found_at, visitor)


def _own_routes(context: AppContext, checkpoint: str) -> list[Route]:
    """The addresses beside gradio's."""
    ours = (
        live_routes(context),
        run_routes(context),
        file_routes(context),
        photo_routes(context),
        a1111_routes(context, checkpoint),
    )
    return [Route("/robots.txt", _no_robots), *(route for routes in ours for route in routes)]


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
        try:
            blocks.share_url = open_tunnel(blocks)
        except Exception as error:  # whatever the tunnel's trouble is, the page on this computer goes on
            logging.getLogger(__name__).debug("no public link", exc_info=error)
            print(
                "Public page: none, because the share service could not be reached. The page works on this computer.",
                flush=True,
            )
            return
        print(f"Public page: {blocks.share_url} (while this program runs, a week at most)", flush=True)

    threading.Thread(target=tunnel, name="public-link", daemon=True).start()
