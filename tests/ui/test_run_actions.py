"""What the server answers about runs on disk: to the buttons, to who may look only, and to what nobody should ask."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.runs.disk import make_run
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.ui import run_actions
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.live import live_routes, view
from ti_core.ui.live.run_list import MOST_RUNS, run_routes
from ti_core.ui.run_actions import change_run
from ti_core.ui.server.roles import AT_THIS_COMPUTER
from ti_core.workspace import Workspace

RUN = "textual_inversion/2026-01-31/anna"


@pytest.fixture
def context(tmp_path: Path) -> Any:
    workspace = Workspace(tmp_path / "workspace", confined=True)
    workspace.root.mkdir()
    jobs = JobQueue(workspace, is_paused=True)
    yield AppContext(workspace, jobs)
    jobs.close()


class Looker:
    """The middleware's place: says who asks."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["person"] = AT_THIS_COMPUTER
        await self.app(scope, receive, send)


def client(context: AppContext) -> TestClient:
    return TestClient(Looker(Starlette(routes=[*live_routes(context), *run_routes(context)])))


def test_a_page_gets_the_list_once_and_then_what_has_changed(context: AppContext) -> None:
    make_run(context.workspace.root)
    with client(context) as browser:
        first = browser.get("/live").json()["runs"]
        assert [row["run"] for row in first["rows"]] == [RUN] and first["whole"] and first["more"] == 0
        assert browser.get("/live", params={"runs": first["mark"]}).json()["runs"] == {"mark": first["mark"]}
        shown = browser.get("/live", params={"runs": first["mark"], "show": RUN}).json()
        assert (shown["run"], shown["state"], len(shown["curve"])) == (RUN, "finished", 30)
        assert all(url.startswith("files/") for _, url, *_ in shown["previews"]) and len(shown["previews"]) == 3
        steps = browser.get("/live/steps", params={"job": shown["job"]}).json()["steps"]
        assert [step for step, _ in steps] == [10, 20, 30]
        assert browser.get("/live", params={"show": "../../etc"}).json()["job"] == ""


def test_the_list_is_bounded_and_the_rest_is_counted(context: AppContext) -> None:
    run = make_run(context.workspace.root, steps=(1,), total=1)
    for number in range(MOST_RUNS + 4):
        other = run.root.with_name(f"anna{number}")
        (other / "embeddings").mkdir(parents=True)
        (other / "embeddings" / "anna-1.pt").write_bytes(b"x")
    context.runs.refresh()
    answer = view(context, {}, AT_THIS_COMPUTER)["runs"]
    assert (len(answer["rows"]), answer["more"]) == (MOST_RUNS, 5)
    answer = view(context, {"most": str(MOST_RUNS + 200)}, AT_THIS_COMPUTER)["runs"]
    assert (len(answer["rows"]), answer["more"]) == (MOST_RUNS + 5, 0)
    assert len(json.dumps(answer)) < 300 * len(answer["rows"])


def test_a_thumbnail_is_small_and_a_zip_holds_all_but_links(context: AppContext, tmp_path: Path) -> None:
    run = make_run(context.workspace.root)
    (tmp_path / "secret.txt").write_text("secret")
    (run.root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (run.root / "folder").symlink_to(tmp_path)
    Image.effect_noise((512, 512), 80).save(run.preview(40))
    with client(context) as browser:
        small = browser.get("/live/thumbnail", params={"run": RUN})
        assert Image.open(io.BytesIO(small.content)).size == (96, 96) and len(small.content) < 8000
        whole = browser.get("/live/zip", params={"run": RUN})
        archive = zipfile.ZipFile(io.BytesIO(whole.content))
        assert archive.testzip() is None and "attachment" in whole.headers["content-disposition"]
        expected = {f"anna/{path.relative_to(run.root)}" for path in run.root.rglob("*") if path.is_file()}
        assert set(archive.namelist()) == expected - {"anna/link.txt"}
        assert archive.read("anna/embeddings/anna-10.pt") == b"anna-10.pt of embeddings"
        assert len(browser.get("/live/curve", params={"run": RUN}).json()["curve"]) == 30
        for address in ("thumbnail", "curve", "zip"):
            for wrong in ("../secret", str(tmp_path), "", "x" * 5000):
                assert browser.get(f"/live/{address}", params={"run": wrong}).status_code == 404


def test_the_buttons_of_a_run_answer_with_sentences(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(context.workspace.root, steps=(10, 20), total=30)
    answer = change_run(context, {"run": RUN, "action": "resume"})
    assert answer == {"message": "In the line: Resume anna.", "run": RUN}
    refused = change_run(context, {"run": RUN, "action": "delete"})
    assert "waits and needs this run" in refused["message"] and refused["run"] == RUN
    context.jobs.cancel(context.jobs.waiting()[0].id)
    answer = change_run(context, {"run": RUN, "action": "rename", "name": "best"})
    assert answer["run"] == RUN.replace("anna", "best") and context.runs.get(answer["run"])
    answer = change_run(context, {"run": answer["run"], "action": "delete"})
    assert answer["run"] == "" and not context.runs.newest()
    answer = change_run(context, {"run": RUN.replace("anna", "best"), "action": "restore"})
    assert context.runs.get(answer["run"])
    for wrong in (None, 5, {}, {"action": "rm"}, {"run": "../x", "action": "delete"}, {"run": [], "action": "resume"}):
        assert "Traceback" not in change_run(context, wrong)["message"]

    def refuse() -> None:
        raise UserError("You may look, but change nothing here.")

    monkeypatch.setattr(run_actions, "check_may_train", refuse)
    for action in ("resume", "rename", "delete", "restore", "repair"):
        run = answer["run"]
        assert "You may look" in change_run(context, {"run": run, "action": action, "name": "x"})["message"]
        assert context.runs.get(run) and not context.jobs.waiting()


def test_a_step_of_an_earlier_folder_is_put_to_use(context: AppContext) -> None:
    first = make_run(context.workspace.root, "2026-01-30", steps=(10, 20))
    second = make_run(context.workspace.root, steps=(30,), first_step=20)
    assert "Step 10 is now" in context.use_step(second.root, 10)
    assert (context.workspace.embeddings / "anna.pt").read_bytes() == first.copy(10).read_bytes()
