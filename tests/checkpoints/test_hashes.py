"""A1111's hash, computed once for each state of a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ti_core.checkpoints.hashes import BLOCK, known_hash, short_hash
from ti_core.errors import Interrupted, UserError

WEIGHTS = "diffusion_pytorch_model"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "model.safetensors"


def test_it_is_the_first_ten_digits_of_the_sha_256_and_is_kept(file: Path, tmp_path: Path) -> None:
    cache, progress = tmp_path / "models" / "hashes.json", []
    assert known_hash(file, cache) == ""
    expected = hashlib.sha256(b"weights").hexdigest()[:10]
    assert short_hash(file, cache, lambda done, total: progress.append((done, total))) == expected
    assert progress == [(7, 7)]
    assert known_hash(file, cache) == expected
    assert short_hash(file, cache, lambda done, total: pytest.fail("read again")) == expected


def test_a_changed_file_of_the_same_size_is_hashed_anew(file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    before = short_hash(file, cache)
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(1, 1))
    assert known_hash(file, cache) == ""
    assert short_hash(file, cache) == hashlib.sha256(b"WEIGHTS").hexdigest()[:10] != before


@pytest.mark.parametrize("broken", ["", "{", "[1]", '{"a": 3}', "\x00"])
def test_a_broken_cache_counts_as_empty(file: Path, tmp_path: Path, broken: str) -> None:
    cache = tmp_path / "hashes.json"
    cache.write_text(broken.replace("a", str(file)))
    assert known_hash(file, cache) == ""
    assert short_hash(file, cache) == known_hash(file, cache) != ""


def test_files_that_are_gone_leave_the_cache(file: Path, tmp_path: Path) -> None:
    cache, other = tmp_path / "hashes.json", tmp_path / "other.ckpt"
    other.write_bytes(b"x")
    short_hash(file, cache)
    file.unlink()
    short_hash(other, cache)
    assert file.name not in cache.read_text() and other.name in cache.read_text()


def test_a_folders_hash_is_that_of_its_unet_and_follows_its_change(tmp_path: Path) -> None:
    cache, unet = tmp_path / "hashes.json", tmp_path / "model" / "unet"
    unet.mkdir(parents=True)
    (unet / f"{WEIGHTS}-00001-of-00002.safetensors").write_bytes(b"one")
    (unet / f"{WEIGHTS}-00002-of-00002.safetensors").write_bytes(b"two")
    (unet / "config.json").write_text("{}")
    assert (
        short_hash(unet.parent, cache) == hashlib.sha256(b"onetwo").hexdigest()[:10] == known_hash(unet.parent, cache)
    )
    (unet / f"{WEIGHTS}-00002-of-00002.safetensors").write_bytes(b"three")
    assert known_hash(unet.parent, cache) == ""


def test_a_folder_of_bin_files_has_the_hash_of_these(tmp_path: Path) -> None:
    unet = tmp_path / "model" / "unet"
    unet.mkdir(parents=True)
    (unet / f"{WEIGHTS}.bin").write_bytes(b"one")
    assert short_hash(unet.parent, tmp_path / "hashes.json") == hashlib.sha256(b"one").hexdigest()[:10]


def test_a_stopped_reading_leaves_nothing(tmp_path: Path) -> None:
    file, cache = tmp_path / "large", tmp_path / "hashes.json"
    file.write_bytes(bytes(2 * BLOCK))

    def stop(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        short_hash(file, cache, stop)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_failure(file: Path, tmp_path: Path) -> None:
    assert len(short_hash(file, file / "impossible" / "hashes.json")) == 10
    with pytest.raises(UserError, match="'nothing' cannot be read"):
        short_hash(tmp_path / "nothing", tmp_path / "hashes.json")
