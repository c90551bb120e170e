"""Finding faces with OpenCV's own detectors: YuNet where its model file is there, else the Haar cascades that come
with OpenCV 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ti_core.data.crops import Face
from ti_core.data.face_model import GET_IT, face_finder_file
from ti_core.events import Emit, Notice
from ti_core.workspace import Workspace

FindFaces = Callable[[Image.Image], list[Face]]

SEARCHED_PX = 1024
"""Longer pictures are searched in a smaller copy: quicker, and faces that we want are large."""

_SCORE, _OVERLAP, _MOST = 0.9, 0.3, 5000
"""YuNet's limits, as in A1111."""

_HAAR = (
    ("frontalface_default", 0.05),
    ("frontalface_alt", 0.05),
    ("frontalface_alt2", 0.05),
    ("frontalface_alt_tree", 0.05),
    ("profileface", 0.05),
)
"""Cascade and the smallest size of a find, as a share of the picture's short side; the first that finds something
counts.
"""


def load_face_finder(workspace: Workspace, emit: Emit) -> FindFaces:
    """YuNet if its file is there (`face_model.py`), else the Haar detector.

    Says with a Notice which one looks for faces when it is not YuNet, because Haar misses many.
    """
    cv2.setNumThreads(1)  # a training may be running beside this
    path = face_finder_file(workspace)
    if path.is_file():
        try:
            return partial(_in_smaller_copy, partial(_find_with_yunet, _yunet(path)))
        except cv2.error:
            emit(
                Notice(
                    f"{workspace.shown(path)} is not the face detector YuNet. Delete the file, then press {GET_IT}"
                    " in Preprocess. Until then a weaker one looks."
                )
            )
    else:
        emit(
            Notice(
                "Faces are looked for with the Haar detector of OpenCV, which misses many. For a better one press"
                f" '{GET_IT}' in Preprocess."
            )
        )
    return partial(_in_smaller_copy, partial(_find_with_haar, _cascades()))


def _yunet(path: Path) -> cv2.FaceDetectorYN:
    """From its content, because OpenCV on Windows opens no path with letters outside of the system's own."""
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    return cv2.FaceDetectorYN.create("onnx", content, np.empty(0, dtype=np.uint8), (320, 320), _SCORE, _OVERLAP, _MOST)


def _find_with_yunet(detector: cv2.FaceDetectorYN, image: Image.Image) -> list[Face]:
    """YuNet was made for BGR; A1111 hands it RGB, which costs it faces."""
    detector.setInputSize(image.size)
    _, rows = detector.detect(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))
    return [] if rows is None else [_face(row) for row in rows]


def _cascades() -> list[tuple[cv2.CascadeClassifier, float]]:
    folder = Path(cv2.__file__).parent / "data"
    return [(_cascade(folder / f"haarcascade_{name}.xml"), share) for name, share in _HAAR]


def _cascade(path: Path) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier()
    content = cv2.FileStorage(path.read_text(encoding="utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    cascade.read(content.getFirstTopLevelNode())
    return cascade


def _find_with_haar(cascades: list[tuple[cv2.CascadeClassifier, float]], image: Image.Image) -> list[Face]:
    """Boxes of the first cascade that finds any.

    A1111 begins with eyes, and its fallback stops with an error as soon as something is found (A1111 1.10.1,
    textual_inversion/autocrop.py). Eyes are left out here: they are found in leaves and curtains too, and a pair of
    them would count as two people.
    """
    grey = np.asarray(image.convert("L"))
    for cascade, share in cascades:
        smallest = max(1, round(min(image.size) * share))
        found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=7, minSize=(smallest, smallest))
        if len(found):
            return [_face(box) for box in found]
    return []


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
