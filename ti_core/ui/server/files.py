"""The files that a job has announced, under addresses that tell nothing of the server's folders."""

from __future__ import annotations

import contextlib

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from ti_core.errors import UserError
from ti_core.files import sendable
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import picture_answer

SMALL_PX, SMALL_BYTES = 224, 40_000
"""A picture of more bytes is sent as a copy of this size to those who ask for a small one: a filmstrip shows many."""
SHOWN_IN_PAGE = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}


def file_routes(context: AppContext) -> list[Route]:
    """`files/<key>/<name>`, with `small` for a small copy of a picture; AccessMiddleware has asked for the
    login before.
    """

    def fetch(request: Request) -> Response:
        path = context.published.get(request.path_params["key"])
        if path is None or sendable(path.name) != request.path_params["name"] or not path.is_file():
            return PlainTextResponse("This file is not there any more.", 404)
        kind = SHOWN_IN_PAGE.get(path.suffix.lower())
        if kind:
            if "small" in request.query_params and path.stat().st_size > SMALL_BYTES:
                with contextlib.suppress(UserError):
                    return picture_answer(path, SMALL_PX)
            return FileResponse(path, media_type=kind)
        return FileResponse(path, media_type="application/octet-stream", filename=sendable(path.name))

    return [Route("/files/{key}/{name}", fetch, methods=["GET"])]
