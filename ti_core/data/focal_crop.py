"""Auto focal point crop: where faces, edges and rare tones lie decides which part of a picture is kept (A1111
1.10.1, textual_inversion/autocrop.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ti_core.data.crops import Box, Size, box_around, covering_size, weighted_middle
from ti_core.data.faces import Face, FindFaces

WATERMARK_SHARE = 0.1
"""The bottom of a picture, where watermarks are, is not searched for edges."""

_WATERMARK_GREY = 0x99
_WINDOW_STEP_PX = 4
_MOST_WINDOWS = 1000
_MAX_CORNERS = 100
_CORNER_QUALITY = 0.04
_CORNER_DISTANCE_SHARE = 0.06
_COLOURS = {"Edge": "blue", "Entropy": "yellow", "Face": "red"}
_FRAME_COLOUR = "lime"


@dataclass(frozen=True)
class FocalPoint:
    """Where one detector looks, and its share of the decision (all shares add up to 1)."""

    detector: str
    x: float
    y: float
    weight: float


@dataclass(frozen=True)
class FocalCrop:
    """`scaled` is the whole picture, from which `box` is cut."""

    scaled: Image.Image
    box: Box
    points: tuple[FocalPoint, ...]

    @property
    def image(self) -> Image.Image:
        """The crop itself."""
        return self.scaled.crop(self.box)


@dataclass(frozen=True)
class FocalWeights:
    """A weight of 0 turns its detector off."""

    face: float
    entropy: float
    edges: float


def focal_crop(image: Image.Image, target: Size, weights: FocalWeights, find_faces: FindFaces) -> FocalCrop:
    """Scale the picture to cover `target` and cut a box of that size around the weighted middle of what the
    detectors found.

    Where they find nothing, the middle is kept; A1111 keeps the upper left corner.
    """
    scaled = image.resize(covering_size(image.size, target), Image.Resampling.LANCZOS)
    found: list[tuple[str, tuple[float, float] | None, float]] = []
    if weights.edges > 0:
        found.append(("Edge", edge_point(scaled), weights.edges))
    if weights.entropy > 0:
        found.append(("Entropy", entropy_point(scaled, target), weights.entropy))
    if weights.face > 0:
        found.append(("Face", face_point(find_faces(scaled)), weights.face))
    total = sum(weight for _, point, weight in found if point)
    points = tuple(FocalPoint(name, *point, weight / total) for name, point, weight in found if point)
    focus = weighted_middle((p.x, p.y, p.weight) for p in points) or (scaled.width / 2, scaled.height / 2)
    return FocalCrop(scaled, box_around(focus, target, scaled.size), points)


def edge_point(image: Image.Image) -> tuple[float, float] | None:
    """The middle of the picture's corners (Shi-Tomasi), None if it has none."""
    grey = np.array(image.convert("L"))
    grey[round(grey.shape[0] * (1 - WATERMARK_SHARE)) :] = _WATERMARK_GREY
    distance = min(image.size) * _CORNER_DISTANCE_SHARE
    corners = cv2.goodFeaturesToTrack(
        grey, maxCorners=_MAX_CORNERS, qualityLevel=_CORNER_QUALITY, minDistance=distance, useHarrisDetector=False
    )
    if corners is None or not len(corners):
        return None
    x, y = corners.reshape(-1, 2).mean(axis=0)
    return float(x), float(y)


def entropy_point(image: Image.Image, target: Size) -> tuple[float, float] | None:
    """The middle of the window of `target` size, along the long side, whose black and white has the highest score;
    None for a square picture.

    The score is A1111's, so that its weight means the same. It is no entropy: it is highest where one of the two is
    rare.
    """
    if image.width == image.height:
        return None
    along_x = image.width > image.height
    longest = (image.width - target[0]) if along_x else (image.height - target[1])
    best, best_score = 0, -1.0
    for start in range(0, longest + 1, max(_WINDOW_STEP_PX, longest // _MOST_WINDOWS)):
        corner = (start, 0) if along_x else (0, start)
        score = tone_score(image.crop((*corner, corner[0] + target[0], corner[1] + target[1])))
        if score > best_score:
            best, best_score = start, score
    return (best + target[0] / 2, image.height / 2) if along_x else (image.width / 2, best + target[1] / 2)


def tone_score(image: Image.Image) -> float:
    """-sum of log2 of the shares of black and white, after dithering to these two; 0 where there is only one of
    them.
    """
    shares = [count / (image.width * image.height) for count in image.convert("1").histogram() if count]
    return -sum(math.log2(share) for share in shares)


def face_point(faces: list[Face]) -> tuple[float, float] | None:
    """The mean of the faces, each taken at the height of its eyes: a third down its box."""
    points = [(left + width / 2, upper + height / 3, 1.0) for left, upper, width, height in faces]
    return weighted_middle(points)


def render_debug(crop: FocalCrop) -> Image.Image:
    """The whole picture with the crop's frame, and a mark with name and weight for each detector that found
    something.
    """
    picture = crop.scaled.copy()
    draw = ImageDraw.Draw(picture)
    left, upper, right, lower = crop.box
    draw.rectangle((left, upper, right - 1, lower - 1), outline=_FRAME_COLOUR, width=2)
    for point in crop.points:
        radius = max(4, round(min(picture.size) * 0.07 * point.weight))
        colour = _COLOURS[point.detector]
        draw.ellipse((point.x - radius, point.y - radius, point.x + radius, point.y + radius), outline=colour, width=2)
        draw.text(
            (point.x + radius + 2, point.y - 6),
            f"{point.detector}: {point.weight:.2f}",
            fill=colour,
            stroke_width=2,
            stroke_fill="black",
        )
    return picture
