"""Latents on disk: found again by a picture's content and the way it was encoded, and never more than allowed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import ImageFile
from PIL.PngImagePlugin import PngImageFile

from tests.conftest import TINY, Recorder
from ti_core.data.dataset import scan_dataset
from ti_core.data.images import find_images
from ti_core.data.latent_cache import keep_below, save_latents
from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.events import Notice, Progress
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.workspace import Workspace


@pytest.fixture
def sd(workspace: Workspace) -> StableDiffusion:
    return load_checkpoint(TINY, workspace)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each picture that goes through the autoencoder."""
    passes: list[int] = []
    encode = AutoencoderKL.encode
    monkeypatch.setattr(AutoencoderKL, "encode", lambda self, x, *more: passes.append(len(x)) or encode(self, x, *more))
    return passes


def encode(sd: StableDiffusion, dataset: Path, workspace: Workspace, side_px: int = 16) -> Latents:
    recorder = Recorder()
    latents = encode_images(
        sd,
        find_images(dataset),
        PictureSize(side_px, side_px, sd.latent_factor),
        NO_WEIGHTING,
        recorder,
        recorder.stop,
        workspace.latent_cache,
    )
    assert len(recorder.of(Progress)) == len(latents.mean) == 4
    return latents


def test_a_second_training_encodes_nothing_and_has_the_same_latents(
    workspace: Workspace, dataset: Path, sd: StableDiffusion, encoded: list[int]
) -> None:
    first, second = encode(sd, dataset, workspace), encode(sd, dataset, workspace)
    assert len(encoded) == 4
    for name in ("mean", "deviation", "weight"):
        assert all(torch.equal(a, b) for a, b in zip(getattr(first, name), getattr(second, name), strict=True))
    assert first.sizes == second.sizes and first.digests == second.digests


def test_cached_latents_need_no_decoding_and_others_one(
    workspace: Workspace, dataset: Path, sd: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(PngImageFile, "load", lambda self: decoded.append(self) or load(self))
    scan_dataset(dataset)
    assert not decoded
    encode(sd, dataset, workspace)
    assert len({id(image) for image in decoded}) == 4
    decoded.clear()
    scan_dataset(dataset)
    encode(sd, dataset, workspace)
    assert not decoded


def test_a_renamed_picture_is_found_and_an_edited_one_or_another_size_is_encoded(
    workspace: Workspace, dataset: Path, sd: StableDiffusion, encoded: list[int]
) -> None:
    encode(sd, dataset, workspace)
    pictures = find_images(dataset)
    pictures[0].rename(dataset / "zzz.png")
    shutil.copy(pictures[1], pictures[2])
    encode(sd, dataset, workspace)
    assert len(encoded) == 4
    (dataset / "zzz.png").write_bytes((dataset / "zzz.png").read_bytes() + b" ")
    encode(sd, dataset, workspace)
    assert len(encoded) == 5
    assert encode(sd, dataset, workspace, side_px=8).mean[0].shape[-1] == 4
    assert len(encoded) > 5


def test_another_autoencoder_and_broken_files_are_encoded_anew(
    workspace: Workspace, dataset: Path, sd: StableDiffusion, encoded: list[int]
) -> None:
    encode(sd, dataset, workspace)
    for file in workspace.latent_cache.iterdir():
        file.write_bytes(b"broken")
    encode(sd, dataset, workspace)
    assert len(encoded) == 8
    with torch.no_grad():
        sd.vae.quant_conv.bias += 0.5
    encode(sd, dataset, workspace)
    assert len(encoded) == 12


def test_the_files_not_used_for_longest_make_room(tmp_path: Path) -> None:
    for i in range(4):
        file = tmp_path / f"{i}.safetensors"
        file.write_bytes(bytes(100))
        os.utime(file, (i, i))
    keep_below(250, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.safetensors", "3.safetensors"]


def test_a_cache_that_takes_nothing_and_a_photo_that_is_gone_are_no_crash(
    sd: StableDiffusion, dataset: Path, workspace: Workspace, encoded: list[int]
) -> None:
    workspace.latent_cache.parent.mkdir(parents=True, exist_ok=True)
    workspace.latent_cache.write_bytes(b"a file where the folder should be")
    assert len(encode(sd, dataset, workspace).mean) == len(encoded) > 0
    photos, recorder = find_images(dataset), Recorder()
    photos[0].unlink()
    size = PictureSize(16, 16, sd.latent_factor)
    latents = encode_images(sd, photos, size, NO_WEIGHTING, recorder, recorder.stop, workspace.latent_cache)
    assert len(latents.mean) == 3 and list(latents.problems) == photos[:1]
    assert [notice.text for notice in recorder.of(Notice)] == [
        f"{photos[0].name} was skipped: it is not there any more."
    ]


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    save_latents(tmp_path / "a.safetensors", {"mean": torch.ones(2)})
    assert not list(tmp_path.iterdir())
