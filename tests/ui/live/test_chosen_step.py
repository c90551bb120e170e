"""What a page is told of one step: files, conversion, a word to try it with, and a photo to compare it with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.runs.disk import make_run
from tests.runs.test_in_use import rows, save_run
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.errors import UserError
from ti_core.events import Started
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.runs.use_step import use_step
from ti_core.settings import TrainSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import (
    PHOTO_PX,
    chosen_step_routes,
    prompt_of_step,
    prompt_to_try,
    step_answer,
    training_photo,
)
from ti_core.ui.live.live import view
from ti_core.ui.server.files import SMALL_PX, file_routes
from ti_core.ui.server.roles import AT_THIS_COMPUTER
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace

STEPS = [10, 20, 30]


def trained(context: AppContext, steps: list[int] = STEPS, **settings: Any) -> Job:
    """A training of anna that is over, with real copies."""
    run = save_run(context.workspace, steps)
    job = context.jobs.submit(
        "train",
        "Train anna",
        lambda emit, stop: emit(Started("Training anna", 30, folder=str(run.root))),
        settings=TrainSettings(embedding="anna", **settings),
    )
    return context.jobs.wait_for(job, 60)


@pytest.fixture
def context(tmp_path: Path) -> AppContext:
    workspace = Workspace(tmp_path)
    return AppContext(workspace, JobQueue(workspace))


@pytest.fixture
def client(context: AppContext) -> TestClient:
    return TestClient(Starlette(routes=[*chosen_step_routes(context), *file_routes(context)]))


def test_a_steps_copy_is_fetched_as_it_is_and_as_safetensors(context: AppContext, client: TestClient) -> None:
    job = trained(context)
    answer = client.get("/live/step", params={"job": job.id, "step": 20}).json()
    (_, name, copy), (kind, converted, address) = answer["files"]
    assert (name, kind, converted) == ("anna-20.pt", "safetensors", "anna-20.safetensors")
    run = context.workspace.root / job.run_folder
    assert client.get(f"/{copy}").content == (run / "embeddings" / "anna-20.pt").read_bytes()
    answer = client.get(f"/{address}")
    assert "anna-20.safetensors" in answer.headers["content-disposition"]
    assert load(answer.content)["emb_params"].tolist() == rows(20).vectors["clip_l"].tolist()
    assert not list(context.workspace.root.rglob("*.safetensors"))  # nothing is left behind


@pytest.mark.parametrize(("step", "nearest"), [(20, 20), (24, 20), (26, 30), (0, 10)])
def test_where_there_is_no_copy_the_nearest_one_is_told(context: AppContext, step: int, nearest: int) -> None:
    assert step_answer(context, {"job": trained(context).id, "step": str(step)})["nearest"] == nearest


@pytest.mark.parametrize("asked", [{}, {"job": "no", "step": "1"}, {"job": "", "step": "../x"}, {"step": "9" * 40}])
def test_what_is_asked_may_be_anything(context: AppContext, client: TestClient, asked: dict[str, str]) -> None:
    trained(context)
    assert client.get("/live/step", params=asked).json()["files"] == []
    assert client.get("/live/step.safetensors", params=asked).status_code == 404
    assert client.get("/live/photo", params=asked).status_code == 404
    with pytest.raises(UserError, match="not known any more"):
        prompt_to_try(context, asked)


def test_the_used_step_is_told_to_every_page(context: AppContext) -> None:
    job = trained(context)
    (context.workspace.embeddings / "anna.pt").unlink(missing_ok=True)
    assert "backup" not in context.use_step(context.workspace.root / job.run_folder, 20), "there was none"
    view(context, {}, AT_THIS_COMPUTER)
    context.in_use._reader.submit(int).result()  # it has read
    assert view(context, {}, AT_THIS_COMPUTER)["in_use"] == 20
    assert "kept beside it" in context.use_step(context.workspace.root / job.run_folder, 10)
    view(context, {}, AT_THIS_COMPUTER)
    context.in_use._reader.submit(int).result()
    assert view(context, {}, AT_THIS_COMPUTER)["in_use"] == 10


def test_a_run_from_the_disk_has_all_that_a_job_has_also_of_the_run_before_it(
    context: AppContext, client: TestClient
) -> None:
    first = make_run(context.workspace.root, "2026-01-30", steps=(10, 20), total=20)
    run = make_run(context.workspace.root, steps=(30,), first_step=20)
    for folder, step in ((first, 10), (first, 20), (run, 30)):
        save_embedding(folder.copy(step), rows(step))
    photos = context.workspace.root / "datasets" / "anna"
    photos.mkdir(parents=True)
    Image.new("RGB", (20, 10)).save(photos / "a.png")
    shown = context.workspace.shown(run.root)
    job = context.opened.read(shown).id
    for step in (20, 30):
        told = client.get("/live/step", params={"job": job, "step": step}).json()
        assert [kind for kind, *_ in told["files"]] == ["copy", "card", "picture", "safetensors"]
        assert told["nearest"] == step and client.get(f"/{told['files'][-1][2]}").status_code == 200
    assert step_answer(context, {"job": job, "step": "12"})["nearest"] == 10
    asked = {"job": job, "step": 20, "prompt": "a photo of anna"}
    assert prompt_to_try(context, asked) == "a photo of anna-20"
    context.use_step(run.root, 20)
    seen = {"show": shown}
    view(context, seen, AT_THIS_COMPUTER)
    context.in_use._reader.submit(int).result()  # it has read
    told = view(context, seen, AT_THIS_COMPUTER)
    assert (told["job"], told["in_use"]) == (job, 20)
    assert client.get(f"/{told['photo']}").headers["content-type"] == "image/webp"


# ---- trying a step


def test_a_prompt_means_the_step_by_its_copys_name(context: AppContext) -> None:
    job = trained(context)
    save_embedding(context.workspace.embeddings / "anna-02.pt", rows(7, "anna-02"))
    asked = {"job": job.id, "step": 20, "prompt": "a photo of Anna, beside anna-02 and joanna"}
    assert prompt_to_try(context, asked) == "a photo of anna-20, beside anna-02 and joanna"
    assert load_embedding(context.workspace.embeddings / "anna-20.pt").step == 20
    assert prompt_to_try(context, asked | {"prompt": "a sketch"}) == "a sketch, anna-20"
    use_step(context.workspace.root / job.run_folder, 20, context.workspace)
    assert prompt_to_try(context, asked | {"prompt": "a photo of anna"}) == "a photo of anna"
    with pytest.raises(UserError, match="no copy of step 25"):
        prompt_to_try(context, asked | {"step": 25})


def test_another_embedding_of_that_name_is_not_written_over(context: AppContext) -> None:
    job = trained(context)
    other = save_embedding(context.workspace.embeddings / "anna-20.pt", rows(7, "anna-20"))
    before = other.read_bytes()
    with pytest.raises(UserError, match=r"anna-20\.pt is another embedding"):
        prompt_to_try(context, {"job": job.id, "step": 20, "prompt": "anna"})
    assert other.read_bytes() == before


def test_a_prompt_without_the_name_gets_the_word() -> None:
    assert prompt_of_step("", "anna", "anna-20") == "anna-20"
    assert prompt_of_step("(anna), 1girl", "anna", "anna-20") == "(anna-20), 1girl"


# ---- the photo and small pictures


def test_the_first_photo_of_the_dataset_is_shown_small(context: AppContext, client: TestClient) -> None:
    folder = context.workspace.root / "datasets" / "anna"
    folder.mkdir(parents=True)
    for name, size in (("b.png", 10), ("a.png", 1400)):
        Image.new("RGB", (size, size // 2)).save(folder / name)
    job = trained(context, dataset_directory="datasets/anna")
    told = view(context, {}, AT_THIS_COMPUTER)["photo"]
    answer = client.get(f"/{told}")
    assert answer.headers["content-type"] == "image/webp"
    shown = context.workspace.root / "shown.webp"
    shown.write_bytes(answer.content)
    assert Image.open(shown).size == (PHOTO_PX, PHOTO_PX // 2)
    (folder / "a.png").write_bytes(b"no picture")
    assert client.get(f"/{told}").status_code == 404
    assert training_photo(context, job).name == "a.png"


def test_a_shared_page_shows_no_photo_from_outside_the_workspace(context: AppContext, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside"
    outside.mkdir(exist_ok=True)
    Image.new("RGB", (10, 10)).save(outside / "a.png")
    job = trained(context, dataset_directory=str(outside))
    assert training_photo(context, job) == outside / "a.png"
    shared = AppContext(replace(context.workspace, confined=True), context.jobs)
    with pytest.raises(UserError, match="outside the workspace"):
        training_photo(shared, job)
    job.settings = TrainSettings(dataset_directory=f"{SHOWN_SAMPLE_PHOTOS}/anna")
    assert training_photo(shared, job).is_file()


def test_a_filmstrip_gets_small_copies(context: AppContext, client: TestClient, tmp_path: Path) -> None:
    Image.effect_noise((512, 512), 90).save(tmp_path / "large.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "little.png")
    large, little = (context.url(str(tmp_path / name), "job") for name in ("large.png", "little.png"))
    small = client.get(f"/{large}&small=1")
    assert small.headers["content-type"] == "image/webp" and len(small.content) < 30_000
    (tmp_path / "small.webp").write_bytes(small.content)
    assert Image.open(tmp_path / "small.webp").size == (SMALL_PX, SMALL_PX)
    assert client.get(f"/{large}").content == (tmp_path / "large.png").read_bytes()
    assert client.get(f"/{little}&small=1").content == (tmp_path / "little.png").read_bytes()
