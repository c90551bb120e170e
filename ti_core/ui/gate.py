"""Stands before gradio: says who sends a request, closes what gradio leaves open, and limits uploads and guessing."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ti_core.ui.live import LIVE
from ti_core.ui.roles import ASSISTANT, AT_THIS_COMPUTER, STRANGER, Logins, Person

MCP = "/gradio_api/mcp"
A1111 = "/sdapi/"
FILES = "/files/"
LOGIN, UPLOAD = "/login", "/gradio_api/upload"
POSTS = ("/gradio_api/queue/join", "/gradio_api/component_server", "/gradio_api/cancel", "/gradio_api/reset")
POSTS_BELOW = ("/gradio_api/run/", "/gradio_api/api/", "/gradio_api/call/")
"""What may be sent to gradio. Everything else it can take, such as editing its own source file, is closed."""
CLOSED = ("/gradio_api/proxy=", "/gradio_api/file=http", "/gradio_api/deep_link", "/gradio_api/dev", "/gradio_api/profiling", "/monitoring", "/gradio_api/vibe")
"""GET addresses that write, tell about others, or fetch from other servers in this one's name."""
MAX_UPLOAD_BYTES = 512 * 2**20
"""Of one drop; gradio limits each file to 64 MB."""
MAX_UPLOADS_BYTES = 4 * 2**30
"""Of everything that was dropped and not yet cleared away."""
GUESSES_A_MINUTE = 10
MAX_LOGINS = 5000
"""Gradio never forgets a login; the oldest ones have to log in again."""


@dataclass
class Gate:
    """ASGI middleware. `token` opens MCP; without one it is closed. `uploads` is where gradio puts what people drop."""

    app: ASGIApp
    logins: Logins
    uploads: Path
    token: str = ""
    _guesses: dict[str, list[float]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["person"] = person = self._person(scope)
        status, sentence = self._refusal(scope, person)
        if status:
            more = {"WWW-Authenticate": "Basic"} if status == 401 and scope["path"].startswith(A1111) else {}
            await PlainTextResponse(sentence, status, more)(scope, receive, send)
            return

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-frame-options", b"SAMEORIGIN"),
                    (b"referrer-policy", b"same-origin"),
                ]
                if scope["path"].rstrip("/") == LOGIN and message["status"] == 400:
                    self._note_guess(scope)
                if scope["path"].rstrip("/") == LOGIN and message["status"] == 200:
                    tokens = scope["app"].tokens
                    while len(tokens) > MAX_LOGINS:
                        del tokens[next(iter(tokens))]
            await send(message)

        await self.app(scope, receive, watched)

    def _person(self, scope: Scope) -> Person:
        """By the cookie of gradio's login; for programs by a token (MCP) or a name and password in the header (A1111's addresses)."""
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").decode("latin-1")
        if scope["path"].startswith(MCP):
            return ASSISTANT if self.token and hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()) else STRANGER
        if not self.logins:
            return AT_THIS_COMPUTER
        if scope["path"].startswith(A1111):
            return self._by_password(given, scope)
        page = scope.get("app")
        cookies = cookie_parser(headers.get(b"cookie", b"").decode("latin-1"))
        token = cookies.get(f"access-token-{page.cookie_id}") or cookies.get(f"access-token-unsecure-{page.cookie_id}") if page else None
        return self.logins.person(page.tokens.get(token)) if page and token else STRANGER

    def _by_password(self, given: str, scope: Scope) -> Person:
        if not given.startswith("Basic ") or self._guesses_too_much(scope):
            return STRANGER
        try:
            name, _, password = base64.b64decode(given[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return STRANGER
        if self.logins.fits(name, password):
            return self.logins.person(name)
        self._note_guess(scope)
        return STRANGER

    def _refusal(self, scope: Scope, person: Person) -> tuple[int, str]:
        """HTTP status and sentence for what may not pass; 0 for what may."""
        path, method = scope["path"], scope["method"]
        if path.startswith(MCP):
            return (0, "") if person.name else (401, "MCP needs the token that was printed at the start, in the header 'Authorization: Bearer'.")
        if path.startswith((A1111, FILES, LIVE)) and not person.name:
            return (429, "Too many wrong passwords. Wait a minute.") if self._guesses_too_much(scope) else (401, "A login is needed.")
        if path.startswith(CLOSED):
            return 404, "There is nothing here."
        if method not in ("POST", "PUT", "PATCH", "DELETE") or path.startswith(A1111):
            return 0, ""
        plain = path.rstrip("/")
        if plain == LOGIN:
            return (429, "Too many wrong passwords. Wait a minute.") if self._guesses_too_much(scope) else (0, "")
        if plain == UPLOAD:
            return self._refused_upload(scope, person)
        return (0, "") if plain in POSTS or path.startswith(POSTS_BELOW) else (404, "There is nothing here.")

    def _refused_upload(self, scope: Scope, person: Person) -> tuple[int, str]:
        if not person.name:
            return 401, "A login is needed."
        if not person.may_train:
            return 403, "You may look, but change nothing here."
        length = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        if not length.isdigit():
            return 411, "Say how long the upload is."
        if int(length) > MAX_UPLOAD_BYTES:
            return 413, f"That is too much at once. Drop at most {MAX_UPLOAD_BYTES // 2**20} MB."
        there = sum(file.stat().st_size for file in self.uploads.rglob("*") if file.is_file()) if self.uploads.is_dir() else 0
        if there + int(length) > MAX_UPLOADS_BYTES:
            return 413, "The server holds too many uploads. They are cleared within a day; the owner can delete them earlier."
        return 0, ""

    def _guesses_too_much(self, scope: Scope) -> bool:
        now, address = time.monotonic(), _address(scope)
        recent = [then for then in self._guesses.get(address, ()) if now - then < 60]
        if recent:
            self._guesses[address] = recent
        else:
            self._guesses.pop(address, None)
        return len(recent) >= GUESSES_A_MINUTE

    def _note_guess(self, scope: Scope) -> None:
        if len(self._guesses) > 10_000:  # a flood from many addresses must not fill the memory
            self._guesses.clear()
        self._guesses.setdefault(_address(scope), []).append(time.monotonic())


def _address(scope: Scope) -> str:
    """Behind the public link everybody comes from this computer, and the limit counts them together."""
    client = scope.get("client")
    return str(client[0]) if client else ""
