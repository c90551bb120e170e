"""Stands before gradio: says who sends a request, closes what gradio leaves open, and limits what is sent."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ti_core.ui.server.gradio_internals import login_cookies, logins_by_token, parse_cookies
from ti_core.ui.server.guessing import Guesses, TooManyGuesses
from ti_core.ui.server.headers import guarded_headers
from ti_core.ui.server.hosting import Place
from ti_core.ui.server.origin import is_foreign
from ti_core.ui.server.roles import ASSISTANT, AT_THIS_COMPUTER, STRANGER, Logins, Person

MCP = "/gradio_api/mcp"
A1111 = "/sdapi/"
LOGIN, LOGOUT, UPLOAD = "/login", "/logout", "/gradio_api/upload"
POSTS = ("/gradio_api/queue/join", "/gradio_api/component_server", "/gradio_api/cancel", "/gradio_api/reset")
POSTS_BELOW = ("/gradio_api/run/", "/gradio_api/api/", "/gradio_api/call/", A1111, MCP)
"""What may be sent to gradio. Everything else it can take, such as editing its own source file, is closed."""
CLOSED = (
    "/gradio_api/proxy=",
    "/gradio_api/deep_link",
    "/gradio_api/dev",
    "/gradio_api/profiling",
    "/monitoring",
    "/gradio_api/vibe",
    "/gradio_api/token",
    "/gradio_api/run-history",
    "/gradio_api/runs",
    "/gradio_api/stream",
)
"""GET addresses that write, tell about others or of a login, or fetch from other servers in this one's name."""
FETCHED = ("/gradio_api/file=", "/gradio_api/file/")
OPEN_TO_STRANGERS = (
    "/",
    LOGIN,
    LOGOUT,
    "/theme.css",
    "/gradio_api/theme.css",
    "/gradio_api/startup-events",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
)
OPEN_BELOW = ("/assets/", "/static/", "/svelte/")
"""The login, and gradio's own program, which draws it."""
STREAMS = ("/gradio_api/heartbeat/", "/gradio_api/queue/data", "/gradio_api/call/", "/gradio_api/upload_progress", MCP)
"""GET addresses whose answer goes on for as long as the page is open."""
MOST_STREAMS = 200
"""Of one login."""
MAX_LOGIN_BYTES = 64 * 2**10
MAX_LOOK_BYTES = 2**20
"""Of a request of somebody who may look only: the Captions tab sends its gallery."""
MAX_REQUEST_BYTES = 4 * 2**20
MAX_UPLOAD_BYTES = 512 * 2**20
"""Of one drop; gradio limits each file to 64 MB."""
MAX_UPLOADS_BYTES = 4 * 2**30
"""Of everything that was dropped and not yet cleared away, and of what is still arriving."""
BODY_WITHIN_S = 15.0
"""For a whole request; an upload must bring something new within each UPLOAD_PAUSE_S."""
UPLOAD_PAUSE_S = 60.0
MAX_LOGINS = 5000
"""Gradio never forgets a login; the oldest ones have to log in again."""


class Refusal(Exception):
    """What may not pass, with the HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass
class AccessMiddleware:
    """ASGI middleware around gradio's app, which keeps the logins in its `tokens`.

    `token` opens MCP; without one it is closed. `uploads` is where gradio puts what people drop. `place` says under
    which names the page is found, and in which frames. `visitor` is who comes where no login is asked for.
    """

    app: ASGIApp
    guesses: Guesses
    uploads: Path
    token: str = ""
    place: Place = field(default_factory=Place)
    visitor: Person = AT_THIS_COMPUTER
    _arriving_bytes: int = 0
    _streams: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            if self.place.root_path and scope["path"] == self.place.root_path:
                # the page's addresses are relative, so it lies in a folder
                await RedirectResponse(self.place.root_path + "/")(scope, receive, send)
                return
            if (path := self.place.path_here(scope["path"])) != scope["path"]:
                scope = {**scope, "path": path, "raw_path": path.encode()}
            await self._answer(scope, receive, self._watching(scope, send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    @property
    def logins(self) -> Logins:
        """The names that may log in, with their roles; none on a page for this computer alone."""
        return self.guesses.logins

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # Before anything is read: which address, who asks, and how much is to come.
            self._check_address(scope)
            scope["person"] = person = await self._person(scope)
            _tell_connection(scope, person)
            self._check_person(scope, person)
            length = self._length(scope, person)
            if scope["path"].rstrip("/") == LOGOUT:  # gradio's own would end the logins of others too
                await self._logged_out(scope)(scope, receive, send)
                return
            # An upload goes on to the disk piece by piece; everything else is short, and waited for here.
            is_upload = scope["method"] == "POST" and scope["path"].rstrip("/") == UPLOAD
            if is_upload:
                receive = self._limited(receive, length)
            else:
                receive = _replayed(await _whole_body(receive, length), receive)
        except Refusal as refusal:
            asks = {"WWW-Authenticate": "Basic"} if refusal.status == 401 and scope["path"].startswith(A1111) else {}
            await PlainTextResponse(refusal.sentence, refusal.status, asks)(scope, receive, send)
            return
        await self._passed_on(scope, receive, send, person, length if is_upload else 0)

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send, person: Person, arriving_bytes: int) -> None:
        is_stream = scope["method"] == "GET" and scope["path"].startswith(STREAMS)
        self._streams[person.name] += is_stream
        self._arriving_bytes += arriving_bytes
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving_bytes -= arriving_bytes
            self._streams[person.name] -= is_stream
            self._streams += Counter()  # drops those that are at nought

    # ---- who, and what may pass

    def _check_address(self, scope: Scope) -> None:
        """Raises Refusal for what is closed to everybody, and for what another web site asks for."""
        path, method = scope["path"], scope["method"]
        if refused := self.place.refused_host(_headers(scope).get(b"host", b"").decode("latin-1")):
            _tell_connection(scope, STRANGER)
            raise Refusal(400, refused)
        changes = method not in ("GET", "HEAD") or path.rstrip("/") == LOGOUT
        behind_proxy = bool(self.logins) or not self.visitor.may_train
        if is_foreign(_headers(scope), method, changes, behind_proxy, may_be_framed=bool(self.place.frames)):
            _tell_connection(scope, STRANGER)
            raise Refusal(
                403,
                "An other page than this one asked for it. Open this page itself; a proxy before it must pass on the"
                " Host header.",
            )
        if path.startswith(CLOSED) or any(
            path.startswith(start) and _is_elsewhere(path[len(start) :]) for start in FETCHED
        ):
            raise Refusal(404, "There is nothing here.")
        if method in ("GET", "HEAD") or (method == "DELETE" and path.startswith(MCP)):
            return
        plain = path.rstrip("/")
        if method != "POST" or not (plain in (*POSTS, LOGIN, UPLOAD) or path.startswith(POSTS_BELOW)):
            raise Refusal(404, "There is nothing here.")

    async def _person(self, scope: Scope) -> Person:
        """By the cookie of gradio's login; for programs by a token (MCP) or a name and password in the header
        (A1111's addresses).
        """
        headers = _headers(scope)
        given = headers.get(b"authorization", b"").decode("latin-1")
        if scope["path"].startswith(MCP):
            return (
                ASSISTANT
                if self.token and hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode())
                else STRANGER
            )
        if not self.logins:
            return self.visitor
        if scope["path"].startswith(A1111):
            return await self._by_password(given)
        tokens = logins_by_token(self.app)
        return next(
            (person for token in self._tokens(scope) if (person := self.logins.person(tokens.get(token))).name),
            STRANGER,
        )

    def _tokens(self, scope: Scope) -> list[str]:
        """Those that a browser sends with its cookies."""
        cookies = parse_cookies(_headers(scope).get(b"cookie", b"").decode("latin-1"))
        return [cookies[name] for name in login_cookies(self.app) if name in cookies]

    async def _by_password(self, given: str) -> Person:
        if not given.startswith("Basic "):
            return STRANGER
        try:
            name, _, password = base64.b64decode(given[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return STRANGER
        try:
            return await self.guesses.person(name, password) or STRANGER
        except TooManyGuesses as error:
            raise Refusal(429, error.sentence) from None

    def _check_person(self, scope: Scope, person: Person) -> None:
        path, plain = scope["path"], scope["path"].rstrip("/") or "/"
        if not person.name and path.startswith(MCP):
            raise Refusal(
                401, "MCP needs the token that was printed at the start, in the header 'Authorization: Bearer'."
            )
        if not person.name and plain not in OPEN_TO_STRANGERS and not path.startswith(OPEN_BELOW):
            raise Refusal(401, "A login is needed.")
        if plain == UPLOAD and scope["method"] == "POST" and not person.may_train:
            raise Refusal(403, "You may look, but change nothing here.")
        if scope["method"] == "GET" and path.startswith(STREAMS) and self._streams[person.name] >= MOST_STREAMS:
            raise Refusal(429, f"This login has {MOST_STREAMS} pages open already. Close some.")

    def _length(self, scope: Scope, person: Person) -> int:
        """How long the body is, as the sender says. Raises Refusal, before anything is read, for one that is too
        long, or whose end nobody knows.
        """
        headers, plain = _headers(scope), scope["path"].rstrip("/")
        said = headers.get(b"content-length", b"").decode("latin-1")
        is_upload = plain == UPLOAD and scope["method"] == "POST"
        if b"transfer-encoding" in headers or (is_upload and not said.isdigit()):
            raise Refusal(411, "Say how long it is, in the header Content-Length.")
        length = int(said) if said.isdigit() and len(said) < 19 else 2**62 if said else 0
        if is_upload:
            self._check_upload(length)
            return length
        most = MAX_REQUEST_BYTES if person.may_train else MAX_LOOK_BYTES if person.name else MAX_LOGIN_BYTES
        if scope["method"] in ("GET", "HEAD") or plain == LOGIN:
            most = MAX_LOGIN_BYTES
        if length > most:
            raise Refusal(413, f"That is too long. Send at most {most // 2**10} KB.")
        return length

    def _check_upload(self, length: int) -> None:
        if length > MAX_UPLOAD_BYTES:
            raise Refusal(413, f"That is too much at once. Drop at most {MAX_UPLOAD_BYTES // 2**20} MB.")
        there = (
            sum(file.stat().st_size for file in self.uploads.rglob("*") if file.is_file())
            if self.uploads.is_dir()
            else 0
        )
        if there + self._arriving_bytes + length > MAX_UPLOADS_BYTES:
            raise Refusal(
                413,
                "The server holds too many uploads. They are cleared within a day; the owner can delete them earlier.",
            )

    # ---- bodies and answers

    def _limited(self, receive: Receive, length: int) -> Receive:
        """The upload piece by piece: no more than was said, and no pause that keeps its place for ever."""
        got, is_whole = 0, False

        async def next_piece() -> Message:
            nonlocal got, is_whole
            if is_whole:  # gradio waits here for the browser to leave
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), UPLOAD_PAUSE_S)
            except TimeoutError:
                return {"type": "http.disconnect"}
            got += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            return message if got <= length else {"type": "http.disconnect"}

        return next_piece

    def _watching(self, scope: Scope, send: Send) -> Send:
        """The answer with our headers, and without those by which gradio lets other web sites in."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = guarded_headers(message.get("headers", []), self.place.frames)
                if scope["path"].rstrip("/") == LOGIN and message["status"] == 200:
                    tokens = logins_by_token(self.app)
                    while len(tokens) > MAX_LOGINS:
                        del tokens[next(iter(tokens))]
            await send(message)

        return watched

    def _logged_out(self, scope: Scope) -> Response:
        """End this browser's login alone. Gradio's own answer ends all that have the same name, and forgets the one
        over plain http.
        """
        for token in self._tokens(scope):
            logins_by_token(self.app).pop(token, None)
        answer = RedirectResponse("./", 303)
        for name in login_cookies(self.app):
            answer.delete_cookie(name)
        return answer


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """By name. A header that came twice is put together, so that nobody passes with one of two."""
    together: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        between = b"; " if name == b"cookie" else b", "
        together[name] = together[name] + between + value if name in together else value
    return together


def _tell_connection(scope: Scope, person: Person) -> None:
    """Who has logged in keeps a place of another kind than strangers do (`connections.py`)."""
    connection: Any = scope.get("state", {}).get("connection")
    if connection is not None:
        connection.belongs_to(person.name)


def _is_elsewhere(path: str) -> bool:
    """Whether gradio would fetch it from another server."""
    return "://" in path or path.strip().lower().startswith(("http:", "https:"))


async def _whole_body(receive: Receive, length: int) -> bytes:
    """What was sent, all of it. Raises Refusal if it does not come in time."""
    if not length:
        return b""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S + length / 2**16):
            while len(body) < length:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refusal(400, "The rest of the request is missing.")
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refusal(408, "The rest of the request did not come.") from None
    return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for the app behind, which gets what was read already."""
    was_sent = False

    async def again() -> Message:
        nonlocal was_sent
        if was_sent:
            return await receive()
        was_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
