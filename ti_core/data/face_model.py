"""The file of the better face finder, YuNet: where it lies, and how it is got. Nothing is fetched unasked."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from ti_core.data.fetch import fetch_within
from ti_core.errors import Interrupted, UserError
from ti_core.events import Emit, Finished, Progress
from ti_core.files import save_atomically
from ti_core.workspace import Workspace

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_FILE}"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
FETCH_TIMEOUT_S = 60.0
GET_IT = "Get the better face finder"
"""The button in Preprocess."""


def face_finder_file(workspace: Workspace) -> Path:
    """Where YuNet's file is looked for."""
    return workspace.root / "models" / "opencv" / YUNET_FILE


def fetch_face_finder(workspace: Workspace, emit: Emit, stop: threading.Event) -> Path:
    """Download YuNet (230 kB) to its place, and check that it is that file. Raises UserError with nothing written where
    there is no network or something else arrives.
    """
    file = face_finder_file(workspace)
    by_hand = f"Or put {YUNET_FILE} of github.com/opencv/opencv_zoo into {workspace.shown(file.parent)} by hand."
    emit(Progress("Downloading the face finder", 0, 1))
    content = fetch_within(YUNET_URL, FETCH_TIMEOUT_S)
    if stop.is_set():
        raise Interrupted
    if content is None:
        raise UserError(
            "The face finder could not be downloaded: github.com does not answer.",
            f"Check the internet connection and press the button again. {by_hand}",
        )
    if hashlib.sha256(content).hexdigest() != YUNET_SHA256:
        raise UserError(
            "Something else came than the face finder, so it was thrown away.",
            f"A page that asks for a login may stand between you and github.com. {by_hand}",
        )
    save_atomically(file, lambda part: part.write_bytes(content))
    emit(Progress("Downloaded", 1, 1))
    emit(Finished(f"The better face finder is in {workspace.shown(file)}. Preprocess uses it from now on."))
    return file
