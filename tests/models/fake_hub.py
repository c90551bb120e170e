"""A small hub on this machine: answers the requests that a download makes, breaks connections, and refuses, as the
real one does.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """`files` of the one repository owner/model. `break_at` ends the first answer for a file after so many bytes."""

    files: dict[str, bytes]
    endpoint: str = ""
    refusal: tuple[int, str] | None = None
    gated: bool = False
    ranges: bool = True
    break_at: int = 0
    damage: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def fetched(self) -> list[str]:
        return [path.split(f"/resolve/{COMMIT}/")[1] for path, _ in self.asked if "/resolve/" in path]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def fake_hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    hub = FakeHub(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            hub.asked.append((path, self.headers.get("Range", "")))
            if path.startswith("/cdn/"):
                self._file(path.removeprefix("/cdn/"))
            elif hub.refusal or not re.match(r"/(api/models/)?owner/model(/|$)", path):
                self._refuse(*(hub.refusal or (401, "RepoNotFound")))
            elif path in ("/api/models/owner/model", "/api/models/owner/model/revision/main"):
                self._answer(
                    json.dumps(
                        {"id": "owner/model", "sha": COMMIT, "siblings": [sibling(*file) for file in hub.files.items()]}
                    ).encode()
                )
            elif path.startswith("/api/"):
                self._refuse(404, "RevisionNotFound")
            elif hub.gated:
                self._refuse(403, "GatedRepo")
            else:  # large files lie elsewhere
                self.send_response(302)
                self.send_header("Location", f"{hub.endpoint}/cdn/{path.split(f'/resolve/{COMMIT}/')[1]}")
                self.end_headers()

        def _file(self, name: str) -> None:
            content = hub.files[name]
            content = content[:-1] + b"!" if hub.damage else content
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted and hub.ranges else 0
            if start > len(content):
                self._refuse(416, "")
                return
            stop_at = hub.break_at if hub.break_at and len(content) > hub.break_at else 0
            hub.break_at = 0 if stop_at else hub.break_at
            self._answer(content[start:], 206 if start else 200, stop_at)

        def _answer(self, content: bytes, status: int = 200, stop_at: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: stop_at or None])

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Quiet."""

    def sibling(name: str, content: bytes) -> dict[str, object]:
        large = (
            {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}}
            if not name.endswith((".json", ".txt"))
            else {}
        )
        return {"rfilename": name, "size": len(content), **large}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
