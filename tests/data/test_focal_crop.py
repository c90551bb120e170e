"""Where the focal crop looks, on pictures whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.conftest import ASTRONAUT
from ti_core.data.faces import Face
from ti_core.data.focal_crop import (
    FocalWeights,
    edge_point,
    entropy_point,
    face_point,
    focal_crop,
    render_debug,
    tone_score,
)
from ti_core.data.images import open_rgb


def nobody(image: Image.Image) -> list[Face]:
    return []


def somebody_at_the_right(image: Image.Image) -> list[Face]:
    return [(image.width - 60.0, 20.0, 40.0, 40.0)]


def plain(size: tuple[int, int] = (400, 200)) -> Image.Image:
    return Image.new("RGB", size, (120, 120, 120))


def with_rectangle(box: tuple[int, int, int, int], size: tuple[int, int] = (400, 200)) -> Image.Image:
    image = plain(size)
    ImageDraw.Draw(image).rectangle(box, fill=(255, 255, 255))
    return image


def test_edges_pull_to_the_middle_of_the_corners() -> None:
    assert edge_point(with_rectangle((300, 50, 360, 90))) == pytest.approx((330, 70), abs=3)


def test_a_watermark_at_the_bottom_has_no_edges() -> None:
    assert edge_point(with_rectangle((300, 150, 360, 160))) is not None
    assert edge_point(with_rectangle((300, 185, 360, 195))) is None


def test_the_tone_score_is_minus_the_sum_of_the_logarithms() -> None:
    image = Image.new("L", (16, 16), 0)
    assert tone_score(image) == 0
    image.paste(255, (0, 0, 16, 4))  # a quarter white: 2 + log2(4 / 3)
    assert tone_score(image) == pytest.approx(2 - math.log2(0.75))
    image.paste(255, (0, 0, 16, 8))
    assert tone_score(image) == pytest.approx(2)


def test_entropy_takes_the_window_with_the_rarest_tone_in_steps_of_4_px() -> None:
    image = Image.new("RGB", (64, 16))
    image.paste(
        (255, 255, 255), (41, 0, 42, 16)
    )  # windows of 16 px that hold the line begin at 28, 32, 36 and 40; all score alike
    assert entropy_point(image, (16, 16)) == (28 + 8, 8)
    assert entropy_point(image.transpose(Image.Transpose.TRANSPOSE), (16, 16)) == (8, 28 + 8)
    assert entropy_point(plain((64, 64)), (64, 64)) is None


def test_a_face_counts_at_its_eyes_and_several_are_averaged() -> None:
    assert face_point([(10, 20, 30, 60)]) == (25, 40)
    assert face_point([(10, 20, 30, 60), (110, 20, 30, 60)]) == (75, 40)
    assert face_point([]) is None


def test_the_weights_are_shared_among_the_detectors_that_found_something() -> None:
    crop = focal_crop(with_rectangle((30, 50, 60, 90)), (200, 200), FocalWeights(0.9, 0.15, 0.5), somebody_at_the_right)
    assert {p.detector: round(p.weight, 4) for p in crop.points} == {
        "Face": round(0.9 / 1.55, 4),
        "Entropy": round(0.15 / 1.55, 4),
        "Edge": round(0.5 / 1.55, 4),
    }
    faceless = focal_crop(with_rectangle((30, 50, 60, 90)), (200, 200), FocalWeights(0.9, 0, 0.5), nobody)
    assert [(p.detector, p.weight) for p in faceless.points] == [("Edge", 1.0)]
    assert faceless.box == (0, 0, 200, 200)


def test_a_face_at_the_side_is_in_the_crop_where_the_middle_would_lose_it() -> None:
    crop = focal_crop(plain(), (200, 200), FocalWeights(0.9, 0, 0), somebody_at_the_right)
    assert crop.box == (200, 0, 400, 200) and crop.image.size == (200, 200)


def test_where_nothing_is_found_the_middle_is_kept() -> None:
    assert focal_crop(plain(), (200, 200), FocalWeights(0.9, 0, 0.5), nobody).box == (100, 0, 300, 200)
    assert focal_crop(plain(), (200, 200), FocalWeights(0, 0, 0), somebody_at_the_right).box == (100, 0, 300, 200)


@pytest.mark.parametrize(
    ("size", "target"), [((60, 70), (64, 96)), ((70, 60), (96, 64)), ((50, 50), (64, 96)), ((64, 64), (64, 64))]
)
def test_the_crop_fills_its_target_without_black_bars(size: tuple[int, int], target: tuple[int, int]) -> None:
    crop = focal_crop(Image.new("RGB", size, (255, 255, 255)), target, FocalWeights(0.9, 0.15, 0.5), nobody)
    assert crop.image.size == target and np.asarray(crop.image).min() == 255


def test_the_debug_picture_shows_the_whole_photo_with_frame_and_marks() -> None:
    crop = focal_crop(
        open_rgb(ASTRONAUT).crop((0, 0, 384, 200)), (96, 96), FocalWeights(0.9, 0.15, 0.5), somebody_at_the_right
    )
    debug = render_debug(crop)
    assert debug.size == crop.scaled.size
    changed = np.abs(np.asarray(debug).astype(int) - np.asarray(crop.scaled).astype(int)).sum(axis=2) > 0
    assert 100 < changed.sum() < changed.size
    assert np.asarray(debug)[crop.box[1] + 1, crop.box[0] + 1].tolist() == [0, 255, 0]
