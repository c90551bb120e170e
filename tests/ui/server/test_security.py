"""A shared server as an attacker meets it: strangers see the login alone, who may look changes nothing, and no path
leads out.
"""

from __future__ import annotations

import http.client
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.ui.journey import free_port
from ti_core.events import Emit, Finished, Started
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import queue_rows
from ti_core.ui.server.access import MAX_UPLOAD_BYTES
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace

TRAVERSALS = [
    "..",
    "../",
    "../secret.txt",
    "../../etc/passwd",
    "./../secret.txt",
    "datasets/../../secret.txt",
    "datasets/anna/../../../secret.txt",
    "/etc/passwd",
    "/etc",
    "/",
    "//etc/passwd",
    "/./etc/passwd",
    "~",
    "~/",
    "~root/.ssh",
    "~/.ssh/id_rsa",
    "..\\secret.txt",
    "..\\..\\windows\\system32",
    "datasets\\..\\..\\secret.txt",
    "C:\\",
    "C:/Windows",
    "C:secret.txt",
    "c:\\users",
    "\\\\host\\share",
    "//host/share",
    "\\\\?\\C:\\",
    "\\\\.\\pipe\\x",
    "\\etc",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "link",
    "link/passwd",
    "link/../etc/passwd",
    "datasets/link2/passwd",
    "a:b",
    "datasets/anna:stream",
    "/proc/self/environ",
    "/dev/null",
    ".. /secret.txt",
    "datasets/..;/..;/../secret.txt",
    "\x00/etc/passwd",
    "datasets/\n../../etc",
    "%2e%2e%2fsecret.txt",
    "..%2fsecret.txt",
    "..%c0%afsecret.txt",
    "....//secret.txt",
    "\uff0e\uff0e/secret.txt",
    "x" * 5000,
]
SECRET = "THE-SECRET-WORD"


@dataclass
class Shared:
    url: str
    root: Path
    jobs: JobQueue
    config: dict[str, Any]
    trainer: httpx.Client
    looker: httpx.Client
    stranger: httpx.Client

    def function(self, name: str) -> Any:
        return next(event for event in self.config["dependencies"] if event["api_name"] == name)

    def strip(self) -> int:
        return next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == "live")

    def everything(self) -> dict[str, bytes]:
        """All files of the workspace, but for gradio's own copies of what is shown, and what is just being written."""
        files = (p for p in self.root.rglob("*") if p.is_file() and ".gradio" not in p.parts and p.suffix != ".part")
        return {str(p): p.read_bytes() for p in files}


def logged_in(url: str, name: str, password: str) -> httpx.Client:
    client = httpx.Client(base_url=url, timeout=60)
    assert client.post("/login", data={"username": name, "password": password}).status_code == 200
    return client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text(SECRET)
    root = outside / "workspace"
    (root / "datasets" / "anna").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "datasets" / "anna" / "a.png")
    (root / "link").symlink_to("/etc")
    (root / "datasets" / "link2").symlink_to("/etc")
    (root / "embeddings").mkdir()
    (root / "embeddings" / "secret.txt").write_text(SECRET)
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))  # as app.py does
    workspace = Workspace(root, confined=True)
    jobs = JobQueue(workspace)
    blocks = start_page(
        workspace,
        ServerOptions(free_port(), user="anna", password="right", look_user="eve", look_password="looks"),
        jobs,
    )
    url = f"http://127.0.0.1:{blocks.server_port}"
    trainer = logged_in(url, "anna", "right")
    yield Shared(
        url,
        root,
        jobs,
        trainer.get("/config").json(),
        trainer,
        logged_in(url, "eve", "looks"),
        httpx.Client(base_url=url, timeout=60),
    )
    blocks.close()
    jobs.close()
    os.environ.pop("GRADIO_TEMP_DIR")


# ---- strangers

GETS = [
    "/config",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/file=embeddings/secret.txt",
    "/gradio_api/queue/data?session_hash=x",
    "/monitoring",
    "/monitoring/summary",
    "/gradio_api/queue/status",
    "/gradio_api/upload_progress?upload_id=x",
    "/gradio_api/proxy=http://127.0.0.1/",
    "/gradio_api/deep_link",
    "/gradio_api/mcp/",
    "/gradio_api/mcp/schema",
    "/sdapi/v1/embeddings",
    "/sdapi/v1/progress",
    "/files/x/y.png",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/gradio_api/dev/reload",
    "/gradio_api/vibe-code",
]
POSTS = [
    "/gradio_api/run/train",
    "/gradio_api/api/train",
    "/gradio_api/call/train",
    "/gradio_api/call/v2/train",
    "/gradio_api/queue/join",
    "/gradio_api/component_server",
    "/gradio_api/upload",
    "/gradio_api/mcp/",
    "/gradio_api/mcp/messages/",
    "/sdapi/v1/create/embedding",
    "/sdapi/v1/train/embedding",
    "/sdapi/v1/preprocess",
    "/sdapi/v1/interrupt",
    "/gradio_api/vibe-edit",
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/vibe-code",
    "/gradio_api/process_recording",
    "/gradio_api/stream/x",
    "/gradio_api/run-history/connect",
    "/gradio_api/profiling/clear",
]


@pytest.mark.parametrize("path", GETS)
def test_a_stranger_reads_nothing(shared: Shared, path: str) -> None:
    answer = shared.stranger.get(path)
    assert answer.status_code in (401, 403, 404, 405), (path, answer.text[:200])
    assert SECRET not in answer.text and str(shared.root) not in answer.text


@pytest.mark.parametrize("path", POSTS)
def test_a_stranger_starts_nothing(shared: Shared, path: str) -> None:
    before = shared.everything()
    answer = shared.stranger.post(path, json={"data": [], "fn_index": 0, "session_hash": "x"})
    assert answer.status_code in (401, 403, 404, 405), (path, answer.text[:200])
    assert shared.everything() == before


def test_a_stranger_sees_the_login_page_and_it_tells_nothing(shared: Shared) -> None:
    text = shared.stranger.get("/").text
    assert '"auth_required":true' in text.replace(" ", "")
    assert str(shared.root) not in text and "train-button" not in text and "datasets" not in text


# ---- those who may look

MAY_LOOK = {
    *("mark_opened", "mark_clicked", "mark_tagged", "mark_found", "drawn_marks"),  # which pictures have a frame
    "pictures_of",  # those of a negative word
    "make",  # a mask in the editor, until it is saved
    "put_back",
    "follow",  # saves what was typed only for somebody who may train
    "arrive",
    "follow_checkpoint",
    "gpus_field",
    "device_field",
    "described",
    "enter",
    "open",
    "open_other",
    "pick",
    "look",
    "start_new",
    "preview",
    "draw_again",
    "rate_picture",
    "read_again",
    "status",
    "line",
    "embeddings",
    "checkpoints",
    "runs",
    "suggested",
    "fill_sample",
    "take_result",
    "greeting",
    "export",
    "import_form",
    "sample_pictures",
    "said",
    "keep",
    "read",
    "fill",
    "cleared",
    "take_back",
    "take_run",
    "labelled",
    "listed",
    "refreshed",
    "offered_face_finder",
    "put",
    "show",
    "<lambda>",
    "lambda",
}


def test_the_handlers_that_only_look_are_these(shared: Shared) -> None:
    """Whoever adds a handler that changes nothing marks it with `read_only`, and adds it here on purpose."""
    from ti_core.ui.app_context import AppContext
    from ti_core.ui.page import Page

    blocks = Page(AppContext(shared.jobs.table.workspace, shared.jobs)).build()
    names = {
        event.fn.__name__ for event in blocks.fns.values() if event.fn and getattr(event.fn, "is_read_only", False)
    }
    assert names <= MAY_LOOK
    changing = {
        event.fn.__name__ for event in blocks.fns.values() if event.fn and not getattr(event.fn, "is_read_only", False)
    }
    assert {
        "start",
        "take_photos",
        "save_one",
        "_interrupt",
        "rename",
        "merge",
        "create_embedding",
        "train",
        "cancel",
    } <= changing


def test_who_may_look_changes_nothing_by_any_handler_called_by_number(shared: Shared) -> None:
    before = shared.everything()
    refused = 0
    for event in shared.config["dependencies"]:
        if not event["backend_fn"]:
            continue
        body = {"data": [None] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "s"}
        answer = shared.looker.post("/gradio_api/run/predict", json=body)
        refused += "You may look" in answer.text
        assert str(shared.root) not in answer.text, event["api_name"]
    assert refused > 20
    assert shared.everything() == before and not queue_rows(shared.jobs)


@pytest.mark.parametrize(
    "name", ["create_embedding", "preprocess", "train", "resume", "generate", "interrupt", "cancel", "move_up", "again"]
)
def test_who_may_look_starts_nothing_through_the_api(shared: Shared, name: str) -> None:
    from ti_core.jobs.kinds import KINDS
    from ti_core.ui.api import ORDERS as KIND_OF

    data = [""] * (name in ("cancel", "move_up", "again"))
    if name in KIND_OF:
        settings = KINDS[KIND_OF[name][0]].settings
        data = _in_order_of_the_api(settings, settings.defaults())
    for path in (f"/gradio_api/run/{name}", f"/gradio_api/api/{name}"):
        answer = shared.looker.post(path, json={"data": data})
        assert answer.status_code >= 400 and "You may look" in answer.text, answer.text
    assert not queue_rows(shared.jobs)


def _in_order_of_the_api(settings: Any, values: dict[str, Any]) -> list[Any]:
    """Parameters without a default come first, as Python wants it."""
    defaults, options = settings.defaults(), settings.options()
    return [
        values[name]
        for name in sorted(defaults, key=lambda name: not (options[name].required and defaults[name] == ""))
    ]


def test_who_may_look_uploads_nothing_and_orders_nothing_in_the_line(shared: Shared) -> None:
    before = shared.everything()
    assert shared.looker.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 403
    for action in ("up", "cancel", "again", "resume"):
        body = {
            "data": {"job": "x", "action": action},
            "component_id": shared.strip(),
            "fn_name": "change_job",
            "session_hash": "s",
        }
        assert "You may look" in shared.looker.post("/gradio_api/component_server", json=body).text
    assert shared.looker.post("/sdapi/v1/interrupt", auth=("eve", "looks")).status_code == 403
    told = shared.looker.get("/live").json()
    assert told["you"] == {"name": "eve", "may_train": False}
    assert shared.everything() == before


# ---- paths


def clear_or_refused(shared: Shared, answer: httpx.Response) -> None:
    """4xx, or a sentence; nothing of what lies outside, and no folder of the server."""
    assert answer.status_code < 500 or '"error":"' in answer.text.replace(" ", ""), answer.text[:300]
    for leaked in (SECRET, "root:x:", str(shared.root), str(shared.root.parent)):
        assert leaked not in answer.text.replace("\\\\/", "/"), leaked
    assert "Traceback" not in answer.text and answer.text != "null"


ORDERS = {
    "preprocess": ("source_directory", "destination_directory"),
    "train": ("embedding", "dataset_directory", "log_directory", "template_file", "checkpoint", "vae"),
    "create_embedding": ("checkpoint",),
    "generate": ("checkpoint", "vae"),
    "resume": ("run_folder",),
}


@pytest.mark.parametrize("order", ORDERS)
def test_no_path_field_leads_out_of_the_workspace(shared: Shared, order: str) -> None:
    from ti_core.jobs.kinds import KINDS
    from ti_core.ui.api import ORDERS as KIND_OF

    before = {path: text for path, text in shared.everything().items() if "/jobs/" not in path}
    given = {
        "name": "x",
        "embedding": "x",
        "dataset_directory": "datasets/anna",
        "source_directory": "datasets/anna",
        "destination_directory": "datasets/out",
        "prompt": "x",
        "run_folder": "datasets/anna",
    }
    settings = KINDS[KIND_OF[order][0]].settings
    defaults = settings.defaults()
    for field in (name for name in ORDERS[order] if name in defaults):
        for text in TRAVERSALS:
            data = _in_order_of_the_api(
                settings,
                {**defaults, **{name: value for name, value in given.items() if name in defaults}, field: text},
            )
            answer = shared.trainer.post(f"/gradio_api/run/{order}", json={"data": data})
            assert "You may look" not in answer.text
            if answer.status_code != 200:
                clear_or_refused(shared, answer)
            else:  # accepted as a plain name inside the workspace: let it end
                job = shared.jobs.get(answer.json()["data"][0])
                assert job and shared.jobs.wait_for(job, 30).state in ("failed", "finished"), (field, text)
                assert SECRET not in job.text and "root:x:" not in job.text
    after = {path: text for path, text in shared.everything().items() if "/jobs/" not in path}
    new = [path for path in after if path not in before]
    assert all(Path(path).resolve().is_relative_to(shared.root) for path in new)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("field", ["captions_folder", "templates_folder", "templates_name", "embeddings_chosen"])
def test_no_field_of_the_other_tabs_leads_out(shared: Shared, field: str) -> None:
    component = next(c["id"] for c in shared.config["components"] if c["props"].get("elem_id") == field)
    events = [e for e in shared.config["dependencies"] if e["backend_fn"] and component in e["inputs"]]
    assert events
    for event in events:
        for text in TRAVERSALS:
            data = [
                text if i == component else "a line with [name]" if i == _component(shared, "templates_text") else None
                for i in event["inputs"]
            ]
            clear_or_refused_or_updates(
                shared,
                shared.trainer.post(
                    "/gradio_api/run/predict", json={"data": data, "fn_index": event["id"], "session_hash": "t"}
                ),
            )
    assert not [p for p in shared.root.parent.iterdir() if p.name not in ("workspace", "secret.txt")]


def _component(shared: Shared, elem_id: str) -> int:
    return next(c["id"] for c in shared.config["components"] if c["props"].get("elem_id") == elem_id)


def clear_or_refused_or_updates(shared: Shared, answer: httpx.Response) -> None:
    for leaked in (SECRET, "root:x:", "Traceback"):
        assert leaked not in answer.text, answer.text[:300]
    assert str(shared.root.parent / "secret") not in answer.text


FILE_ROUTES: list[Callable[[str], str]] = [
    lambda text: f"/gradio_api/file={text}",
    lambda text: f"/gradio_api/file/{text}",
    lambda text: f"/files/{text}",
    lambda text: f"/files/x/{text}",
    lambda text: f"/static/{text}",
    lambda text: f"/assets/{text}",
    lambda text: f"/svelte/{text}",
    lambda text: f"/gradio_api/custom_component/x/client/component/{text}",
    lambda text: f"/gradio_api/proxy={text}",
]


@pytest.mark.parametrize("route", range(len(FILE_ROUTES)))
def test_no_file_address_leads_out(shared: Shared, route: int) -> None:
    inside = [
        str(shared.root / "embeddings" / "secret.txt"),
        str(shared.root.parent / "secret.txt"),
        "embeddings/secret.txt",
        str(shared.root / "jobs" / "lock"),
    ]
    for text in [*TRAVERSALS[:47], *inside]:
        for sent in {text, text.replace("/", "%2f"), text.replace(".", "%2e")}:
            try:
                answer = shared.trainer.get(FILE_ROUTES[route](sent))
            except httpx.InvalidURL:  # such an address cannot even be sent
                continue
            assert 300 <= answer.status_code < 500 or (
                answer.status_code == 200 and SECRET not in answer.text and "root:x:" not in answer.text
            ), (
                sent,
                answer.status_code,
            )
            assert SECRET not in answer.text and "root:x:" not in answer.text


def test_an_announced_file_is_fetched_by_a_name_without_paths_and_only_after_a_login(shared: Shared) -> None:
    run = shared.root / "textual_inversion" / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "anna.pt").write_bytes(b"vectors")
    (run / "page.html").write_text("<script>")

    def work(emit: Emit, stop: threading.Event) -> None:
        emit(Started(f"Training in {run}", 1, plan=f"{run}", folder=str(run)))
        emit(Finished(f"Saved to {run}/anna.pt", files=(str(run / "anna.pt"), str(run / "page.html"))))

    shared.jobs.wait_for(shared.jobs.submit("train", "x", work))
    answer = shared.looker.get("/live")
    told = answer.json()
    assert str(shared.root) not in answer.text
    assert [name for name, _ in told["files"]] == ["anna.pt"]
    address = "/" + told["files"][0][1]
    fetched = shared.looker.get(address)
    assert (
        fetched.content == b"vectors"
        and "attachment" in fetched.headers["content-disposition"]
        and fetched.headers["x-content-type-options"] == "nosniff"
    )
    assert shared.stranger.get(address).status_code == shared.stranger.get("/live").status_code == 401
    assert shared.looker.get(address.replace("anna.pt", "page.html")).status_code == 404


# ---- uploads


def test_uploads_are_limited_before_they_are_read(shared: Shared) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", "/gradio_api/upload")
    for header, value in (
        ("Content-Length", MAX_UPLOAD_BYTES + 1),
        ("Content-Type", "multipart/form-data; boundary=x"),
        ("Cookie", "; ".join(f"{cookie.name}={cookie.value}" for cookie in shared.trainer.cookies.jar)),
    ):
        connection.putheader(header, str(value))
    connection.endheaders()
    assert connection.getresponse().status == 413

    def endless() -> Iterator[bytes]:
        yield b"x"

    assert shared.trainer.post("/gradio_api/upload", content=endless()).status_code == 411


def upload(shared: Shared, name: str, data: bytes) -> dict[str, Any]:
    (path,) = shared.trainer.post("/gradio_api/upload", files={"files": (name, data)}).json()
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def handler_of(shared: Shared, elem_id: str) -> dict[str, Any]:
    component = _component(shared, elem_id)
    return next(e for e in shared.config["dependencies"] if [component, "upload"] in e["targets"])


def test_bombs_and_pickles_are_refused_whatever_they_are_called(shared: Shared) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    drop = handler_of(shared, "preprocess_drop")
    body = {"data": [[upload(shared, "bomb.png", bomb)], "x"], "fn_index": drop["id"], "session_hash": "u"}
    assert "None of the dropped files is a photo" in shared.trainer.post("/gradio_api/run/predict", json=body).text
    pickled = b"\x80\x04cos\nsystem\n(S'touch /tmp/never'\ntR."
    take = handler_of(shared, "embeddings_drop")
    for name in ("evil.pt", "evil.bin", "evil.safetensors", "evil.png"):
        body = {"data": [upload(shared, name, pickled), None], "fn_index": take["id"], "session_hash": "u"}
        answer = shared.trainer.post("/gradio_api/run/predict", json=body)
        assert "evil" in answer.text or answer.status_code >= 400
    assert not list((shared.root / "embeddings").glob("evil*")) and not Path("/tmp/never").exists()


def test_a_forged_file_is_not_read(shared: Shared) -> None:
    take = handler_of(shared, "embeddings_drop")
    for path in ("/etc/passwd", str(shared.root.parent / "secret.txt"), str(shared.root / "embeddings" / "secret.txt")):
        body = {
            "data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, None],
            "fn_index": take["id"],
            "session_hash": "u",
        }
        answer = shared.trainer.post("/gradio_api/run/predict", json=body)
        assert SECRET not in answer.text and "root:x:" not in answer.text and answer.status_code >= 400
