"""Pictures of other shapes are trained at the nearest of a list of sizes of equal area."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from ti_core.data.aspect_buckets import bucket_sizes, buckets_sentence, nearest_bucket
from ti_core.data.crops import largest_box
from ti_core.data.latents import PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.data.picture_checks import picture_sentences
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import TrainSettings
from ti_core.ui.dataset_strip import dataset_strip, trained_sizes
from ti_core.workspace import Workspace


@pytest.mark.parametrize("side", [64, 128, 384, 512, 768, 1024])
def test_the_sizes_have_nearly_the_same_area_and_none_more(side: int) -> None:
    sizes = bucket_sizes(side, side)
    assert (side, side) in sizes and {size[::-1] for size in sizes} == set(sizes) and len(sizes) >= 5
    assert all(0.9 * side * side <= width * height <= side * side for width, height in sizes)
    assert all(
        width % 8 == height % 8 == 0 and max(width, height) <= 2.5 * min(width, height) for width, height in sizes
    )


def test_the_lists_are_those_of_the_families() -> None:
    assert bucket_sizes(512, 512) == (
        (768, 320),
        (640, 384),
        (576, 448),
        (512, 512),
        (448, 576),
        (384, 640),
        (320, 768),
    )
    sdxl = bucket_sizes(1024, 1024)
    assert {(1152, 896), (1216, 832), (1344, 768), (1536, 640)} <= set(sdxl), "as SDXL was trained"
    assert (500, 700) in bucket_sizes(500, 700), "what was asked for is always there"


def test_the_nearest_cuts_least_and_the_part_is_the_middle() -> None:
    buckets = bucket_sizes(512, 512)
    assert nearest_bucket((4000, 3000), buckets) == (576, 448)
    assert nearest_bucket((3000, 4000), buckets) == (448, 576)
    assert nearest_bucket((2000, 1950), buckets) == (512, 512)
    assert nearest_bucket((9000, 100), buckets) == (768, 320)
    left, upper, width, height = largest_box((4000, 3000), (576, 448))
    assert (left, width) == (pytest.approx(71.4, abs=0.1), pytest.approx(3857.1, abs=0.1))
    assert (upper, height) == (0, 3000)
    said = buckets_sentence([(4000, 3000), (4000, 3000), (512, 512)], buckets)
    assert said == "Shapes: 2 at 576 x 448, 1 at 512 x 512 px; at most 4% of a picture is cut off."


def test_pictures_are_encoded_at_their_bucket_and_the_cache_tells_them_apart(
    workspace: Workspace, tmp_path: Path
) -> None:
    paths = []
    for i, size in enumerate([(80, 64), (64, 80), (64, 64)]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size[::-1], 3), np.uint8)).save(paths[-1])
    sd, recorder = load_checkpoint(TINY, workspace), Recorder()

    def shapes(buckets: tuple[tuple[int, int], ...]) -> list[tuple[int, ...]]:
        size = PictureSize(64, 64, sd.latent_factor, buckets=buckets)
        latents = encode_images(sd, paths, size, NO_WEIGHTING, recorder, recorder.stop, tmp_path / "cache")
        assert all(torch.isfinite(mean).all() for mean in latents.mean)
        return [tuple(mean.shape[-2:]) for mean in latents.mean]

    assert shapes(bucket_sizes(64, 64)) == [(28, 36), (36, 28), (32, 32)]
    assert shapes(()) == [(32, 32)] * 3
    assert shapes(bucket_sizes(64, 64)) == [(28, 36), (36, 28), (32, 32)]


def test_the_plan_counts_the_shapes_and_the_strip_shows_the_crops(workspace: Workspace) -> None:
    folder = workspace.root / "set"
    folder.mkdir()
    for name, size in (("a.png", (640, 480)), ("b.png", (512, 512))):
        Image.new("RGB", size).save(folder / name)
    buckets = bucket_sizes(512, 512)
    said = picture_sentences([folder / "a.png", folder / "b.png"], (512, 512), TINY, workspace, buckets)
    assert said[0].startswith("Shapes: 1 at 576 x 448, 1 at 512 x 512 px")
    settings = TrainSettings(
        dataset_directory="set", checkpoint=TINY, width=512, height=512, aspect_buckets=True, template_file=""
    )
    assert trained_sizes(settings, workspace) == buckets
    assert trained_sizes(replace(settings, aspect_buckets=False), workspace) == ((512, 512),)
    for no_size in (replace(settings, keep_size=True), replace(settings, width=-1)):
        assert trained_sizes(no_size, workspace) == ()
    strip = dataset_strip(workspace, settings)
    assert '<span style="--shape:1.286" title="576 x 448">' in strip and "--shape:1.000" in strip


def test_buckets_and_do_not_resize_exclude_each_other() -> None:
    settings = TrainSettings(embedding="a", dataset_directory="b", aspect_buckets=True, keep_size=True)
    assert [problem.field for problem in settings.problems()] == ["aspect_buckets"]
