"""Downloads, against a small hub on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import Recorder
from tests.models.fake_hub import FakeHub, fake_hub, files_of
from ti_core.checkpoints.library import find_checkpoint, find_checkpoints
from ti_core.errors import Interrupted, UserError
from ti_core.events import Event, Finished, Notice, Progress
from ti_core.files import save_text
from ti_core.jobs.queue import JobQueue
from ti_core.models import hub as hub_module
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.hub import check_download, download_checkpoint
from ti_core.workspace import Workspace

SINGLE = bytes(range(256)) * 20_000
"""5 MB: several pieces."""


@pytest.fixture
def hub(tiny_checkpoint: Path) -> Iterator[FakeHub]:
    own = files_of(tiny_checkpoint)
    unet = own["unet/diffusion_pytorch_model.safetensors"]
    more = {
        "unet/diffusion_pytorch_model.fp16.safetensors": unet,
        "unet/diffusion_pytorch_model.safetensors": unet * 2,
        "unet/diffusion_pytorch_model.bin": unet,
        "vae/diffusion_pytorch_model.bin": b"bin",
        "text_encoder/flax_model.msgpack": b"flax",
        "unet/model.onnx": b"onnx",
        "README.md": b"read",
        "safety_checker/model.safetensors": b"safety",
        "feature_extractor/preprocessor_config.json": b"{}",
        "model.ckpt": b"ckpt",
        "v1.safetensors": SINGLE,
    }
    with fake_hub(own | more) as hub:
        yield hub


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def download(
    name: str, workspace: Workspace, hub: FakeHub, recorder: Recorder | None = None, revision: str = "main"
) -> Path:
    recorder = recorder or Recorder()
    return download_checkpoint(name, workspace, recorder, recorder.stop, revision, hub.endpoint)


def test_a_folder_is_fetched_with_what_is_needed_alone_and_loads(hub: FakeHub, place: Workspace) -> None:
    recorder = Recorder()
    path = download("owner/model", place, hub, recorder)
    assert path == place.checkpoints / "owner" / "model"
    assert sorted(files_of(path)) == sorted(
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            *(f"tokenizer/{Path(name).name}" for name in hub.files if name.startswith("tokenizer/")),
        ]
    )
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in hub.fetched(), "half the size"
    assert len(hub.fetched()) == len(set(hub.fetched()))
    assert find_checkpoint("owner/model", place).facts.problem == ""
    assert load_checkpoint("owner/model", place).family.name == "sd1"
    assert recorder.of(Finished)[-1].files == (str(path),)
    assert "MB/s" in recorder.of(Progress)[-1].text


@pytest.mark.parametrize(
    "name",
    [
        "owner/model/v1.safetensors",
        "https://huggingface.co/owner/model/blob/main/v1.safetensors",
        " owner/model/resolve/main/v1.safetensors ",
        "https://huggingface.co/owner/model/resolve/main/v1.safetensors?download=true",
        "huggingface.co/owner/model/blob/main/v1.safetensors#top",
    ],
)
def test_a_single_file_lies_beside_the_others_afterwards(hub: FakeHub, place: Workspace, name: str) -> None:
    recorder = Recorder()
    assert download(name, place, hub, recorder).read_bytes() == SINGLE
    assert "neither a safetensors file nor one of torch" in recorder.of(Notice)[0].text, "it is only bytes"
    assert [c.title for c in find_checkpoints(place)][1:] == ["v1.safetensors"]
    assert hub.fetched() == ["v1.safetensors"]
    assert [path.name for path in place.checkpoints.rglob("*")] == ["v1.safetensors"]
    with pytest.raises(UserError, match=r"'v1.safetensors' is in models/Stable-diffusion already"):
        download(name, place, hub)


@pytest.mark.parametrize(
    "name", ["https://www.huggingface.co/owner/model/tree/main", "hf.co/owner/model/", "owner/model?x=1"]
)
def test_the_address_of_a_models_page_is_its_name(place: Workspace, name: str) -> None:
    repository, revision, file = check_download(name, place)
    assert (repository, revision or "main", file) == ("owner/model", "main", "")


def test_a_broken_connection_is_taken_up_where_it_broke(hub: FakeHub, place: Workspace) -> None:
    hub.break_at = 3_000_000
    assert download("owner/model/v1.safetensors", place, hub).read_bytes() == SINGLE
    started = [
        int(asked.removeprefix("bytes=").removesuffix("-"))
        for path, asked in hub.asked
        if path.startswith("/cdn/") and asked
    ]
    assert len(started) == 1 and 2_000_000 <= started[0] <= 3_000_000


def test_a_server_that_cannot_go_on_is_asked_for_the_whole_file(hub: FakeHub, place: Workspace) -> None:
    hub.break_at, hub.ranges = 3_000_000, False
    assert download("owner/model/v1.safetensors", place, hub).read_bytes() == SINGLE


def test_an_interrupted_download_is_not_listed_and_goes_on_next_time(hub: FakeHub, place: Workspace) -> None:
    stop = threading.Event()

    def stop_soon(event: Event) -> None:
        stop.set()

    with pytest.raises(Interrupted):
        download_checkpoint("owner/model/v1.safetensors", place, stop_soon, stop, endpoint=hub.endpoint)
    arrived = next(path for path in place.checkpoints.rglob("*.part")).stat().st_size
    assert 0 < arrived < len(SINGLE)
    assert len(find_checkpoints(place)) == 1
    recorder = Recorder()
    assert download("owner/model/v1.safetensors", place, hub, recorder).read_bytes() == SINGLE
    assert hub.asked[-1] == ("/cdn/v1.safetensors", f"bytes={arrived}-")
    assert recorder.of(Progress)[-1].total == (len(SINGLE) - arrived) // 10**6


def test_a_damaged_file_is_deleted(hub: FakeHub, place: Workspace) -> None:
    hub.damage = True
    with pytest.raises(UserError, match=r"'v1.safetensors' arrived damaged"):
        download("owner/model/v1.safetensors", place, hub)
    assert [path.name for path in place.checkpoints.rglob("*") if path.is_file()] == [".commit"]


def test_an_interrupted_download_goes_on_after_a_new_commit_and_what_is_of_another_file_is_fetched_anew(
    hub: FakeHub, place: Workspace
) -> None:
    waiting = place.checkpoints / ".download" / "owner--model-v1.safetensors"
    save_text(waiting / ".commit", "of last week")
    (waiting / "v1.safetensors.part").write_bytes(SINGLE[:4_000_000])
    assert download("owner/model/v1.safetensors", place, hub).read_bytes() == SINGLE
    assert hub.asked[-1] == ("/cdn/v1.safetensors", "bytes=4000000-") and not waiting.parent.exists()
    (place.checkpoints / "v1.safetensors").unlink()
    save_text(waiting / ".commit", "of last week")
    (waiting / "v1.safetensors").write_bytes(b"?" * len(SINGLE))
    assert download("owner/model/v1.safetensors", place, hub).read_bytes() == SINGLE
    assert hub.asked[-1] == ("/cdn/v1.safetensors", "")


def test_a_part_that_is_longer_than_the_new_file_and_files_that_are_gone_there_are_left_out(
    hub: FakeHub, place: Workspace
) -> None:
    waiting = place.checkpoints / ".download" / "owner--model"
    save_text(waiting / ".commit", "of last week")
    for name in (
        "unet/diffusion_pytorch_model.safetensors.part",
        "unet/diffusion_pytorch_model.bin",
        "unet/config.json",
        "old/README.md",
    ):
        (waiting / name).parent.mkdir(exist_ok=True)
        (waiting / name).write_bytes(b"?" * 50_000_000)
    path = download("owner/model", place, hub)
    assert load_checkpoint("owner/model", place).family.name == "sd1"
    assert not [found for found in files_of(path) if "bin" in found or "README" in found or found.startswith(".")]


def test_checking_a_file_says_little(hub: FakeHub, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "time", SimpleNamespace(monotonic=lambda: 5.0))
    hub.files["v1.safetensors"] = SINGLE * 8
    recorder = Recorder()
    download("owner/model/v1.safetensors", place, hub, recorder)
    assert len([event for event in recorder.of(Progress) if event.text.startswith("Checking")]) <= 2


@pytest.mark.parametrize(
    ("name", "revision", "sentence"),
    [
        ("owner/other", "main", "The hub has no model 'owner/other', or it is private"),
        ("owner/model", "v9", "'owner/model' has no revision 'v9'"),
        (
            "owner/model/nothing.safetensors",
            "main",
            "'nothing.safetensors' is not there.*There are: model.ckpt, v1.safetensors",
        ),
        ("owner/model/README.md", "main", "is neither a .safetensors nor a .ckpt file"),
        ("model", "main", "'model' is no name of a model on the hub"),
        ("../..", "main", "is no name of a model"),
        ("owner/a..b--c", "main", "is no name of a model"),
        ("", "main", "is no name of a model"),
    ],
)
def test_what_the_hub_does_not_have_is_told(
    hub: FakeHub, place: Workspace, name: str, revision: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        download(name, place, hub, revision=revision)
    assert not place.checkpoints.exists()


def test_a_licence_that_is_not_accepted_and_a_sick_hub_are_told_apart(hub: FakeHub, place: Workspace) -> None:
    hub.gated = True
    with pytest.raises(
        UserError, match=r"only by those who accepted its licence.*huggingface.co/owner/model.*hf auth login"
    ):
        download("owner/model", place, hub)
    hub.refusal = (503, "")
    with pytest.raises(UserError, match="with error 503"):
        download("owner/model", place, hub)


def test_a_repository_without_a_folder_names_its_files(place: Workspace) -> None:
    with (
        fake_hub({"a.safetensors": b"x", "b.ckpt": b"x", "note.txt": b""}) as hub,
        pytest.raises(UserError, match=r"owner/model/a.safetensors, owner/model/b.ckpt"),
    ):
        download("owner/model", place, hub)


def test_offline_is_one_sentence(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = FakeHub({}, endpoint="http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"The hub could not be reached, so 'owner/model' was not downloaded. Check the network"
    ):
        download("owner/model", place, nobody)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        download("owner/model", place, nobody)


def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: FakeHub, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(UserError, match=r"needs 0.0 GB more, but 0.0 GB are free"):
        download("owner/model/v1.safetensors", place, hub)
    assert hub.fetched() == []


def test_a_shared_page_downloads_nothing(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A shared page downloads no checkpoints"):
        download("owner/model", Workspace(tmp_path, confined=True), hub)
    assert hub.asked == []


def test_it_works_as_a_job_of_the_page(hub: FakeHub, place: Workspace) -> None:
    jobs = JobQueue(place)
    job = jobs.submit(
        "download",
        "owner/model",
        lambda emit, stop: download_checkpoint("owner/model", place, emit, stop, endpoint=hub.endpoint),
    )
    assert jobs.wait_for(job, 60).state == "finished"
    assert job.text == "Downloaded: models/Stable-diffusion/owner/model"
