"""Which rectangles of a picture are kept: numbers only, no pixels (A1111 1.6.1, textual_inversion/preprocess.py and
autocrop.py). Sizes and boxes are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Size = tuple[int, int]
Box = tuple[int, int, int, int]
"""Left, upper, right, lower; the last two are outside."""

Face = tuple[float, float, float, float]
"""Left, upper, width, height of a face."""

SIZE_STEP_PX = 64
"""Auto-sized crop tries widths and heights in steps of this."""
SMALL_STEP_PX = 8
"""The same for models of pictures of less than 128 px, such as Portraits, which would have one size alone."""

HEAD_AND_SHOULDERS = 2.8
"""Side of the square around a face, in heights of the face: hair above, the top of the shoulders below."""

_FACE_HEIGHT_IN_SQUARE = 0.45
"""Where the face's middle lies in that square, from its top."""


@dataclass(frozen=True)
class Split:
    """The size to which the picture is scaled, and the boxes of its pieces in there."""

    scaled: Size
    boxes: tuple[Box, ...]


def plan_split(size: Size, target: Size, threshold: float, overlap: float) -> Split | None:
    """Pieces of `target` size that cover a long picture from end to end, or None for one that is not long enough
    (A1111 1.6.1, preprocess.py: split_pic).

    The short side becomes the target's; the pieces are spread evenly, so that neighbours share at least `overlap`
    of a piece.
    """
    if size[1] <= size[0]:  # lying: the same with the axes swapped
        split = _plan_tall_split(size[::-1], target[::-1], threshold, overlap)
        return split and Split(
            split.scaled[::-1], tuple((upper, left, lower, right) for left, upper, right, lower in split.boxes)
        )
    return _plan_tall_split(size, target, threshold, overlap)


def _plan_tall_split(size: Size, target: Size, threshold: float, overlap: float) -> Split | None:
    (width, height), (target_width, target_height) = size, target
    ratio = (width * target_height) / (height * target_width)
    if ratio >= 1 or ratio > threshold:
        return None
    length = height * target_width // width
    pieces = math.ceil((length - target_height * overlap) / (target_height * (1 - overlap)))
    if pieces < 2:  # the length rounds down to that of one piece; A1111 divides by zero here
        return None
    step = (length - target_height) / (pieces - 1)
    tops = [int(step * number) for number in range(pieces)]
    return Split((target_width, length), tuple((0, top, target_width, top + target_height) for top in tops))


def auto_size(
    size: Size, sides: tuple[int, int], areas: tuple[int, int], objective: str, error_threshold: float
) -> Size | None:
    """The width and height, both in steps of 64 (8 for small pictures) from the lower bound, that suit the
    picture's shape best; None if none may be used (A1111 1.6.1, preprocess.py: multicrop_pic).

    The error is 1 - the smaller of the two aspect ratios by the larger: the share that a crop of the middle cuts
    away.
    """
    lengths = range(sides[0], sides[1] + 1, SIZE_STEP_PX if sides[1] >= 2 * SIZE_STEP_PX else SMALL_STEP_PX)
    candidates = [(width, height) for width in lengths for height in lengths if areas[0] <= width * height <= areas[1]]
    rated = [(crop_error(size, candidate), candidate) for candidate in candidates]
    allowed = [(error, candidate) for error, candidate in rated if error <= error_threshold]
    if not allowed:
        return None
    if objective == "Maximize area":
        return min(allowed, key=lambda rated: (-rated[1][0] * rated[1][1], rated[0]))[1]
    return min(allowed, key=lambda rated: (rated[0], -rated[1][0] * rated[1][1]))[1]


def crop_error(size: Size, target: Size) -> float:
    """Which share of the picture is lost when it is cropped to the shape of `target`."""
    aspect, wanted = size[0] / size[1], target[0] / target[1]
    return 1 - min(aspect / wanted, wanted / aspect)


def covering_size(size: Size, target: Size) -> Size:
    """The size to which a picture is scaled before a focal crop: as small as possible, but covering the target.

    A1111's rule gives the same wherever its picture covers the target; elsewhere it fills up with black (A1111
    1.10.1, textual_inversion/autocrop.py).
    """
    scale = max(target[0] / size[0], target[1] / size[1])
    return max(target[0], round(size[0] * scale)), max(target[1], round(size[1] * scale))


def weighted_middle(points: Iterable[tuple[float, float, float]]) -> tuple[float, float] | None:
    """The middle of (x, y, weight), None where all weigh nothing."""
    rows = [(x, y, weight) for x, y, weight in points if weight > 0]
    total = sum(weight for _, _, weight in rows)
    if total <= 0:
        return None
    return sum(x * weight for x, _, weight in rows) / total, sum(y * weight for _, y, weight in rows) / total


def box_around(focus: tuple[float, float], target: Size, size: Size) -> Box:
    """A box of `target` size with `focus` in its middle, pushed back into the picture where it stands over."""
    left = max(0, min(round(focus[0] - target[0] / 2), size[0] - target[0]))
    upper = max(0, min(round(focus[1] - target[1] / 2), size[1] - target[1]))
    return left, upper, left + target[0], upper + target[1]


def largest_box(
    size: Size, shape: Size, middle: tuple[float, float] = (0.5, 0.5), share: float = 1.0
) -> tuple[float, float, float, float]:
    """Left, upper, width and height in px of the largest part of a picture of `size` px that has the sides of `shape`,
    as near around `middle` (shares of the picture's sides) as it fits; with `share`, of a part that much smaller.
    """
    scale = share * min(size[0] / shape[0], size[1] / shape[1])
    width, height = shape[0] * scale, shape[1] * scale
    left = min(max(0.0, middle[0] * size[0] - width / 2), size[0] - width)
    upper = min(max(0.0, middle[1] * size[1] - height / 2), size[1] - height)
    return left, upper, width, height


def head_and_shoulders(face: Face, size: Size) -> Box:
    """The square around a face (left, upper, width, height), no larger than the picture and inside it."""
    left, upper, width, height = face
    side = max(1, min(round(HEAD_AND_SHOULDERS * max(width, height)), *size))
    return box_around(
        (left + width / 2, upper + height / 2 + (0.5 - _FACE_HEIGHT_IN_SQUARE) * side), (side, side), size
    )
