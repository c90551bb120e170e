"""Where models are looked for: the workspace, then the hub's cache, then the hub, which may be out of reach."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from ti_core.data import model_files
from ti_core.data.model_files import ModelFiles, find_model
from ti_core.errors import UserError
from ti_core.workspace import Workspace

WANTED = ("config.json", "model.safetensors")


def files(root: Path) -> ModelFiles:
    return ModelFiles("The model", "somebody/something", root / "models" / "kind" / "something", WANTED)


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
    assert find_model(files(tmp_path), Workspace(tmp_path)) != (place := fill(tmp_path / "models" / "kind" / "something"))
    assert find_model(files(tmp_path), Workspace(tmp_path)) == place


def test_the_hubs_cache_is_used_without_network(tmp_path: Path) -> None:
    place = fill_cache()
    assert find_model(files(tmp_path), Workspace(tmp_path)) == place


def test_a_cache_that_lacks_a_file_counts_as_nothing(tmp_path: Path) -> None:
    fill_cache(("config.json",))
    with pytest.raises(UserError, match=r"Put config\.json, model\.safetensors of huggingface\.co/somebody/something into models/kind/something\."):
        find_model(files(tmp_path), Workspace(tmp_path))


def test_a_hub_that_never_answers_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(model_files, "HUB_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(model_files, "HUB_TIMEOUT_S", 0.5)
        begin = time.monotonic()
        with pytest.raises(UserError, match="could not be downloaded"):
            find_model(files(tmp_path), Workspace(tmp_path))
        assert time.monotonic() - begin < 5
