"""The rectangles of A1111 1.6.1 (preprocess.py, autocrop.py), against values worked out by hand, and what must hold
for every picture.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ti_core.data.crops import (
    auto_size,
    box_around,
    covering_size,
    crop_error,
    head_and_shoulders,
    plan_split,
    weighted_middle,
)

SQUARE = (512, 512)
LONG = 1e9
sides = st.integers(1, 6000)
sizes = st.tuples(sides, sides)
targets = st.tuples(st.integers(8, 256), st.integers(8, 256)).map(lambda size: (size[0] * 8, size[1] * 8))


def test_a_tall_photo_is_split_into_evenly_spread_pieces() -> None:
    # ratio 0.4; scaled to 512 x 1280; ceil((1280 - 102.4) / 409.6) = ceil(2.875) = 3 pieces; step (1280 - 512) / 2 =
    # 384
    plan = plan_split((1000, 2500), SQUARE, 0.5, 0.2)
    assert plan is not None
    assert plan.scaled == (512, 1280)
    assert plan.boxes == ((0, 0, 512, 512), (0, 384, 512, 896), (0, 768, 512, 1280))


def test_a_wide_photo_is_split_along_its_width_with_uneven_steps_rounded_down() -> None:
    # 768 x 512 of 5000 x 1000: ratio 1000 * 768 / (5000 * 512) = 0.3; scaled to 2560 x 512; ceil((2560 - 230.4) /
    # 537.6) = 5; step 448
    plan = plan_split((5000, 1000), (768, 512), 0.5, 0.3)
    assert plan is not None and plan.scaled == (2560, 512)
    assert [box[0] for box in plan.boxes] == [0, 448, 896, 1344, 1792]
    # square, no overlap: 1300 px need ceil(1300 / 512) = 3 pieces; step 394
    plan = plan_split((1300, 512), SQUARE, 0.5, 0.0)
    assert plan is not None and [box[0] for box in plan.boxes] == [0, 394, 788]


@pytest.mark.parametrize(
    ("size", "target", "threshold", "is_split"),
    [
        ((1000, 2000), SQUARE, 0.5, True),  # exactly at the threshold
        ((1000, 1999), SQUARE, 0.5, False),
        ((1000, 1999), SQUARE, 0.55, True),
        ((1000, 1000), SQUARE, 1.0, False),  # as long as the target is never too long
        ((1000, 3000), SQUARE, 0.0, False),
        ((1000, 1500), (512, 768), 1.0, False),
        ((700, 600), (512, 256), 1.0, False),  # lying, but rounder than the target
    ],
)
def test_the_threshold_decides_which_photos_are_split(
    size: tuple[int, int], target: tuple[int, int], threshold: float, is_split: bool
) -> None:
    assert (plan_split(size, target, threshold, 0.2) is not None) == is_split


def test_a_photo_that_rounds_to_one_piece_is_not_split() -> None:
    assert plan_split((10_000, 10_001), SQUARE, 1.0, 0.0) is None


@given(sizes, targets, st.floats(0, 1), st.floats(0, 0.9))
def test_pieces_cover_the_picture_from_end_to_end_and_share_the_asked_overlap(
    size: tuple[int, int], target: tuple[int, int], threshold: float, overlap: float
) -> None:
    plan = plan_split(size, target, threshold, overlap)
    if plan is None:
        return
    along = 0 if size[0] >= size[1] else 1
    starts = [box[along] for box in plan.boxes]
    assert starts[0] == 0 and len(starts) >= 2
    assert plan.scaled[along] - 1 <= starts[-1] + target[along] <= plan.scaled[along]
    assert plan.scaled[1 - along] == target[1 - along]
    for one, other in itertools.pairwise(starts):
        assert 0 <= other - one <= target[along] * (1 - overlap) + 1
    assert all((right - left, lower - upper) == target for left, upper, right, lower in plan.boxes)


@pytest.mark.parametrize(
    ("size", "objective", "expected"),
    [
        ((1000, 1000), "Maximize area", (640, 640)),  # 409600, exactly the bound
        ((1000, 1000), "Minimize error", (640, 640)),
        ((1500, 1000), "Maximize area", (768, 512)),  # 393216 px, error 0; 704 x 576 has 405504, but error 0.185
        ((600, 1000), "Minimize error", (384, 640)),  # exactly 0.6
        ((620, 1000), "Maximize area", (512, 768)),  # 0.667 against 0.62: error 0.07; 448 x 704 fits better
        ((620, 1000), "Minimize error", (448, 704)),  # 0.636: error 0.026; 384 x 640 and 448 x 768 have 0.032 and 0.059
    ],
)
def test_the_automatic_size_is_the_best_of_the_grid(
    size: tuple[int, int], objective: str, expected: tuple[int, int]
) -> None:
    assert auto_size(size, (384, 768), (4096, 409600), objective, 0.1) == expected


def test_the_two_objectives_differ_where_a_larger_size_fits_worse() -> None:
    # aspect 1.05: 704 x 576 has 405504 px and error 0.141; 640 x 640 has 409600 and 0.0476; 448 x 448 as square as that
    # but smaller
    size = (1050, 1000)
    assert auto_size(size, (384, 768), (4096, 409600), "Maximize area", 0.2) == (640, 640)
    closest = auto_size(size, (384, 768), (4096, 409600), "Minimize error", 0.2)
    assert closest is not None and crop_error(size, closest) == min(
        crop_error(size, (w, h)) for w in range(384, 769, 64) for h in range(384, 769, 64) if w * h <= 409600
    )


def test_where_no_size_is_allowed_there_is_none() -> None:
    assert auto_size((4000, 1000), (384, 768), (4096, 409600), "Maximize area", 0.1) is None
    assert auto_size((1000, 1000), (384, 768), (409601, 409602), "Maximize area", 0.1) is None


def test_the_grid_begins_at_the_lower_bound() -> None:
    assert auto_size((1000, 1000), (392, 455), (4096, 409600), "Maximize area", 0.1) == (392, 392)


@given(
    sizes,
    st.integers(8, 120),
    st.integers(0, 100),
    st.floats(0, 1),
    st.sampled_from(["Maximize area", "Minimize error"]),
)
def test_an_automatic_size_keeps_within_all_bounds(
    size: tuple[int, int], low: int, more: int, error: float, objective: str
) -> None:
    bounds = (low * 8, (low + more) * 8)
    found = auto_size(size, bounds, (4096, 409600), objective, error)
    if found is not None:
        step = 64 if bounds[1] >= 128 else 8  # small models would have one size alone
        assert all(bounds[0] <= side <= bounds[1] and (side - bounds[0]) % step == 0 for side in found)
        assert 4096 <= found[0] * found[1] <= 409600
        assert crop_error(size, found) <= error


def test_scaling_before_a_focal_crop_is_a1111s_where_that_covers_the_target() -> None:
    assert covering_size((1000, 500), SQUARE) == (1024, 512)  # lying: the height becomes the target's
    assert covering_size((500, 1000), SQUARE) == (512, 1024)
    assert covering_size((1000, 1000), (512, 256)) == (512, 512)
    assert covering_size((600, 700), (512, 768)) == (658, 768)  # A1111: 512 x 597 on black


@given(sizes, targets, st.floats(-10, LONG), st.floats(-10, LONG))
def test_a_box_has_the_target_size_and_lies_inside_the_covering_picture(
    size: tuple[int, int], target: tuple[int, int], x: float, y: float
) -> None:
    covering = covering_size(size, target)
    left, upper, right, lower = box_around((x, y), target, covering)
    assert (right - left, lower - upper) == target
    assert min(left, upper) >= 0 and right <= covering[0] and lower <= covering[1]


def test_a_box_lies_around_its_focus_if_there_is_room() -> None:
    assert box_around((500, 300), (200, 100), (1000, 600)) == (400, 250, 600, 350)
    assert box_around((10, 590), (200, 100), (1000, 600)) == (0, 500, 200, 600)


def test_points_are_averaged_by_weight_and_weightless_ones_left_out() -> None:
    assert weighted_middle([(0, 0, 0.9), (100, 50, 0.1), (7, 7, 0)]) == pytest.approx((10, 5))
    assert weighted_middle([(7, 7, 0)]) is None and weighted_middle([]) is None


def test_head_and_shoulders_leave_room_above_the_face_and_more_below() -> None:
    # a face of 100 px: a square of 280 px, the face's middle at 45 % of it
    left, upper, right, lower = head_and_shoulders((450, 300, 100, 100), (1000, 1000))
    assert (right - left, lower - upper) == (280, 280)
    assert (left, upper) == (500 - 140, 350 - 126)
    assert head_and_shoulders((0, 0, 100, 100), (1000, 1000)) == (0, 0, 280, 280)


@given(sizes, st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_the_square_around_a_face_is_square_and_inside(size: tuple[int, int], x: float, y: float, share: float) -> None:
    face = (x * size[0], y * size[1], share * size[0], share * size[1])
    left, upper, right, lower = head_and_shoulders(face, size)
    assert right - left == lower - upper >= 1
    assert min(left, upper) >= 0 and right <= size[0] and lower <= size[1]
