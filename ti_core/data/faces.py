"""Finding faces, by OpenCV: with YuNet where its model file is there, else with BlazeFace, whose files ship with this
program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ti_core.data.blazeface import FAR, NEAR, BlazeFace, merged
from ti_core.data.crops import Face
from ti_core.data.face_model import GET_IT, face_finder_file
from ti_core.events import Emit, Notice
from ti_core.workspace import Workspace

FindFaces = Callable[[Image.Image], list[Face]]

SEARCHED_PX = 1024
"""Longer pictures are searched in a smaller copy: quicker, and faces that we want are large."""

_SCORE, _OVERLAP, _MOST = 0.9, 0.3, 5000
"""YuNet's limits, as in A1111."""


def load_face_finder(workspace: Workspace, emit: Emit) -> FindFaces:
    """YuNet if its file is there (`face_model.py`), else BlazeFace. A file that is not YuNet is told with a Notice."""
    cv2.setNumThreads(1)  # a training may be running beside this
    path = face_finder_file(workspace)
    if path.is_file():
        try:
            return partial(_in_smaller_copy, partial(_find_with_yunet, _yunet(path)))
        except cv2.error:
            emit(
                Notice(
                    f"{workspace.shown(path)} is not the face detector YuNet. Delete the file, then press {GET_IT}"
                    " in Preprocess. Until then another one looks."
                )
            )
    return blazeface_finder()


def blazeface_finder() -> FindFaces:
    """Two networks, one made for faces nearby and one for smaller ones: what either finds counts, and what both find
    counts once.
    """
    networks = [BlazeFace(model) for model in (NEAR, FAR)]

    def find(image: Image.Image) -> list[Face]:
        found = merged([each for network in networks for each in network.find(image)])
        return [_from_hairline(face) for face, _ in found]

    return find


def _from_hairline(face: Face) -> Face:
    """BlazeFace's square from the brows to the chin as the taller box that YuNet gives, which begins at the hairline
    (measured with the two portraits of bench/face_finders.py).
    """
    left, upper, width, height = face
    return left + 0.05 * width, upper - 0.14 * height, 0.9 * width, 1.16 * height


def _yunet(path: Path) -> cv2.FaceDetectorYN:
    """From its content, because OpenCV on Windows opens no path with letters outside of the system's own."""
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    return cv2.FaceDetectorYN.create("onnx", content, np.empty(0, dtype=np.uint8), (320, 320), _SCORE, _OVERLAP, _MOST)


def _find_with_yunet(detector: cv2.FaceDetectorYN, image: Image.Image) -> list[Face]:
    """YuNet was made for BGR; A1111 hands it RGB, which costs it faces."""
    detector.setInputSize(image.size)
    _, rows = detector.detect(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))
    return [] if rows is None else [_face(row) for row in rows]


def _face(row: Sequence[float] | np.ndarray) -> Face:
    left, upper, width, height = (float(value) for value in row[:4])
    return left, upper, width, height


def _in_smaller_copy(find: FindFaces, image: Image.Image) -> list[Face]:
    scale = min(1.0, SEARCHED_PX / max(image.size))
    if scale < 1:
        smaller = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
            Image.Resampling.BILINEAR,
            reducing_gap=2,
        )
        return [(x / scale, y / scale, width / scale, height / scale) for x, y, width, height in find(smaller)]
    return find(image)
