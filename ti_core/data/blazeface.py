"""BlazeFace (Bazarevsky et al. 2019), the face detector of MediaPipe, run by OpenCV: its files ship with this program
(assets/face_finder), so faces are found without a network.

The numbers of its anchors and boxes are those of MediaPipe's own graphs (modules/face_detection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ti_core.data.crops import Face
from ti_core.workspace import ASSETS

FOLDER = ASSETS / "face_finder"
OVERLAP = 0.3
"""Boxes that share more than that of their union are one face."""


@dataclass(frozen=True)
class BlazeFaceModel:
    """One of its networks: `strides` of its layers of anchors in px, with how many anchors lie in each place."""

    file: str
    size_px: int
    strides: tuple[tuple[int, int], ...]
    least_score: float

    def anchors(self) -> np.ndarray:
        """[anchors, 2]: their middles as shares of the picture's sides, in the order of the network's rows."""
        layers = []
        for stride, count in self.strides:
            cells = self.size_px // stride
            steps = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(steps, steps, indexing="ij")
            layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
        return np.concatenate(layers)


NEAR = BlazeFaceModel("face_detection_back.tflite", 256, ((16, 2), (32, 6)), 0.6)
FAR = BlazeFaceModel("face_detection_full_range.tflite", 192, ((4, 1),), 0.6)


class BlazeFace:
    """A loaded network. It is not for several threads."""

    def __init__(self, model: BlazeFaceModel, folder: Path = FOLDER) -> None:
        self.model = model
        # from its content, because OpenCV on Windows opens no path with letters outside of the system's own
        content = np.frombuffer((folder / model.file).read_bytes(), dtype=np.uint8)
        self.net = cv2.dnn.readNetFromTFLite(content)
        self.outputs = self.net.getUnconnectedOutLayersNames()
        self.anchors = model.anchors()

    def find(self, image: Image.Image) -> list[tuple[Face, float]]:
        """The faces of an RGB picture, each from its brows to its chin, with a score from 0 to 1."""
        size_px, side = self.model.size_px, max(image.size)
        square = Image.new("RGB", (side, side))
        left, upper = (side - image.width) // 2, (side - image.height) // 2
        square.paste(image, (left, upper))
        small = square.resize((size_px, size_px), Image.Resampling.BILINEAR, reducing_gap=2)
        pixels = np.asarray(small, np.float32) / 127.5 - 1
        self.net.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])
        rows = {each.shape[-1]: each[0] for each in self.net.forward(self.outputs)}
        scores = 1 / (1 + np.exp(-np.clip(rows[1][:, 0], -80, 80)))
        kept = scores >= self.model.least_score
        boxes = rows[16][kept, :4] / size_px
        middles, sides = boxes[:, :2] + self.anchors[kept], boxes[:, 2:]
        corners = (middles - sides / 2) * side - (left, upper)
        found = [
            ((float(x), float(y), float(w), float(h)), float(score))
            for (x, y), (w, h), score in zip(corners, sides * side, scores[kept], strict=True)
        ]
        return merged(found)


def merged(found: Sequence[tuple[Face, float]]) -> list[tuple[Face, float]]:
    """One box for each face: the mean of those that overlap, weighted by their scores."""
    rest, faces = sorted(found, key=lambda each: -each[1]), []
    while rest:
        best = rest[0]
        same = [each for each in rest if overlap(best[0], each[0]) > OVERLAP]
        rest = [each for each in rest if each not in same]
        weights = np.array([score for _, score in same])
        mean = (np.array([box for box, _ in same]) * weights[:, None]).sum(axis=0) / weights.sum()
        faces.append(((float(mean[0]), float(mean[1]), float(mean[2]), float(mean[3])), best[1]))
    return faces


def overlap(one: Face, other: Face) -> float:
    """The share of their union that two boxes have in common."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    return common / max(1e-9, one[2] * one[3] + other[2] * other[3] - common)
