"""The page behind a reverse proxy, under other names and in frames: a real nginx, and a browser with a real frame."""

from __future__ import annotations

import http.server
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio_client
import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, Route, expect

from tests.ui.journey import ANSWER_MS, ANSWER_S, fill, free_port, open_chromium, running_app, wait_until_restored
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.ui.server.hosting import HUB, Place, adapt_to_space, place_of
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.webui import parse_arguments
from ti_core.workspace import REPOSITORY, Workspace

DOCUMENT = (REPOSITORY / "docs" / "proxy.md").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def page_at(root: Path, port: int, place: Place, user: str = "", all_may_look: bool = False) -> Iterator[str]:
    """The real page in this process."""
    workspace = Workspace(root, confined=bool(user))
    jobs = JobQueue(workspace)
    options = ServerOptions(port, user=user, password="right" if user else "", place=place, all_may_look=all_may_look)
    blocks = start_page(workspace, options, jobs)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        blocks.close()
        jobs.close()


# ---- names


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:7860", True),
        ("localhost", True),
        ("LOCALHOST:7860", True),
        ("train.example.org", True),
        ("a.of.example.org:443", True),
        ("of.example.org", False),
        ("evil.example", False),
        ("train.example.org.evil.example", False),
        ("[::1]:7860", False),
        ("", False),
    ],
)
def test_a_name_that_is_not_the_pages_is_refused_with_the_flag_that_would_let_it_in(host: str, is_known: bool) -> None:
    told = Place(("127.0.0.1", "localhost", "train.example.org", "*.of.example.org")).refused_host(host)
    assert (told == "") == is_known
    if host == "evil.example":
        assert told.endswith("--allow-host evil.example")


def test_a_host_name_cannot_write_into_the_answer() -> None:
    assert "<" not in Place().refused_host("<b>evil</b>")


@pytest.mark.parametrize(
    "flags",
    [
        ["--allow-host", "https://a.example"],
        ["--allow-host", "a.example:443"],
        ["--allow-host", ""],
        ["--allow-frame", "a.example"],
        ["--allow-frame", "https://a.example; script-src *"],
        ["--allow-frame", "https://a.example/path"],
        ["--allow-frame", "*"],
        ["--root-path", "ti"],
        ["--root-path", "/ti?x"],
        ["--root-path", "https://a.example/ti"],
    ],
)
def test_a_place_that_cannot_be_is_refused_with_a_sentence(flags: list[str]) -> None:
    with pytest.raises(UserError, match=flags[0]):
        place_of(parse_arguments(flags))


# ---- a Hugging Face Space


def test_a_space_listens_is_framed_by_the_hub_and_asks_for_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ti_core.ui.server.hosting.SPACE_STORAGE", tmp_path)
    here = parse_arguments([])
    assert not adapt_to_space(here, {}) and not here.listen and here.port is None
    monkeypatch.setenv("TI_AUTH", "anna:long-password")
    space = parse_arguments([])
    monkeypatch.delenv("TI_AUTH")
    environment = {"SPACE_ID": "anna/train", "GRADIO_SERVER_PORT": "7777"}
    assert adapt_to_space(space, environment)
    assert (space.listen, space.port, space.auth) == (True, 7777, ["anna:long-password"])
    assert space.workspace == str(tmp_path)
    assert place_of(space).frames == (HUB,)
    own = parse_arguments(["--workspace", "mine", "--port", "1234"])
    adapt_to_space(own, {"SPACE_ID": "anna/train"})
    assert (own.workspace, own.port, own.auth) == ("mine", 1234, [])


def test_the_readme_has_the_head_that_a_space_wants() -> None:
    head = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("---")[1]
    values = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert values["sdk"] == "gradio" and values["app_file"] == "app.py" and (REPOSITORY / values["app_file"]).is_file()
    assert f"gradio=={values['sdk_version']}\n" in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert values["license"] == "mit" and {"title", "emoji", "colorFrom", "colorTo", "python_version"} <= values.keys()


def test_a_space_without_a_secret_is_shown_in_the_hubs_frame_and_changed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frame stands on a page that calls itself the hub, in a real browser."""
    monkeypatch.setenv("SPACE_ID", "anna/train")
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_HOST", "anna-train.hf.space")
    monkeypatch.delenv("TI_AUTH", raising=False)
    with running_app(tmp_path) as (url, lines), open_chromium() as browser:
        assert any("nobody may train" in line for line in lines)
        body = {"data": ["x", "person", 1, False, "portraits"]}
        answer = httpx.post(f"{url}/gradio_api/run/create_embedding", json=body, timeout=ANSWER_S)
        assert "You may look, but change nothing" in answer.text and not list((tmp_path / "embeddings").glob("*"))
        upload = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.txt", b"x")}, timeout=ANSWER_S)
        assert upload.status_code == 403
        shown = frame_that_opened(page_framing(browser, HUB, url))
        expect(shown.locator("#live .state")).not_to_have_text("connecting")
        refused = page_framing(browser, "https://evil.example", url).frame_locator("iframe")
        expect(refused.get_by_role("tab")).to_have_count(0)


def frame_that_opened(page: Page) -> FrameLocator:
    """The frame of the page, with its tabs. A browser loads a window again when the network blinked (a container
    beside it that starts is enough), but not a frame; so this does, twice.
    """
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("requestfailed", lambda request: said.append(f"{request.url}: {request.failure}"))
    shown = page.frame_locator("iframe")
    for _ in range(3):
        try:
            expect(shown.get_by_role("tab", name="Train", exact=True)).to_be_visible()
            return shown
        except AssertionError:
            said.append(f"{[frame.url for frame in page.frames]} are open")
            page.reload()
    raise AssertionError("The frame did not open:\n" + "\n".join(said))


def page_framing(browser: Browser, site: str, url: str) -> Page:
    """A page that says to the browser that it is this site, with the page in a frame."""
    frame = f'<iframe src="{url.replace("127.0.0.1", "localhost")}/" width="1400" height="900"></iframe>'

    def answer(route: Route) -> None:
        route.fulfill(body=frame, content_type="text/html")

    page = browser.new_context(permissions=["local-network-access"]).new_page()
    page.set_default_timeout(ANSWER_MS)
    page.route(f"{site}/**", answer)
    page.goto(f"{site}/spaces/anna/train")
    return page


# ---- frames


class _Framing(http.server.BaseHTTPRequestHandler):
    """A page of another origin with the page in a frame."""

    framed = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(f'<iframe src="{self.framed}" width="1300" height="800"></iframe>'.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_login_works_in_the_frame_of_an_allowed_site_and_no_other_site_may_frame(tmp_path: Path) -> None:
    port = free_port()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Framing) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        # 127.0.0.1 and localhost are different sites to a browser
        _Framing.framed = f"http://localhost:{port}/"
        allowed = f"http://127.0.0.1:{other.server_port}"
        place = Place(frames=(allowed,))
        with page_at(tmp_path, port, place, user="anna") as url, open_chromium() as browser:
            policy = httpx.get(url, timeout=ANSWER_S).headers
            assert policy["content-security-policy"].endswith(f"frame-ancestors 'self' {allowed}")
            assert "x-frame-options" not in policy
            page = browser.new_page()
            page.set_default_timeout(ANSWER_MS)
            page.goto(allowed)
            inner = page.frame_locator("iframe")
            inner.get_by_label("username").fill("anna")
            inner.get_by_label("password").fill("right")
            inner.get_by_role("button", name="Login").click()
            expect(inner.get_by_role("tab", name="Train", exact=True)).to_be_visible()
            page.goto(f"http://localhost:{other.server_port}")  # another origin, though it is the same computer
            expect(page.frame_locator("iframe").get_by_role("button", name="Login")).to_have_count(0)
        other.shutdown()


def test_without_the_flag_a_frame_of_another_site_is_refused(tmp_path: Path) -> None:
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for place, status in ((Place(), 403), (Place(frames=("https://a.example",)), 200)):
        with page_at(tmp_path, free_port(), place) as url:
            assert httpx.get(url, headers=framed, timeout=ANSWER_S).status_code == status
            changing = {**framed, "Origin": "https://a.example"}
            answer = httpx.post(f"{url}/gradio_api/run/status", json={"data": [""]}, headers=changing, timeout=ANSWER_S)
            assert answer.status_code == 403


# ---- a reverse proxy


def nginx_block() -> str:
    """The block of docs/proxy.md that people copy."""
    found = re.search(r"```nginx\n(.+?)```", DOCUMENT, re.DOTALL)
    assert found, "no block for nginx in docs/proxy.md"
    return found[1]


@contextmanager
def running_nginx(folder: Path, port: int, location: str) -> Iterator[str]:
    """nginx with one server of this location, without touching the system's own."""
    assert NGINX
    folder.mkdir()
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen 127.0.0.1:{port}; {location} }} }}\n"
    )
    nginx = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
    try:
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
            assert nginx.poll() is None, (folder / "error.log").read_text()
            time.sleep(0.05)
        yield f"http://localhost:{port}"
    finally:
        nginx.terminate()
        nginx.wait(10)


def test_what_is_closed_stays_closed_however_often_the_path_is_put_before_it(tmp_path: Path) -> None:
    """gradio takes the path away once more, so that it would answer what the guard took for another address."""
    place = Place(root_path="/ti")
    assert [place.path_here(path) for path in ("/ti/ti/monitoring", "/ti/ti", "/ti/tia", "/live")] == [
        "/monitoring",
        "/",
        "/tia",
        "/live",
    ]
    with page_at(tmp_path, free_port(), place, user="anna") as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/ti/login", data={"username": "anna", "password": "right"}).status_code == 200
        for before in ("", "/ti", "/ti/ti", "/ti/ti/ti"):
            for closed in ("/monitoring", "/gradio_api/proxy=http://127.0.0.1:1/x", "/gradio_api/deep_link"):
                assert client.get(before + closed).text == "There is nothing here.", before + closed


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_page_login_news_uploads_downloads_and_api_work_below_a_path_of_nginx(tmp_path: Path) -> None:
    port, outside = free_port(), free_port()
    location = nginx_block().replace("127.0.0.1:7860", f"127.0.0.1:{port}")
    place = Place(root_path="/ti")
    root = tmp_path / "workspace"
    root.mkdir()
    with (
        page_at(root, port, place, user="anna") as direct,
        running_nginx(tmp_path / "nginx", outside, location) as proxy,
        open_chromium() as browser,
    ):
        # page and login
        asked: list[str] = []
        page = browser.new_page()
        page.set_default_timeout(ANSWER_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{proxy}/ti")
        page.get_by_label("username").fill("anna")
        page.get_by_label("password").fill("right")
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_role("tab", name="Train", exact=True)).to_be_visible()
        wait_until_restored(page)
        fill(page, "create_name", "ben")
        page.get_by_role("button", name="Create embedding").click()
        expect(page.locator("#live")).to_contain_text("ben")
        assert (root / "embeddings" / "ben.pt").is_file()
        # whatever the page asked for lies below the path
        here = [url for url in asked if not url.startswith(("data:", "blob:"))]
        assert any("/ti/live" in url for url in here)
        assert [url for url in here if not url.startswith((f"{proxy}/ti", f"{proxy}/ti/"))] == []

        # uploads, downloads and the API, with the address that a person would give a program
        Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
        with httpx.Client(timeout=ANSWER_S) as person:
            said = {"username": "anna", "password": "right"}
            assert person.post(f"{proxy}/ti/login", data=said).status_code == 200
            with (tmp_path / "photo.png").open("rb") as photo:
                (stored,) = person.post(f"{proxy}/ti/gradio_api/upload", files={"files": photo}).json()
            got = person.get(f"{proxy}/ti/gradio_api/file={stored}")
            assert got.content == (tmp_path / "photo.png").read_bytes()
            # a proxy that leaves the path, and a look from the server itself
            assert person.get(f"{proxy}/elsewhere").status_code == 404
        program = gradio_client.Client(
            f"{proxy}/ti/", auth=("anna", "right"), verbose=False, httpx_kwargs={"timeout": ANSWER_S}
        )
        assert "ben" in str(program.predict(api_name="/embeddings"))
        for path in ("/", "/ti/", "/ti"):
            assert httpx.get(direct + path, follow_redirects=True, timeout=ANSWER_S).status_code == 200
