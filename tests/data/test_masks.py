"""Masks: where they lie, what becomes of them in Preprocess, and what they weigh in the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.data.conftest import ASTRONAUT
from ti_core.data.images import find_images, open_rgb
from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING, Weighting, loss_weight
from ti_core.data.masks import face_mask, find_mask, load_mask, mask_file, mask_sentences, save_mask
from ti_core.data.preprocess import preprocess
from ti_core.errors import UserError
from ti_core.events import Notice
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import PreprocessSettings
from ti_core.training.noise_loss import mean_error
from ti_core.workspace import Workspace

LEFT = Image.fromarray(np.repeat(np.array([[255] * 16 + [0] * 16], np.uint8), 32, 0))
"""The mask of a picture of 32 x 32 px of which the left half counts."""
MASKS = Weighting(masks=True, outside=0.1)


def picture(folder: Path, name: str = "x.png", seed: int = 0) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def encoded(workspace: Workspace, paths: list[Path], weighting: Weighting, **more: Any) -> tuple[Latents, list[str]]:
    recorder = Recorder()
    sd = load_checkpoint(TINY, workspace)
    size = PictureSize(32, 32, sd.latent_factor)
    latents = encode_images(sd, paths, size, weighting, recorder, recorder.stop, **more)
    return latents, [notice.text for notice in recorder.of(Notice)]


def test_a_masklabel_and_a_mask_folder_are_masks_and_no_pictures(tmp_path: Path) -> None:
    beside, other = picture(tmp_path), picture(tmp_path, "y.jpg")
    LEFT.save(tmp_path / "x-masklabel.png")
    (tmp_path / "masks").mkdir()
    LEFT.save(tmp_path / "masks" / "y.png")
    assert find_images(tmp_path) == [beside, other]
    assert find_mask(beside) == tmp_path / "x-masklabel.png" == mask_file(beside)
    assert find_mask(other) == tmp_path / "masks" / "y.png"
    assert find_mask(picture(tmp_path, "z.png")) is None


def test_what_is_transparent_in_a_mask_does_not_count_and_another_shape_is_refused(tmp_path: Path) -> None:
    painted = Image.new("RGBA", (32, 32), (255, 255, 255, 0))
    painted.paste((255, 255, 255, 255), (0, 0, 16, 32))
    painted.save(tmp_path / "a.png")
    assert np.asarray(load_mask(tmp_path / "a.png", (64, 64)))[32, [2, 60]].tolist() == [255, 0]
    with pytest.raises(UserError, match=r"'a.png' cannot be used: it has another shape .* \(32 x 32 for 64 x 32 px\)"):
        load_mask(tmp_path / "a.png", (64, 32))


def test_the_loss_with_a_mask_is_what_a_person_works_out(workspace: Workspace, tmp_path: Path) -> None:
    """Half of the latents counts 1, the other 0.1; the mean of both is 0.55, so they weigh 1/0.55 and 0.1/0.55."""
    path = picture(tmp_path)
    LEFT.save(mask_file(path))
    latents, notices = encoded(workspace, [path], MASKS)
    weight = latents.weight[0].cpu()
    assert weight.shape == (1, 16, 16) and not notices
    assert weight[0, 0].tolist() == pytest.approx([1 / 0.55] * 8 + [0.1 / 0.55] * 8)
    error = torch.zeros(1, 4, 16, 16)
    error[..., :8], error[..., 8:] = 2.0, 3.0  # squared: 4 inside, 9 outside
    loss = mean_error(error, torch.zeros_like(error), weight[None])
    assert float(loss) == pytest.approx((4 / 0.55 + 9 * 0.1 / 0.55) / 2)
    assert torch.equal(
        loss_weight(np.asarray(LEFT), (16, 16), Weighting(masks=True, outside=1.0)), torch.ones(1, 16, 16)
    )
    nothing = loss_weight(np.zeros((32, 32), np.uint8), (16, 16), Weighting(masks=True))
    assert torch.equal(nothing, torch.ones(1, 16, 16)), "an empty mask would leave nothing to learn"


def test_masks_beside_in_a_folder_and_transparency_weigh_alike(workspace: Workspace, tmp_path: Path) -> None:
    paths = [picture(tmp_path, name) for name in ("a.png", "b.png", "c.png", "d.png")]
    LEFT.save(mask_file(paths[0]))
    (tmp_path / "mask").mkdir()
    LEFT.save(tmp_path / "mask" / "b.webp", lossless=True)
    cut_out = open_rgb(paths[2])
    cut_out.putalpha(LEFT)
    cut_out.save(paths[2])
    beside, in_folder, transparent, without = encoded(workspace, paths, MASKS)[0].weight
    assert torch.equal(beside, in_folder) and torch.equal(beside, transparent)
    assert torch.equal(without.cpu(), torch.ones(1, 16, 16))
    weights = encoded(workspace, paths, Weighting(alpha=True))[0].weight
    assert [float(weight.min()) for weight in weights] == [1, 1, 0, 1], "A1111's switch asks for transparency alone"


def test_the_cache_knows_a_mask_that_was_repainted_and_another_weight(workspace: Workspace, tmp_path: Path) -> None:
    path, cache = picture(tmp_path / "set"), tmp_path / "cache"
    whole, _ = encoded(workspace, [path], MASKS, cache_folder=cache)
    LEFT.save(mask_file(path))
    left, _ = encoded(workspace, [path], MASKS, cache_folder=cache)
    Image.new("L", (32, 32), 255).save(mask_file(path))
    again, _ = encoded(workspace, [path], MASKS, cache_folder=cache)
    stronger, _ = encoded(workspace, [path], Weighting(masks=True, outside=0.5), cache_folder=cache)
    off, _ = encoded(workspace, [path], NO_WEIGHTING, cache_folder=cache)
    assert torch.equal(whole.weight[0], again.weight[0]) and not torch.equal(whole.weight[0], left.weight[0])
    digests = [found.digests[0] for found in (whole, left, again, stronger, off)]
    assert len(set(digests)) == 5, "evaluations with other weights are not compared"
    assert len(list(cache.iterdir())) == 5


def test_a_mask_that_cannot_be_read_is_named_and_the_picture_used(workspace: Workspace, tmp_path: Path) -> None:
    path = picture(tmp_path)
    mask_file(path).write_bytes(b"no picture")
    latents, notices = encoded(workspace, [path], MASKS)
    assert notices == ["x-masklabel.png was skipped: it is not a readable picture."]
    assert torch.equal(latents.weight[0].cpu(), torch.ones(1, 16, 16))


def test_preprocess_cuts_and_flips_a_mask_as_its_photo(workspace: Workspace) -> None:
    photo = picture(workspace.root / "photos")
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8))
    wide.save(photo)
    mask = Image.new("L", wide.size)
    mask.paste(255, (32, 0, 64, 64))  # the left half of the middle
    mask.save(mask_file(photo))
    recorder = Recorder()
    settings = PreprocessSettings(
        source_directory="photos", destination_directory="set", width=64, height=64, flip=True, checkpoint=TINY
    )
    for _ in range(2):
        result = preprocess(settings, workspace, recorder, recorder.stop)
    assert [path.name for path in result.written] == ["00000-0-x.png", "00000-1-x.png"]
    found = [np.asarray(load_mask(find_mask(path) or path, (64, 64))) for path in result.written]
    assert found[0][:, :30].min() == 255 and found[0][:, 34:].max() == 0
    assert np.array_equal(found[1], found[0][:, ::-1])
    assert (workspace.root / "set" / "earlier-1" / "00000-0-x-masklabel.png").is_file()
    assert any(notice.text.startswith("2 pictures of an earlier run") for notice in recorder.of(Notice))


def test_a_mask_from_a_face_is_white_on_the_face_black_far_away_and_soft_between(tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.jpg"
    photo.write_bytes(ASTRONAUT.read_bytes())
    face = (132.0, 50.0, 71.0, 95.0)
    head = np.asarray(load_mask(save_mask(photo, face_mask((384, 384), face)), (384, 384))).astype(int)
    assert head[50:120, 145:190].min() > 250 and head[:, 300:].max() == 0 and head[250:].max() == 0
    assert np.abs(np.diff(head, axis=1)).max() < 40, "no hard edge that the training would learn"
    both = np.asarray(face_mask((384, 384), face, "head and shoulders")).astype(int)
    assert (both >= head - 1).all() and both[383, 167] == 255 and both[383, 383] == 0
    large = face_mask((3840, 3840), tuple(10 * side for side in face))
    assert large.size == (3840, 3840) and np.abs(np.asarray(large.resize((384, 384))).astype(int) - head).max() < 16


def test_the_plan_says_what_becomes_of_masks(tmp_path: Path) -> None:
    paths = [picture(tmp_path, name) for name in ("a.png", "b.png")]
    assert mask_sentences(paths, used=False) == []
    assert "No picture has a mask" in mask_sentences(paths, used=True)[0]
    LEFT.save(mask_file(paths[0]))
    LEFT.save(tmp_path / "gone-masklabel.png")
    unused, orphan = mask_sentences(paths, used=False)
    assert unused.startswith("1 of 2 pictures has a mask, which is not used.")
    assert orphan == "gone-masklabel.png is the mask of no picture and is not used."
    assert mask_sentences(paths, used=True)[0].startswith("1 of 2 pictures has a mask. The others")
