"""The page is ended as docker stop ends it: the running training is saved, and nothing is left of the process or of
uploads.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from gradio_client import Client

from tests.ui.journey import ANSWER_S, running_app
from ti_core.embeddings.formats import load_embedding
from ti_core.program.temporary_folders import LOCK
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS

TRAIN = {
    "embedding": "anna",
    "dataset_directory": f"{SHOWN_SAMPLE_PHOTOS}/anna",
    "template_file": "subject.txt",
    "steps": 100_000,
    "image_every": 0,
}


def test_sigterm_saves_the_running_training_and_clears_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, left_over = tmp_path / "tmp", tmp_path / "tmp" / "ti-uploads-of-a-killed-server"
    left_over.mkdir(parents=True)
    (left_over / LOCK).touch()
    os.utime(left_over / LOCK, (0, 0))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with running_app(workspace, "--listen", "--auth", "anna:long-password") as (url, lines):
        assert not left_over.exists() and len(list(place.glob("ti-uploads-*"))) == 1
        program = Client(url, auth=("anna", "long-password"), verbose=False, httpx_kwargs={"timeout": ANSWER_S})
        program.predict(name="anna", api_name="/create_embedding")
        job = program.predict(**TRAIN, api_name="/train")
        while (told := program.predict(job, api_name="/status"))["loss"] is None:
            assert told["state"] in ("waiting", "running"), told
            time.sleep(0.2)
        children = psutil.Process().children(recursive=True)
    assert any("Saving the running work" in line for line in lines)
    (kept,) = (json.loads(file.read_text()) for file in (workspace / "jobs").glob("train-*.json"))
    saved = re.search(r"Training interrupted at (\d+) steps", kept["text"])
    assert kept["state"] == "interrupted" and saved is not None, (kept["text"], lines)
    assert load_embedding(workspace / "embeddings" / "anna.pt").step == int(saved[1]) >= 1
    psutil.wait_procs(children, 30)
    assert not [child for child in children if child.is_running()]
    assert not list(place.glob("ti-uploads-*"))
