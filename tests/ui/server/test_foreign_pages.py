"""What a page of another web site can do with a visitor's browser: nothing, with a login and without one."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import networking

from tests.ui.journey import ANSWER_S, free_port, open_chromium, open_page
from tests.ui.server.test_security import Shared, logged_in, shared
from ti_core.events import Emit, Started
from ti_core.jobs.queue import JobQueue
from ti_core.ui.server.server import ServerOptions, open_public_link, start_page
from ti_core.workspace import Workspace

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},  # a sandboxed frame, a file on the disk
    {"Origin": "http://127.0.0.1:1"},  # another server on this computer
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Mode": "no-cors"},  # a browser that does not say where it comes from
    {"Referer": "http://evil.example/page"},
    {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0"},  # too old to say it
]
CHANGING = [
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/run/train"),
    ("POST", "/gradio_api/api/train"),
    ("POST", "/gradio_api/call/train"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("POST", "/login"),
    ("POST", "/sdapi/v1/interrupt"),
    ("POST", "/sdapi/v1/create/embedding"),
    ("POST", "/gradio_api/mcp/"),
    ("PUT", "/x"),
    ("DELETE", "/x"),
    ("GET", "/logout"),
]


@dataclass
class Local:
    """A page without login, as most people run it."""

    url: str
    root: Path
    jobs: JobQueue
    blocks: gr.Blocks

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def strip(self) -> int:
        components = httpx.get(f"{self.url}/config", timeout=ANSWER_S).json()["components"]
        return int(next(c["id"] for c in components if c["props"].get("elem_id") == "live"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    root = tmp_path_factory.mktemp("local")
    jobs = JobQueue(Workspace(root))
    blocks = start_page(Workspace(root), ServerOptions(free_port(), share=True), jobs)
    yield Local(f"http://127.0.0.1:{blocks.server_port}", root, jobs, blocks)
    blocks.close()
    jobs.close()


def wait_to_stop(emit: Emit, stop: threading.Event) -> None:
    emit(Started("Waiting", 0))
    stop.wait(600)


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(f"{k}={v[:40]}" for k, v in headers.items()))
def test_a_foreign_page_changes_nothing_on_a_page_without_login(local: Local, headers: dict[str, str]) -> None:
    for method, path in CHANGING:
        if (
            method == "GET" and "User-Agent" in headers
        ):  # a GET by hand in such a browser says no more, and ends the own login alone
            continue
        answer = httpx.request(
            method, local.url + path, headers=headers, content=b"{}" if method != "GET" else None, timeout=ANSWER_S
        )
        assert answer.status_code == 403 and "other page" in answer.text, (
            method,
            path,
            answer.status_code,
            answer.text[:200],
        )


def test_a_foreign_page_does_not_stop_a_training_by_a_form_that_asks_nobody_first(local: Local) -> None:
    job = local.jobs.submit("train", "Train anna", wait_to_stop)
    body = json.dumps(
        {
            "data": {"job": job.id, "action": "cancel"},
            "component_id": local.strip(),
            "fn_name": "change_job",
            "session_hash": "s",
        }
    )
    foreign = {"Content-Type": "text/plain", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    httpx.post(f"{local.url}/gradio_api/component_server", content=body, headers=foreign, timeout=ANSWER_S)
    assert not job.stop.is_set()
    twice = [("Content-Type", "application/json"), ("Origin", "https://evil.example"), ("Origin", local.url)]
    assert (
        httpx.post(
            f"{local.url}/gradio_api/component_server", content=body, headers=twice, timeout=ANSWER_S
        ).status_code
        == 403
    )
    assert not job.stop.is_set()
    own = {"Content-Type": "application/json", "Origin": local.url, "Sec-Fetch-Site": "same-origin"}
    httpx.post(f"{local.url}/gradio_api/component_server", content=body, headers=own, timeout=ANSWER_S)
    assert job.stop.is_set()


def test_a_foreign_upload_is_refused_before_its_body_is_read(local: Local) -> None:
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {local.host}\r\nOrigin: http://evil.example\r\nContent-Length:"
        " 20000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(local.host.split(":")[1])), timeout=ANSWER_S) as connection:
        connection.sendall(head.encode())
        assert b" 403 " in connection.recv(200)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"User-Agent": "curl/8.0"},
        {"User-Agent": "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1"},
    ],
)
def test_programs_of_this_computer_go_on_working(local: Local, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{local.url}/gradio_api/run/status", json={"data": [""]}, headers=headers, timeout=ANSWER_S)
    assert answer.status_code == 200, answer.text
    assert httpx.post(f"{local.url}/sdapi/v1/interrupt", headers=headers, timeout=ANSWER_S).status_code == 200
    assert (
        httpx.post(
            f"{local.url}/gradio_api/upload", files={"files": ("a.txt", b"x")}, headers=headers, timeout=ANSWER_S
        ).status_code
        == 200
    )


def test_the_own_page_is_no_foreign_one_on_this_computer_by_the_public_link_and_behind_a_proxy(
    local: Local, shared: Shared
) -> None:
    port = local.host.split(":")[1]
    own = [
        {"Origin": local.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": local.url},
        {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"},
        {"Host": "abc.gradio.live", "Origin": "https://abc.gradio.live"},
        {"Host": "abc.gradio.live:443", "Origin": "https://abc.gradio.live", "Sec-Fetch-Site": "same-origin"},
    ]
    for headers in own:
        answer = httpx.post(
            f"{local.url}/gradio_api/run/status", json={"data": [""]}, headers=headers, timeout=ANSWER_S
        )
        assert answer.status_code == 200, (headers, answer.text)
    behind = {"Origin": "https://train.example.org", "X-Forwarded-Host": "train.example.org"}
    assert shared.trainer.post("/gradio_api/run/status", json={"data": [""]}, headers=behind).status_code == 200
    other = {"Origin": "https://evil.example", "X-Forwarded-Host": "train.example.org"}
    assert shared.trainer.post("/gradio_api/run/status", json={"data": [""]}, headers=other).status_code == 403


def test_no_foreign_page_may_read_what_a_logged_in_person_may(shared: Shared) -> None:
    for client in (shared.trainer, shared.stranger):
        for path in ("/", "/config", "/live", "/gradio_api/info", "/gradio_api/startup-events"):
            for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
                answer = client.get(path, headers=headers)
                assert not [name for name in answer.headers if name.startswith("access-control-")], (
                    path,
                    answer.headers,
                )
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = shared.trainer.options("/gradio_api/queue/join", headers=asked)
    assert answer.status_code >= 400 and not [name for name in answer.headers if name.startswith("access-control-")]
    for path in ("/config", "/live", "/files/x/y.png"):  # a script or a picture of a foreign page
        assert (
            shared.trainer.get(
                path, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
            ).status_code
            == 403
        )
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert shared.trainer.get("/", headers=link).status_code == 200  # a link in a letter opens the page


def test_the_cookie_of_a_login_stays_with_the_own_page(shared: Shared) -> None:
    answer = httpx.post(f"{shared.url}/login", data={"username": "anna", "password": "right"}, timeout=ANSWER_S)
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert (
            "samesite=lax" in cookie.lower() and "httponly" in cookie.lower() and "samesite=none" not in cookie.lower()
        )


def test_the_token_of_a_login_cannot_be_asked_for(shared: Shared) -> None:
    for path in ("/gradio_api/token", "/gradio_api/token/"):
        answer = shared.trainer.get(path)
        assert answer.status_code == 404 and "token" not in answer.text


def test_logging_out_signs_nobody_else_out_and_no_foreign_page_can_do_it(shared: Shared) -> None:
    first, second = (logged_in(shared.url, "anna", "right") for _ in range(2))
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Referer": "http://evil.example/"},
    ):
        assert first.get("/logout", headers=headers).status_code == 403
    assert shared.stranger.get("/logout").status_code in (303, 307, 302)
    assert first.get("/config").status_code == 200
    for cookie in list(first.cookies.jar):  # over plain http a browser keeps the other of the two
        if "unsecure" not in cookie.name:
            first.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)
    kept = httpx.Cookies(first.cookies)
    assert first.get("/logout").status_code in (303, 307, 302)
    assert second.get("/config").status_code == shared.trainer.get("/config").status_code == 200
    assert httpx.get(f"{shared.url}/config", cookies=kept, timeout=ANSWER_S).status_code == 401


# ---- addresses of other servers


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The host names that this process asks for, which a server that fetches nothing leaves empty. Nothing reaches
    the network.
    """
    names: list[str] = []
    real = socket.getaddrinfo

    def recorded(host: Any, *given: Any, **named: Any) -> Any:
        if host not in (None, "127.0.0.1", "localhost", b"127.0.0.1"):
            names.append(str(host))
            raise socket.gaierror(f"not in a test: {host}")
        return real(host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    return names


ELSEWHERE = "http://fetched.example/a.png"


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}


def test_no_address_is_fetched_for_anybody(shared: Shared, asked_for: list[str]) -> None:
    sent = [
        _file(ELSEWHERE),
        {**_file("a.png"), "url": ELSEWHERE},
        [_file(ELSEWHERE)],
        [{"image": _file(ELSEWHERE), "caption": None}],
        ELSEWHERE,
        _file("HTTPS://fetched.example/"),
    ]
    for event in shared.config["dependencies"]:
        if not event["backend_fn"] or not event["inputs"]:
            continue
        takes_files = _takes_files(shared, event)
        for client in (shared.looker, shared.trainer) if takes_files else (shared.looker,):
            for value in sent if takes_files else sent[:1]:
                body = {"data": [value] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "f"}
                client.post("/gradio_api/run/predict", json=body)
    for path in (
        f"/gradio_api/file={ELSEWHERE}",
        f"/gradio_api/file/{ELSEWHERE}",
        f"/gradio_api/file={ELSEWHERE.upper()}",
        f"/gradio_api/proxy={ELSEWHERE}",
    ):
        assert shared.trainer.get(path).status_code in (403, 404), path
    assert not asked_for


def _takes_files(shared: Shared, event: dict[str, Any]) -> bool:
    kinds = {c["id"]: c["type"] for c in shared.config["components"]}
    return any(kinds[i] in ("file", "gallery", "image", "uploadbutton") for i in event["inputs"])


def test_the_role_is_asked_for_before_anything_is_done_with_what_was_sent(shared: Shared) -> None:
    """A file that is not there would be told first, if gradio looked at it first."""
    events = [event for event in shared.config["dependencies"] if event["backend_fn"] and _takes_files(shared, event)]
    refused = 0
    for event in events:
        body = {"data": [_file("/etc/passwd")] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "r"}
        refused += "You may look" in shared.looker.post("/gradio_api/run/predict", json=body).text
    assert refused >= 2


def test_there_is_no_page_without_its_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of gradio may start its server in another way."""
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **_: None)
    with pytest.raises(RuntimeError, match="without its guard"):
        start_page(Workspace(tmp_path), ServerOptions(free_port()), JobQueue(Workspace(tmp_path)))


# ---- the public link


def test_the_public_page_takes_its_program_from_this_server_alone(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networking, "setup_tunnel", lambda **_: "http://abc.gradio.live")
    open_public_link(local.blocks)
    end = time.monotonic() + ANSWER_S
    while local.blocks.share_url is None and time.monotonic() < end:
        time.sleep(0.05)
    answer = httpx.get(local.url, headers={"Host": "abc.gradio.live"}, timeout=ANSWER_S)
    loaded = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']([^"']+)""", answer.text)
    assert any(address.endswith(".js") for address in loaded)
    assert not [address for address in loaded if re.match(r"(?:https?:)?//", address)], loaded
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "Disallow: /" in httpx.get(f"{local.url}/robots.txt", timeout=ANSWER_S).text


def test_a_browser_asks_no_other_server_and_the_page_lives_with_its_policy(local: Local) -> None:
    asked: list[str] = []
    told: list[str] = []
    with open_chromium() as browser:
        page = open_page(browser, local.url, asked)
        page.on("console", lambda message: told.append(message.text))
        page.get_by_role("tab", name="Train", exact=True).click()
        page.locator("#train_recipe").click()
        page.locator("#train_message").wait_for()
        page.context.close()
    assert asked and not [address for address in asked if not address.startswith((local.url, "data:", "blob:"))]
    assert not [text for text in told if "Content Security Policy" in text]
