"""Names of files that are no UTF-8, as old zips leave them: the page opens all the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.runs.disk import make_run
from tests.ui.journey import free_port
from ti_core.jobs.queue import JobQueue
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import json_answer, step_answer
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace

ODD = os.fsdecode(b"M\xfcller")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_the_page_opens_whatever_the_names_in_the_workspace_are(tmp_path: Path) -> None:
    make_run(tmp_path, name="mueller").root.rename(tmp_path / "textual_inversion" / "2026-01-31" / ODD)
    run = make_run(tmp_path, "2026-01-30", "anna")
    run.copy(40).with_name(f"{ODD}-40.pt").write_bytes(b"x")
    for name in (f"embeddings/{ODD}.pt", f"presets/{ODD}.json", f"templates/{ODD}.txt", f"datasets/{ODD}/{ODD}.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("[name]")
    Image.new("RGB", (8, 8)).save(tmp_path / "datasets" / ODD / f"{ODD}.png")
    jobs = JobQueue(Workspace(tmp_path))
    blocks = start_page(Workspace(tmp_path), ServerOptions(free_port()), jobs)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{blocks.server_port}", timeout=60) as client:
            assert client.get("/").status_code == 200
            rows = client.get("/live").json()["runs"]["rows"]
            assert [row["name"] for row in rows] == ["anna"], "what no browser can name is not listed"
            assert client.post("/gradio_api/run/embeddings", json={"data": []}).json()["data"] == [["M?ller"]]
    finally:
        blocks.close()
        jobs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_the_files_of_a_step_may_have_such_names(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.copy(40).with_name(f"{ODD}-40.pt").write_bytes(b"x")
    context = AppContext(Workspace(tmp_path), JobQueue(Workspace(tmp_path)))
    job = context.opened.read("textual_inversion/2026-01-31/anna")
    answer = step_answer(context, {"job": job.id, "step": "40"})
    assert [kind for kind, _, _ in answer["files"]] == ["copy", "safetensors"]
    assert json_answer(answer).body and "M%3Fller-40.pt" in answer["files"][0][2]
