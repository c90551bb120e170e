"""Where models are looked for: the workspace, then the hub's cache, then the hub, which may be out of reach."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Recorder
from tests.models.fake_hub import fake_hub
from ti_core.data import model_files
from ti_core.data.model_files import ModelFiles, fetch_model, find_model
from ti_core.errors import Interrupted, UserError
from ti_core.events import Progress
from ti_core.workspace import Workspace

WANTED = ("config.json", "model.safetensors")


def files(root: Path) -> ModelFiles:
    return ModelFiles("The model", "somebody/something", root / "models" / "kind" / "something", WANTED)


def on_the_fake_hub(root: Path) -> ModelFiles:
    return ModelFiles("The model", "owner/model", root / "models" / "kind" / "model", WANTED)


def fill(folder: Path, names: tuple[str, ...] = WANTED) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def fill_cache(names: tuple[str, ...] = WANTED) -> Path:
    """The layout that huggingface_hub leaves behind, in the empty cache that this folder's tests use."""
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE) / "models--somebody--something"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    return fill(place / "snapshots" / commit, names)


def test_the_workspace_comes_first(tmp_path: Path) -> None:
    fill_cache()
    assert find_model(files(tmp_path), Workspace(tmp_path)) != (
        place := fill(tmp_path / "models" / "kind" / "something")
    )
    assert find_model(files(tmp_path), Workspace(tmp_path)) == place


def test_the_hubs_cache_is_used_without_network(tmp_path: Path) -> None:
    place = fill_cache()
    assert find_model(files(tmp_path), Workspace(tmp_path)) == place


def test_a_cache_that_lacks_a_file_counts_as_nothing(tmp_path: Path) -> None:
    fill_cache(("config.json",))
    with pytest.raises(
        UserError,
        match=(
            r"Put config\.json, model\.safetensors of huggingface\.co/somebody/something into models/kind/something\."
        ),
    ):
        find_model(files(tmp_path), Workspace(tmp_path))


def test_a_hub_that_never_answers_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(model_files, "HUB_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(model_files, "HUB_TIMEOUT_S", 0.5)
        begin = time.monotonic()
        with pytest.raises(UserError, match="could not be downloaded"):
            fetch_model(files(tmp_path), Workspace(tmp_path), Recorder(), threading.Event())
        assert time.monotonic() - begin < 60


def test_the_hub_is_asked_last_and_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    with fake_hub({name: b"x" * 3_000_000 for name in (*WANTED, "README.md")}) as hub:
        monkeypatch.setattr(model_files, "HUB_ENDPOINT", hub.endpoint)
        fetch_model(on_the_fake_hub(tmp_path), Workspace(tmp_path), recorder, threading.Event())
        assert sorted(hub.fetched()) == sorted(WANTED)
    assert find_model(on_the_fake_hub(tmp_path), Workspace(tmp_path)) == tmp_path / "models" / "kind" / "model"
    assert "MB/s" in recorder.of(Progress)[-1].text


def test_interrupt_ends_the_download_at_once_and_it_goes_on_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    with fake_hub(dict.fromkeys(WANTED, b"x" * 5_000_000)) as hub:
        monkeypatch.setattr(model_files, "HUB_ENDPOINT", hub.endpoint)
        monkeypatch.setattr(model_files, "HUB_TIMEOUT_S", 60)
        with pytest.raises(Interrupted):
            fetch_model(on_the_fake_hub(tmp_path), Workspace(tmp_path), lambda event: stop.set(), stop)
        arrived = next(tmp_path.rglob("*.part")).stat().st_size
        assert 0 < arrived < 5_000_000
        fetch_model(on_the_fake_hub(tmp_path), Workspace(tmp_path), Recorder(), threading.Event())
        assert f"bytes={arrived}-" in [asked for _, asked in hub.asked]


def test_what_the_hub_says_is_told_with_what_to_do_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub({"config.json": b"{}"}) as hub:
        monkeypatch.setattr(model_files, "HUB_ENDPOINT", hub.endpoint)
        with pytest.raises(
            UserError,
            match=(
                r"could not be downloaded\. 'owner/model' has no model\.safetensors\. Put config\.json,"
                r" model\.safetensors of"
            ),
        ):
            fetch_model(on_the_fake_hub(tmp_path), Workspace(tmp_path), Recorder(), threading.Event())
