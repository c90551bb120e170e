"""Masks made from a found face and painted over by hand: how a mask is shown over its picture, read back from what was
painted, and kept, with that of the mirrored copy.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ti_core.data.crops import Face, Size
from ti_core.data.images import find_images, open_rgb
from ti_core.data.masks import face_mask, find_mask, load_mask, mask_file, save_mask
from ti_core.data.mirrored import twin_of
from ti_core.errors import Interrupted, UserError
from ti_core.events import Emit, Finished, Notice, Progress
from ti_core.files import first_free, move
from ti_core.workspace import Workspace

PAINT = (255, 112, 0)
"""Colour of what counts, over the picture."""
OPACITY = 0.6
"""Of what counts whole. What is painted twice is more opaque, and counts no more."""
BIN = "bin/masks"
FACE_NOT_FOUND = "No face was found, so no mask was made"
_NAMED = 5
FindFaces = Callable[[Image.Image], Sequence[Face]]


def overlay_of(mask: Image.Image) -> Image.Image:
    """RGBA: the mask (greyscale) as paint to lay over its picture."""
    layer = Image.new("RGBA", mask.size, (*PAINT, 0))
    layer.putalpha(mask.convert("L").point(lambda value: round(value * OPACITY)))
    return layer


def mask_of_paint(layers: Sequence[Image.Image], size: Size) -> Image.Image:
    """Greyscale of `size` px: what `overlay_of` gave back, and whatever was painted over it; black for no paint."""
    alpha = np.zeros(size[::-1], np.float32)
    for layer in layers:
        fitted = layer.convert("RGBA").getchannel("A")
        fitted = fitted if fitted.size == size else fitted.resize(size, Image.Resampling.BILINEAR)
        alpha = np.maximum(alpha, np.asarray(fitted, np.float32))
    return Image.fromarray(np.clip(alpha / OPACITY + 0.5, 0, 255).astype(np.uint8))


def kept_mask(picture: Path, size: Size) -> Image.Image | None:
    """The mask in a file of a picture that is `size` px large, None where there is none. Raises UserError."""
    file = find_mask(picture)
    return load_mask(file, size) if file else None


def keep_mask(picture: Path, mask: Image.Image, workspace: Workspace, in_step: bool) -> list[Path]:
    """Write a picture's mask, and mirrored that of its mirrored copy: the files. A mask without anything that counts is
    none: the files go to the bin, and the list is empty. Raises UserError.
    """
    twin = twin_of(picture, find_images(picture.parent)) if in_step else None
    if mask.getextrema() == (0, 0):
        for each in (picture, twin):
            if each:
                _put_away(mask_file(each), workspace)
        return []
    files = [save_mask(picture, mask)]
    return [*files, save_mask(twin, ImageOps.mirror(mask))] if twin else files


def _put_away(file: Path, workspace: Workspace) -> None:
    if file.is_file():
        time = datetime.datetime.now().strftime("%Y-%m-%d %H.%M.%S")
        place = workspace.root / BIN
        move(file, first_free(lambda number: place / f"{time} {number}" / file.name, Path.exists))


def found_mask(image: Image.Image, find_faces: FindFaces, shape: str) -> Image.Image:
    """Greyscale, as large as the image: of its largest face. Raises UserError where none is found."""
    faces = find_faces(image)
    if not faces:
        raise UserError(f"{FACE_NOT_FOUND}.", "Paint what counts by hand.")
    return face_mask(image.size, max(faces, key=lambda face: face[2] * face[3]), shape)


def make_masks(
    folder: Path, shape: str, find_faces: FindFaces, emit: Emit, stop: threading.Event
) -> tuple[int, list[str]]:
    """A mask for each picture of the folder that has none: how many were made, and the pictures without a face. Raises
    Interrupted between two pictures; what is written by then stays.
    """
    pictures, made, without = [path for path in find_images(folder) if not find_mask(path)], 0, []
    for number, picture in enumerate(pictures):
        if stop.is_set():
            raise Interrupted
        emit(Progress(f"Looking for the face in {picture.name}", number, len(pictures)))
        try:
            save_mask(picture, found_mask(open_rgb(picture), find_faces, shape))
            made += 1
        except UserError as error:
            if error.problem != f"{FACE_NOT_FOUND}.":
                emit(Notice(str(error)))
            without.append(picture.name)
    names = ", ".join(without[:_NAMED]) + (", ..." if len(without) > _NAMED else "")
    said = f" Without a mask: {names}." if without else ""
    emit(Finished(f"Masks made: {made}.{said}"))
    return made, without
