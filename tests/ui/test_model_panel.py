"""The top of the page: what a checkpoint is said to be, and the memory in the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from tests.models.tiny_families import save_single_file, save_zero_snr_file
from ti_core.errors import UserError
from ti_core.jobs.process import JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceState
from ti_core.settings import PORTRAITS, CreateSettings, TrainSettings
from ti_core.training.checks import check_train
from ti_core.training.create import create_embedding
from ti_core.training.presets import describe_plan
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import REPOSITORY, SHOWN_SAMPLE_PHOTOS, Workspace


@pytest.fixture
def page(workspace: Workspace) -> Page:
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    return page


def test_family_size_precision_and_hash_are_shown_and_so_is_what_is_wrong(page: Page, workspace: Workspace) -> None:
    save_single_file("sdxl", workspace.checkpoints / "big.safetensors")
    (workspace.checkpoints / "page.safetensors").write_text("<html>please log in</html>" * 10)
    assert page.model.described(PORTRAITS).startswith("Stable Diffusion 1 · epsilon · 128 px · fp16 · 35 MB")
    said = page.model.described("big.safetensors")
    assert said.startswith("Stable Diffusion XL · epsilon · 1024 px · fp32") and "hash" not in said
    save_zero_snr_file(workspace.checkpoints / "v.safetensors")
    assert page.model.described("v.safetensors").startswith(
        "Stable Diffusion XL · v_prediction, zero terminal SNR · 1024 px · fp32"
    )
    from ti_core.checkpoints.hashes import short_hash

    known = short_hash(workspace.checkpoints / "big.safetensors", workspace.hashes_file)
    assert page.model.described("big.safetensors").endswith(f"hash {known}")
    assert "web page" in page.model.described("page.safetensors")
    assert "does not exist" in page.model.described("nowhere")


def test_refresh_lists_new_files_and_vaes(page: Page, workspace: Workspace) -> None:
    (workspace.root / "models" / "VAE").mkdir(parents=True)
    (workspace.root / "models" / "VAE" / "clear.safetensors").write_bytes(b"x")
    save_single_file("sd1", workspace.checkpoints / "new.safetensors")
    updates = page.model.read_again(TINY)
    assert updates[page.model.widgets["checkpoint"]]["choices"] == [PORTRAITS, "new.safetensors", TINY]
    assert updates[page.model.widgets["vae"]]["choices"] == ["Automatic", "None", "clear.safetensors"]


def test_the_plan_says_what_memory_is_needed_and_free_once_the_device_is_known(
    workspace: Workspace, dataset: Path
) -> None:
    settings = TrainSettings(embedding="anna", dataset_directory="datasets/anna", checkpoint=TINY)
    assert "GB" not in describe_plan(workspace, settings)
    plan = describe_plan(workspace, settings, DeviceState("cuda", "GeForce", 8 * 2**30))
    assert "of the device's memory" in plan
    assert "8.0 GB are free (GeForce)." in plan


def test_every_field_that_the_plan_reads_makes_it_anew() -> None:
    """By a form that writes down which of its fields are looked at."""
    names = set(TrainSettings.options())
    looked: set[str] = set()

    class Watched(TrainSettings):
        def __getattribute__(self, name: str) -> Any:
            if name in names:
                looked.add(name)
            return super().__getattribute__(name)

    watched = Watched(embedding="anna", dataset_directory=SHOWN_SAMPLE_PHOTOS + "/anna")
    describe_plan(Workspace(REPOSITORY), watched, DeviceState("cuda", "GeForce", 8 * 2**30))
    by_the_tab = {"device"}  # which device's state is given
    assert looked | by_the_tab == set(TrainSettings.names("changes_plan"))


def test_a_download_without_a_name_is_refused_and_one_that_cannot_be_reached_says_so(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "empty" in page.model.start_download(" ")[page.model.message]["value"]


def test_the_field_for_gpus_is_shown_where_there_are_several(page: Page) -> None:
    for count, is_shown in ((1, False), (2, True)):
        page.context.device.report(DeviceState("cuda", "GeForce", 8 * 2**30, count))
        assert page.train.gpus_field()["visible"] is is_shown


def test_more_gpus_than_there_are_are_refused_at_the_form(workspace: Workspace, dataset: Path) -> None:
    create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    settings = TrainSettings(
        embedding="anna", dataset_directory="datasets/anna", template_file="subject.txt", checkpoint=TINY, gpus=3
    )
    check_train(settings, workspace)
    process = JobProcess()
    process.device.report(DeviceState("cuda", "GeForce", 8 * 2**30, 2))
    with pytest.raises(UserError, match="GPUs is 3, but this computer has 2"):
        process.kinds()["train"].check(settings, workspace, ())


def test_a_reload_keeps_a_typed_checkpoint_that_no_list_shows(page: Page, workspace: Workspace) -> None:
    (workspace.root / "fetched").mkdir()
    save_single_file("sd1", workspace.root / "fetched" / "other.safetensors")
    for there in ("fetched/other.safetensors", TINY):
        assert page.put_back({"started_with": PORTRAITS, "checkpoint": there})[page.checkpoint]["value"] == there
    for gone in ("gone.safetensors", None, []):
        assert page.put_back({"started_with": PORTRAITS, "checkpoint": gone})[page.checkpoint]["value"] == PORTRAITS
    assert page.put_back({"started_with": TINY, "checkpoint": TINY})[page.checkpoint]["value"] == PORTRAITS
