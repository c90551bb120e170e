"""Programs do what the page does: gradio's API with plain names, and A1111's own addresses."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.conftest import TINY
from tests.ui.journey import ANSWER_S, free_port
from ti_core.embeddings.formats import load_embedding
from ti_core.events import PreviewSaved
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import queue_rows
from ti_core.ui.a1111_api import _progress, _settings
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace


@dataclass
class Served:
    url: str
    jobs: JobQueue
    workspace: Workspace
    client: Client
    a1111: httpx.Client

    def wait(self, job: str) -> str:
        found = self.jobs.get(job)
        assert found, job
        return self.jobs.wait_for(found, 120).state


@pytest.fixture
def served(workspace: Workspace, dataset: Path) -> Iterator[Served]:
    shared = Workspace(workspace.root, confined=True)
    jobs = JobQueue(shared)
    blocks = start_page(
        shared,
        ServerOptions(free_port(), user="anna", password="right", look_user="eve", look_password="looks"),
        jobs,
        TINY,
    )
    url = f"http://127.0.0.1:{blocks.server_port}"
    yield Served(
        url,
        jobs,
        shared,
        Client(url, auth=("anna", "right"), verbose=False, httpx_kwargs={"timeout": ANSWER_S}),
        httpx.Client(base_url=url, auth=("anna", "right"), timeout=ANSWER_S),
    )
    blocks.close()
    jobs.close()


TRAIN = {"embedding": "anna", "dataset_directory": "datasets/anna", "checkpoint": TINY, "steps": 3, "image_every": 0}


def test_a_program_creates_trains_watches_and_repeats_with_the_settings_own_names(served: Served) -> None:
    call = served.client.predict
    job = call(name="anna", vectors=2, checkpoint=TINY, api_name="/create_embedding")
    assert served.wait(job) == "finished" and call(api_name="/embeddings") == ["anna"]
    assert TINY in call(api_name="/checkpoints")
    job = call(**TRAIN, template_file="subject_filewords.txt", api_name="/train")
    assert served.wait(job) == "finished"
    status = call(job, api_name="/status")
    assert (status["state"], status["done"], status["total"], status["owner"]) == ("finished", 3, 3, "anna")
    assert status["loss"] > 0 and "anna.pt" in status["files"]
    assert load_embedding(served.workspace.embeddings / "anna.pt").step == 3
    assert [row["state"] for row in call(api_name="/line")] == ["finished", "finished"]
    again = call(job, api_name="/again")
    assert served.wait(again) == "failed" and "has 3 steps already" in call(again, api_name="/status")["text"]
    assert call(api_name="/interrupt") == "Nothing is running."


def test_a_mistake_of_a_program_is_the_same_sentence_as_on_the_page(served: Served) -> None:
    call = served.client.predict
    for name, values, part in (
        ("train", {**TRAIN, "embedding": "nobody", "steps": 0}, "Max steps is 0"),
        ("train", {**TRAIN, "dataset_directory": "../x"}, "outside the workspace"),
        ("create_embedding", {"name": "///"}, "has no letter or digit"),
        ("cancel", {"job": "x"}, "There is no job 'x'"),
        ("resume", {"run_folder": "datasets/anna"}, "no state to go on from"),
    ):
        with pytest.raises(AppError, match=part):
            call(**values, api_name=f"/{name}")
    assert not queue_rows(served.jobs)


def test_only_plain_names_are_public(served: Served) -> None:
    names = set(served.client.view_api(return_format="dict", print_info=False)["named_endpoints"])
    orders = {"/create_embedding", "/paint_dataset", "/preprocess", "/train", "/resume", "/compare", "/generate"}
    assert names == orders | {
        "/status",
        "/line",
        "/embeddings",
        "/checkpoints",
        "/runs",
        "/interrupt",
        "/picture_now",
        "/save_now",
        "/cancel",
        "/move_up",
        "/again",
        "/use_step",
    }


def test_a1111s_addresses_create_train_list_and_tell_the_progress_as_there(served: Served) -> None:
    post = lambda path, **values: served.a1111.post(f"/sdapi/v1/{path}", json=values)  # noqa: E731
    body = {
        "name": "anna",
        "num_vectors_per_token": 2,
        "overwrite_old": False,
        "init_text": "*",
    }  # no checkpoint: it is the server's, as there
    assert post("create/embedding", **body).json() == {"info": "create embedding filename: embeddings/anna.pt"}
    assert (
        "create embedding error: An embedding called 'anna' exists already"
        in post("create/embedding", **body).json()["info"]
    )
    seen = []
    stop = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=served.url, auth=("eve", "looks"), timeout=ANSWER_S) as viewer:
            while not stop.is_set():
                seen.append(viewer.get("/sdapi/v1/progress").json())

    watcher = threading.Thread(target=watch)
    watcher.start()
    trained = post(
        "train/embedding",
        id_task="task(1)",
        embedding_name="anna",
        learn_rate="0.005",
        batch_size=1,
        gradient_step=1,
        data_root="datasets/anna",
        log_directory="textual_inversion",
        training_width=0,
        training_height=0,
        varsize=False,
        steps=3,
        clip_grad_mode="disabled",
        clip_grad_value="0.1",
        shuffle_tags=False,
        tag_drop_out=0,
        latent_sampling_method="once",
        use_weight=False,
        create_image_every=0,
        save_embedding_every=0,
        template_filename="subject_filewords.txt",
        save_image_with_stored_embedding=True,
        preview_from_txt2img=False,
        preview_prompt="something else",
        preview_sampler_name="Euler",
    )
    stop.set()
    watcher.join()
    assert trained.json() == {"info": "train embedding complete: filename: embeddings/anna.pt error: None"}
    by_our_names = post(
        "train/embedding",
        embedding="anna",
        dataset_directory="datasets/anna",
        steps=4,
        image_every=0,
        save_every=0,
        checkpoint=TINY,
    )
    assert by_our_names.json() == trained.json()
    listed = served.a1111.get("/sdapi/v1/embeddings").json()
    assert (
        listed["loaded"]["anna"].items() >= {"step": 4, "sd_checkpoint_name": TINY, "shape": 32, "vectors": 2}.items()
        and listed["skipped"] == {}
    )
    assert any(told["state"]["job"] == "train" and told["state"]["job_count"] == 1 for told in seen)
    idle = served.a1111.get("/sdapi/v1/progress").json()
    assert (idle["progress"], idle["eta_relative"], idle["state"]["job_count"], idle["current_image"]) == (
        0.0,
        0.0,
        0,
        None,
    )
    assert post("interrupt").json() == {}
    wrong = post(
        "train/embedding", embedding_name="nobody", data_root="nothing", learn_rate="", steps=0, nonsense=1
    ).json()["info"]
    assert wrong.startswith("train embedding error: ") and "nonsense" in wrong


def test_a1111s_names_of_samplers_and_any_size_go_on_working() -> None:
    asked = {
        "preview_from_txt2img": True,
        "preview_sampler_name": "DPM++ 2M",
        "preview_width": 500,
        "preview_height": 512,
    }
    assert _settings("train", asked) == {
        "preview_sampler": "DPM++ 2M Karras",
        "preview_width": 496,
        "preview_height": 512,
    }
    assert _settings("train", {**asked, "preview_sampler_name": "LMS"})["preview_sampler"] == "DPM++ 2M Karras"
    assert _settings("train", {**asked, "preview_sampler_name": "Euler a"})["preview_sampler"] == "Euler a"
    assert _settings("train", {**asked, "preview_from_txt2img": False}) == {}
    for size in (float("inf"), float("nan"), 10**400, "wide"):
        assert _settings("train", {**asked, "preview_width": size})["preview_width"] is size


def test_a1111s_preprocess_crops_a_folder(served: Served) -> None:
    values = {
        "process_src": "datasets/anna",
        "process_dst": "datasets/small",
        "process_width": 64,
        "process_height": 64,
        "preprocess_txt_action": "copy",
        "process_flip": True,
    }
    assert served.a1111.post("/sdapi/v1/preprocess", json={"id_task": None, **values}).json() == {
        "info": "preprocess complete"
    }
    assert len(list((served.workspace.datasets / "small").glob("*.png"))) == 8
    assert (
        "preprocess error"
        in served.a1111.post("/sdapi/v1/preprocess", json={**values, "process_src": "/etc"}).json()["info"]
    )


def test_a1111s_addresses_want_name_and_password_and_no_foreign_page(served: Served) -> None:
    path = f"{served.url}/sdapi/v1/create/embedding"
    body = {"name": "boris", "checkpoint": TINY}
    assert httpx.get(f"{served.url}/sdapi/v1/progress", timeout=ANSWER_S).status_code == 401
    assert httpx.post(path, json=body, timeout=ANSWER_S).status_code == 401
    assert httpx.post(path, json=body, auth=("anna", "wrong"), timeout=ANSWER_S).status_code == 401
    assert httpx.post(path, json=body, auth=("eve", "looks"), timeout=ANSWER_S).status_code == 403
    assert (
        httpx.post(
            path, json=body, auth=("anna", "right"), headers={"Origin": "https://evil.example"}, timeout=ANSWER_S
        ).status_code
        == 403
    )
    assert (
        "application/json"
        in httpx.post(path, content='{"name": "boris"}', auth=("anna", "right"), timeout=ANSWER_S).json()["info"]
    )
    assert (
        "error"
        in httpx.post(
            path,
            content="[" * 100_000,
            auth=("anna", "right"),
            headers={"content-type": "application/json"},
            timeout=ANSWER_S,
        ).json()["info"]
    )
    assert not queue_rows(served.jobs)


def test_a_training_that_is_interrupted_before_its_first_file_is_told_to_a1111s_scripts(served: Served) -> None:
    assert served.a1111.post("/sdapi/v1/create/embedding", json={"name": "anna"}).status_code == 200
    before = served.jobs.submit("x", "before", lambda emit, stop: stop.wait(600))
    while before.state == "waiting":  # until it runs, it would be the first of the line below
        time.sleep(0.05)
    answers = []

    def train() -> None:
        answers.append(served.a1111.post("/sdapi/v1/train/embedding", json={**TRAIN, "template_file": "subject.txt"}))

    caller = threading.Thread(target=train)
    caller.start()
    while not (line := served.jobs.waiting()):
        time.sleep(0.05)
    line[0].stop.set()
    before.stop.set()
    caller.join()
    assert answers[0].json() == {"info": "train embedding error: Interrupted."}


def test_what_is_no_switch_replaces_no_trained_embedding(served: Served) -> None:
    """ "overwrite_old": "false" once replaced it."""
    assert (
        served.wait(served.client.predict(name="anna", vectors=2, checkpoint=TINY, api_name="/create_embedding"))
        == "finished"
    )
    before = (served.workspace.embeddings / "anna.pt").read_bytes()
    for value in ("false", "no", "0", None, 2, [], {}):
        body = {"name": "anna", "num_vectors_per_token": 1, "overwrite_old": value, "init_text": "*"}
        info = served.a1111.post("/sdapi/v1/create/embedding", json=body).json()["info"]
        assert "Overwrite Old Embedding" in info and "is not true or false" in info
        with pytest.raises(AppError, match=r"Overwrite Old Embedding: .* is not true or false"):
            served.client.predict(
                name="anna", vectors=1, overwrite=value, checkpoint=TINY, api_name="/create_embedding"
            )
    assert (served.workspace.embeddings / "anna.pt").read_bytes() == before


def test_a_preview_of_a1111s_has_one_prompt_in_however_many_lines() -> None:
    asked = {"preview_from_txt2img": True, "preview_prompt": "a photo of anna,\n  smiling\n"}
    assert _settings("train", asked)["preview_prompt"] == "a photo of anna, smiling"
    assert _settings("train", {**asked, "preview_prompt": ["x"]})["preview_prompt"] == ["x"]


def test_a1111s_progress_shows_the_first_prompt_of_the_newest_preview(tmp_path: Path) -> None:
    job = Job("train-1", "train", "Train anna", lambda emit, stop: None, state="running")
    assert _progress(job, False)["current_image"] is None
    for step, number in ((10, 1), (20, 1), (20, 2)):
        (tmp_path / f"{step}-{number}.png").write_bytes(f"{step} {number}".encode())
        job.fold(PreviewSaved(step, str(tmp_path / f"{step}-{number}.png"), "anna", number=number))
    assert _progress(job, False)["current_image"] == base64.b64encode(b"20 1").decode()
    assert _progress(job, True)["current_image"] is None


def test_a1111s_switch_for_previews_is_no_word_either() -> None:
    assert _settings("train", {"preview_from_txt2img": 1, "preview_prompt": "anna"}) == {"preview_prompt": "anna"}
    for value in ("false", "True", [], {}, 2):
        assert (
            _settings("train", {"preview_from_txt2img": value, "preview_prompt": "anna"})["preview_from_txt2img"]
            == value
        )  # which the form refuses
    assert _settings("train", {"preview_from_txt2img": True, "preview_width": True, "preview_sampler_name": ["x"]}) == {
        "preview_width": True,
        "preview_sampler": ["x"],
    }
