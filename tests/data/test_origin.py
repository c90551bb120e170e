"""A finished picture carries where it comes from, and SDXL is told the truth about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.conftest import Recorder
from tests.data.conftest import ASTRONAUT
from tests.models.tiny_families import SIZE_PX, save_folder
from ti_core.data.dataset import scan_dataset
from ti_core.data.latents import PictureSize, crop_conditioning, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.data.origin import KEY, Origin, look_at, origin_of, parse_origin
from ti_core.data.preprocess import preprocess
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import PreprocessSettings
from ti_core.training.run_state import describe_inputs
from ti_core.workspace import Workspace


def finished(root: Path, photo: tuple[int, int] = (600, 400), **values: object) -> list[Path]:
    """The pictures made of one noisy photo, at 64 px."""
    (root / "photos").mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (photo[1], photo[0], 3), np.uint8)).save(
        root / "photos" / "a.png"
    )
    settings = {
        "source_directory": "photos",
        "destination_directory": "out",
        "width": SIZE_PX,
        "height": SIZE_PX,
        **values,
    }
    return preprocess(PreprocessSettings.from_dict(settings), Workspace(root), Recorder(), Recorder().stop).written


def origin(path: Path) -> Origin:
    look = look_at(path)
    assert look and look.origin
    return look.origin


def test_every_way_of_cropping_tells_which_part_of_the_photo_is_shown(tmp_path: Path) -> None:
    plain, mirrored = finished(tmp_path, flip=True)
    assert (origin(plain).size, origin(plain).box, origin(mirrored).box) == (
        (600, 400),
        (100, 0, 400, 400),
        (100, 0, 400, 400),
    )
    pieces = finished(tmp_path, (1000, 200), split_oversized=True)
    boxes = [origin(piece).box for piece in pieces]
    assert len(boxes) > 1 and boxes[0] == (0, 0, 200, 200) and boxes[-1] == pytest.approx((800, 0, 200, 200), abs=4)
    (piece,) = finished(tmp_path, (1000, 200), focal_crop=True, face_weight=0)
    assert origin(piece).box[1:] == (0, 200, 200) and 0 <= origin(piece).box[0] <= 800
    left, right = (Origin((600, 400), (50, 0, 400, 400)), Origin((600, 400), (150, 0, 400, 400), flipped=True))
    assert left.mirrored() == right
    (whole,) = finished(tmp_path, keep_original_size=True)
    assert origin(whole) == Origin.whole((600, 400))
    (sized,) = finished(tmp_path, auto_sized_crop=True, dimension_lower=64, dimension_upper=192)
    shape = Image.open(sized).size
    assert origin(sized).box[2] / origin(sized).box[3] == pytest.approx(shape[0] / shape[1], abs=0.01)


def test_a_face_is_a_picture_of_its_own_so_nothing_is_said_to_be_cut_away(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(ASTRONAUT, tmp_path / "photos")
    (path,) = preprocess(
        PreprocessSettings("photos", "out", width=64, height=64, face_crop=True),
        Workspace(tmp_path),
        Recorder(),
        Recorder().stop,
    ).written
    found = origin(path)
    assert found == Origin.whole(found.size) and found.size[0] == found.size[1] < 512


def test_sdxl_is_told_the_photos_own_size_and_where_the_crop_begins_after_resizing() -> None:
    """As in diffusers' train_text_to_image_sdxl.py: original size before resizing, corner of the crop after it,
    size that is trained.
    """
    finished = Origin.whole((3000, 2000)).covering((1024, 1024), (3000, 2000))
    assert crop_conditioning(finished, (1024, 1024), (1024, 1024)) == [2000, 3000, 0, 256, 1024, 1024]
    assert crop_conditioning(finished, (512, 512), (1024, 1024)) == [2000, 3000, 0, 256, 1024, 1024]
    assert crop_conditioning(Origin.whole((600, 400)), (600, 400), (1024, 1024)) == [400, 600, 0, 256, 1024, 1024]
    assert crop_conditioning(Origin.whole((1024, 1024)), (1024, 1024), (1024, 1024)) == [1024, 1024, 0, 0, 1024, 1024]
    right_half = Origin((2000, 1000), (1000, 0, 1000, 1000))
    assert crop_conditioning(right_half, (512, 512), (1024, 1024)) == [1000, 2000, 0, 1024, 1024, 1024]
    assert crop_conditioning(right_half, (512, 512), (768, 384)) == [1000, 2000, 192, 768, 384, 768]


def test_training_reads_it_from_the_picture_wherever_it_was_moved(tmp_path: Path) -> None:
    (plain,) = finished(tmp_path)
    moved = tmp_path / "elsewhere" / "renamed.png"
    moved.parent.mkdir()
    shutil.copy(plain, moved)
    own = tmp_path / "elsewhere" / "own.png"
    Image.new("RGB", (96, 64)).save(own)
    (tmp_path / "models" / "Stable-diffusion").mkdir(parents=True)
    workspace = Workspace(tmp_path)
    save_folder("sdxl", workspace.checkpoints / "xl")
    sd, recorder = load_checkpoint("xl", workspace), Recorder()
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # not cached, cached now, cached before
        latents = encode_images(
            sd,
            [moved, own],
            PictureSize(SIZE_PX, SIZE_PX, sd.latent_factor),
            NO_WEIGHTING,
            recorder,
            recorder.stop,
            cache,
        )
        assert latents.sizes == [[400, 600, 0, 16, 64, 64], [64, 96, 0, 16, 64, 64]]


def test_a_picture_that_was_edited_later_counts_as_itself(tmp_path: Path) -> None:
    (plain,) = finished(tmp_path)
    with Image.open(plain) as image:
        text = image.info[KEY]
        info = PngImagePlugin.PngInfo()
        info.add_text(KEY, text)
        image.resize((80, 64)).save(tmp_path / "edited.png", pnginfo=info)
    assert origin_of(tmp_path / "edited.png", (80, 64)) == Origin.whole((80, 64))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "5",
        "null",
        "[" * 5000,
        json.dumps({"photo": [0, 0], "box": [0, 0, 0, 0], "picture": [64, 64]}),
        '{"photo": [1e999, 1]}',
        json.dumps({"photo": [600, 400], "box": [500, 0, 400, 400], "picture": [64, 64]}),
        json.dumps({"photo": [600, 400], "box": [0, 0, 9], "picture": [64, 64]}),
        json.dumps({"photo": [600, 400], "box": [float("nan")] * 4, "picture": [64, 64]}),
        json.dumps({"photo": 5, "box": "abcd", "picture": [64, 64]}),
    ],
)
def test_a_chunk_from_elsewhere_may_hold_anything(text: str) -> None:
    assert parse_origin(text, (64, 64)) is None


def test_what_is_written_is_read_and_what_is_read_again_is_finished_from_the_first_photo(tmp_path: Path) -> None:
    finished(tmp_path)
    settings = PreprocessSettings("out", "again", width=64, height=128)
    (again,) = preprocess(settings, Workspace(tmp_path), Recorder(), Recorder().stop).written
    assert origin(again) == Origin((600, 400), (200, 0, 200, 400))


def test_a_photo_that_lies_on_its_side_is_measured_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (40, 20)).save(tmp_path / name, exif=exif)
        look = look_at(tmp_path / name)
        assert look and look.size == (20, 40), name


def test_other_photos_under_the_same_names_are_noticed_by_a_run_that_goes_on(tmp_path: Path) -> None:
    finished(tmp_path)
    before = describe_inputs(scan_dataset(tmp_path / "out"), {})
    assert describe_inputs(scan_dataset(tmp_path / "out"), {}) == before
    finished(tmp_path, (800, 400))
    assert describe_inputs(scan_dataset(tmp_path / "out"), {}) != before
