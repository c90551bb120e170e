"""What somebody sends too much of: bodies, connections, wrong passwords, long texts. The owner gets in all the
while.
"""

from __future__ import annotations

import base64
import gc
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import httpx
import pytest

from tests.ui.journey import ANSWER_S
from tests.ui.server.test_security import Shared, _component, _in_order_of_the_api, logged_in, shared
from ti_core.data.template_edits import preview_prompts
from ti_core.errors import SettingsError, UserError
from ti_core.settings.prompts import build_prompt, parse_template
from ti_core.settings.schedule import parse_schedule
from ti_core.ui.rate_picture import rate_picture
from ti_core.ui.server import access, connections, guarded_blocks, guessing
from ti_core.ui.server.editor_blobs import MOST_PAINTINGS

MB = 2**20


def raw(shared: Shared, head: str, body: bytes = b"", cookies: httpx.Client | None = None) -> socket.socket:
    """Send the beginning of a request, and leave the connection open."""
    host, port = shared.url.removeprefix("http://").split(":")
    sent = f"{head}\r\nHost: {host}:{port}\r\n"
    if cookies:
        sent += "Cookie: " + "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies.cookies.jar) + "\r\n"
    connection = socket.create_connection((host, int(port)), timeout=ANSWER_S)
    connection.sendall(sent.encode() + b"\r\n" + body)
    return connection


def status_of(connection: socket.socket) -> int:
    found = re.match(rb"HTTP/1.1 (\d+)", connection.recv(400))
    return int(found[1]) if found else 0


# ---- bodies


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/queue/join",
        "/gradio_api/upload",
        "/gradio_api/component_server",
        "/sdapi/v1/preprocess",
        "/gradio_api/mcp/",
    ],
)
def test_nothing_is_read_of_what_a_stranger_sends(shared: Shared, path: str) -> None:
    with raw(
        shared, f"POST {path} HTTP/1.1\r\nContent-Length: {400 * MB}\r\nContent-Type: application/json"
    ) as connection:
        assert status_of(connection) == 401  # no byte of the body was sent


def test_a_login_is_short(shared: Shared) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    with raw(shared, f"POST /login HTTP/1.1\r\nContent-Length: {64 * 1024 + 1}\r\n{form}") as connection:
        assert status_of(connection) == 413
    with raw(shared, f"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{form}") as connection:
        assert status_of(connection) == 411


def test_what_is_sent_elsewhere_says_its_length_and_is_limited(shared: Shared) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/run/status", "/gradio_api/component_server"):
        with raw(shared, f"POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked", cookies=shared.trainer) as connection:
            assert status_of(connection) == 411
        for client, most in ((shared.trainer, access.MAX_REQUEST_BYTES), (shared.looker, access.MAX_LOOK_BYTES)):
            with raw(shared, f"POST {path} HTTP/1.1\r\nContent-Length: {most + 1}", cookies=client) as connection:
                assert status_of(connection) == 413
    with raw(shared, f"GET /config HTTP/1.1\r\nContent-Length: {MB}", cookies=shared.trainer) as connection:
        assert status_of(connection) == 413


def test_a_body_that_does_not_come_is_not_waited_for(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "BODY_WITHIN_S", 0.2)
    with raw(
        shared, "POST /login HTTP/1.1\r\nContent-Length: 40\r\nContent-Type: application/x-www-form-urlencoded", b"user"
    ) as connection:
        assert status_of(connection) == 408


def test_an_upload_that_stops_is_ended_and_uploads_that_arrive_together_count_together(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "UPLOAD_PAUSE_S", 1.0)
    monkeypatch.setattr(access, "MAX_UPLOADS_BYTES", 30 * MB)
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nContent-Length: {20 * MB}\r\nContent-Type: multipart/form-data;"
        " boundary=x"
    )
    begun = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nsome'
    with raw(shared, head, begun, shared.trainer) as first, raw(shared, head, begun, shared.trainer) as second:
        assert status_of(second) == 413
        assert status_of(first) in (0, 400, 500)  # the server did not wait for ever
    assert shared.trainer.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 200


# ---- connections


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_idle_connections_of_strangers_keep_nobody_out(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SHARE_OF_STRANGERS", 0.02)
    host, port = shared.url.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port)), timeout=ANSWER_S) for _ in range(100)]
    try:
        owner = logged_in(shared.url, "anna", "right")  # a new connection, and a stranger's until the login
        assert owner.get("/config").status_code == shared.trainer.get("/config").status_code == 200
        assert all(is_closed(connection) for connection in idle[:50])
    finally:
        for connection in idle:
            connection.close()


def test_a_request_whose_headers_never_end_is_cut(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 0.3)
    host, port = shared.url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=ANSWER_S) as nothing,
        socket.create_connection((host, int(port)), timeout=ANSWER_S) as some,
    ):
        some.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        assert is_closed(nothing) and is_closed(some)


def test_a_body_that_was_refused_is_not_taken_in_for_ever(shared: Shared) -> None:
    with (
        raw(shared, f"POST /gradio_api/upload HTTP/1.1\r\nContent-Length: {400 * MB}") as connection,
        pytest.raises(ConnectionError),
    ):
        for _ in range(400):
            connection.sendall(b"x" * MB)


def test_heartbeats_need_a_login_and_are_counted(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MOST_STREAMS", 3)
    assert shared.stranger.get("/gradio_api/heartbeat/x").status_code == 401
    beats = [raw(shared, f"GET /gradio_api/heartbeat/{i} HTTP/1.1", cookies=shared.looker) for i in range(3)]
    try:
        assert [status_of(beat) for beat in beats] == [200] * 3
        with raw(shared, "GET /gradio_api/heartbeat/more HTTP/1.1", cookies=shared.looker) as more:
            assert status_of(more) == 429
        with raw(shared, "GET /gradio_api/heartbeat/owner HTTP/1.1", cookies=shared.trainer) as owner:
            assert status_of(owner) == 200  # the guest's do not count for the owner
    finally:
        for beat in beats:
            beat.close()


def test_the_oldest_idle_connection_of_the_address_with_most_of_them_goes_first() -> None:
    class Pretended:
        def __init__(self, address: str, is_busy: bool) -> None:
            self.address, self.is_busy, self.was_cut = address, is_busy, False

        def cut(self) -> None:
            self.was_cut = True

    few = connections.Connections(room=20)  # 4 of strangers
    first, busy, idle, idle_too, new = (
        Pretended(*facts) for facts in (("1", False), ("2", True), ("2", False), ("2", False), ("3", False))
    )
    for connection in (first, busy, idle, idle_too, new):
        few.add(connection, "")  # type: ignore[arg-type]
    assert [c.was_cut for c in (first, busy, idle, idle_too, new)] == [False, False, True, False, False]


# ---- passwords


@pytest.fixture
def quick_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong passwords take a tenth of a second, and five find a place."""
    monkeypatch.setattr(guessing, "WRONG_PASSWORD_S", 0.1)
    monkeypatch.setattr(guessing, "MOST_QUEUED_S", 0.5)


def _log_in(shared: Shared, number: int, password: str = "wrong") -> int:
    headers = {"X-Forwarded-For": f"10.0.0.{number}"}  # who guesses may say any address
    return httpx.post(
        f"{shared.url}/login", data={"username": "anna", "password": f"{password}"}, headers=headers, timeout=ANSWER_S
    ).status_code


def _ask_a1111(shared: Shared, number: int, password: str = "wrong") -> int:
    headers = {"X-Forwarded-For": f"10.0.0.{number}"}
    return httpx.get(
        f"{shared.url}/sdapi/v1/progress", auth=("anna", password), headers=headers, timeout=ANSWER_S
    ).status_code


@pytest.mark.parametrize(("ask", "wrong"), [(_log_in, 400), (_ask_a1111, 401)])
def test_guesses_at_once_are_counted_before_they_are_answered_and_the_owner_gets_in(
    shared: Shared, quick_line: None, ask: Any, wrong: int
) -> None:
    with ThreadPoolExecutor(30) as guessers:
        guesses = [guessers.submit(ask, shared, number) for number in range(60)]
        while not any(guess.done() for guess in guesses):
            time.sleep(0.01)
        assert ask(shared, 0, "right") == 200
        answers = [guess.result() for guess in guesses]
    assert set(answers) == {wrong, 429} and answers.count(429) >= 10
    assert ask(shared, 0, "right") == 200


def test_a_header_without_a_password_is_no_guess(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "WRONG_PASSWORD_S", 1000.0)
    assert shared.stranger.get("/sdapi/v1/progress").status_code == 401
    assert shared.stranger.get("/sdapi/v1/progress", headers={"Authorization": "Basic ?"}).status_code == 401
    half = base64.b64encode(b"\xff\xfe").decode()
    assert shared.stranger.get("/sdapi/v1/progress", headers={"Authorization": f"Basic {half}"}).status_code == 401


# ---- what is painted


def blobs() -> list[tuple[str, int]]:
    """Id and number of layers of all that the editors keep."""
    editors = (each for each in gc.get_objects() if isinstance(each, gr.ImageEditor))
    found = [(name, len(kept.layers)) for editor in editors for name, kept in editor.blob_storage.items()]
    return [each for each in found if each[0].startswith(("anna", "eve"))]


def paint(client: httpx.Client, editor: int, name: str, layer: str) -> int:
    asked = {"component_id": str(editor), "session_hash": "p", "fn_name": "accept_blobs", "type": "layer"}
    sent = client.post(
        "/gradio_api/component_server", data={**asked, "id": name, "index": layer}, files={"file": ("a", b"png")}
    )
    return sent.status_code


def test_what_is_painted_takes_a_bounded_memory_and_a_guest_paints_nothing(shared: Shared) -> None:
    editor = next(each["id"] for each in shared.config["components"] if each["type"] == "imageeditor")
    assert paint(shared.looker, editor, "eve", "0") == 200 and blobs() == []
    for layer in (str(10**6), "9" * 5000, "-1", "x"):
        assert paint(shared.trainer, editor, "anna", layer) == 200 and blobs() == []
    for number in range(MOST_PAINTINGS + 2):
        assert paint(shared.trainer, editor, f"anna-{number}", "1") == 200
    assert blobs() == [(f"anna-{number}", 2) for number in range(2, MOST_PAINTINGS + 2)]
    assert paint(shared.stranger, editor, "x", "0") in (401, 403)


# ---- long texts


def test_a_guest_keeps_the_server_busy_with_no_text(shared: Shared) -> None:
    """Each handler of who may look, with what is long and large in every field: an answer of a sentence's length,
    at once.
    """
    long = ["[name]" * 800, "[name] [filewords]" + " " * 4000 + ",", "0.1:1," * 10_000, 1e300]
    asked = 0
    for event in shared.config["dependencies"]:
        body = {"data": [1e300] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "l"}
        if (
            not event["backend_fn"]
            or not event["inputs"]
            or "You may look" in shared.looker.post("/gradio_api/run/predict", json=body).text
        ):
            continue
        for value in long:
            began = time.process_time()
            answer = shared.looker.post(
                "/gradio_api/run/predict", json={**body, "data": [value] * len(event["inputs"])}
            )
            assert len(answer.content) < MB, (event["id"], str(value)[:20], len(answer.content))
            assert time.process_time() - began < 5, (event["id"], str(value)[:20])
            asked += 1
    assert asked > 40


def test_a_guest_does_not_multiply_a_long_name(shared: Shared) -> None:
    event = next(
        e
        for e in shared.config["dependencies"]
        if [_component(shared, "templates_text"), "change"] in e["targets"] and e["backend_fn"]
    )
    for text, name in (
        ("[name]" * 2000, "a" * 90_000),
        ("[name]" * 800, "a" * 90_000),
        ("\n".join(["[name]" * 800] * 20), "a" * 90_000),
    ):
        body = {"data": [text, "", name, False, 0], "fn_index": event["id"], "session_hash": "n"}
        answer = shared.looker.post("/gradio_api/run/predict", json=body)
        assert answer.status_code == 200 and len(answer.content) < 50_000, len(answer.content)


def test_a_template_of_too_many_words_is_told_and_a_preview_stays_short() -> None:
    with pytest.raises(UserError, match="Send at most"):
        guarded_blocks.check_given(["x" * (guarded_blocks.MOST_CHARACTERS + 1)])
    with pytest.raises(UserError, match="line of 12001 characters"):
        parse_template("[name]" * 2000 + "x", "long.txt")
    prompts = preview_prompts("[name] [filewords]" * 100, ["tag, " * 50_000], "n" * 90_000, False, 0.0)
    assert max(map(len, prompts)) <= 2100 and prompts[0].startswith("nnn")
    began = time.process_time()
    line = "[name]," + " " * 100_000 + "x [filewords] ,, y"
    assert build_prompt(line, "", "anna", random.Random(0), False, 0.0) == "anna, x, y"
    assert time.process_time() - began < 1


def test_a_learning_rate_of_thousands_of_pieces_is_told() -> None:
    with pytest.raises(SettingsError, match="2000 pieces") as told:
        parse_schedule(",".join(f"0.1:{step}" for step in range(1, 2001)))
    assert len(str(told.value)) < 300
    assert len(rate_picture("x," * 20_000, 100)) < 1000


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        1e16,
        10**400,
        {"path": "http://a.example/x"},
        {"a": [{"path": " ftp://a.example/x"}]},
        {"path": "//a/b"},
    ],
)
def test_what_no_field_takes_is_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(UserError, match="Max steps: "):
        guarded_blocks.check_given([value], "Max steps")


def test_what_the_page_sends_is_taken() -> None:
    guarded_blocks.check_given(
        [
            None,
            True,
            "a" * 65_536,
            4294967295,
            -1,
            0.005,
            [["a.png", "b"]] * 500,
            {"path": "/tmp/x/a.png", "url": "http://127.0.0.1/x", "meta": {}},
        ]
    )
    nested: Any = "x"
    for _ in range(1000):
        nested = [nested]
    with pytest.raises(UserError, match="deep"):
        guarded_blocks.check_given(nested)
