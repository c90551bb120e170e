"""What a person should know of pictures that are readable and still teach badly: near duplicates, blurred ones, tiny
faces. They are pointed out, and never left out by themselves.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ti_core.data.crops import Face, Size
from ti_core.data.images import open_rgb
from ti_core.errors import UserError

ALIKE, BLURRED, TINY_FACE = "alike", "blurred", "tiny face"
LOOKED_PX = 384
"""Pictures are looked at with a shorter side of at most so many px: what is blurred there is blurred in a training."""
_HASH_SIDE = 16
ALIKE_BITS = 28
"""Two pictures differ in 128 of the 256 bits of their difference hash by chance; so few are one photo saved twice,
resized, brightened, or two of one burst. Measured: 4 resized to a half, 6 as a JPEG of quality 30, 16 brightened by a
third, 22 moved by 1.3%; the nearest two different ones of the 60 sample photos 46.
"""
SHARP = 0.0015
"""Sharpness (`Sight.sharpness`) of a usable picture. Measured at 384 px with the 60 sample photos and a NASA portrait:
0.006 to 0.04 as they are, 0.001 to 0.004 after a Gaussian blur of 1 px, 0.0002 to 0.0009 after one of 2 px; 0.0014
enlarged three times.
"""
TINY_FACE_SHARE = 0.1
"""Height of a face by the shorter side of its picture below which the autoencoder cannot draw its eyes: 51 of 512
px.
"""
_FACE_LOOKED_PX = 768
_NAMED = 5

FindFaces = Callable[[Image.Image], Sequence[Face]]


@dataclass(frozen=True)
class Finding:
    """What was found of one picture: of which `kind`, in words for the user, and which `other` picture it is about."""

    kind: str
    sentence: str
    other: Path | None = None


@dataclass(frozen=True)
class Sight:
    """What is kept of a picture once looked at: 256 bits as four uint64, and how sharp its sharpest parts are. Both
    None for a picture of one colour, of which nothing can be said.
    """

    bits: tuple[int, int, int, int] | None
    sharpness: float | None


def sight_of(image: Image.Image) -> Sight:
    """Look at a decoded picture; a few milliseconds."""
    grey = image.convert("L") if min(image.size) <= LOOKED_PX else _smaller(image).convert("L")
    values = np.asarray(grey, np.float32)
    if values.std() < 2:
        return Sight(None, None)
    small = np.asarray(grey.resize((_HASH_SIDE + 1, _HASH_SIDE), Image.Resampling.BOX), np.int16)
    packed = np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64).tolist()
    return Sight((packed[0], packed[1], packed[2], packed[3]), _sharpness(values))


def _smaller(image: Image.Image) -> Image.Image:
    scale = LOOKED_PX / min(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _sharpness(values: np.ndarray) -> float:
    """Energy of the Laplacian by the variance of the picture, in the sharpest tenth of its parts: a sharp face before a
    blurred background is sharp.
    """
    middle = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * middle
    side = max(4, min(laplacian.shape) // 8)
    rows, columns = laplacian.shape[0] // side, laplacian.shape[1] // side
    if not rows or not columns:
        return 1.0  # too small to tell
    parts = np.square(laplacian[: rows * side, : columns * side]).reshape(rows, side, columns, side).mean((1, 3))
    return float(np.quantile(parts, 0.9) / (16 * values.var()))


def sight_at(path: Path) -> Sight | None:
    """Look at a file; None for one that cannot be read. Remembered as long as the file stays the same."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _sight_at(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=20_000)
def _sight_at(path: Path, size_bytes: int, changed_ns: int) -> Sight | None:
    try:
        return sight_of(open_rgb(path, LOOKED_PX, roughly=True))
    except UserError:  # whoever opens the picture says what is the matter with it
        return None


def look_within(pictures: Sequence[Path], seconds: float) -> dict[Path, Sight]:
    """What is seen of as many pictures as can be looked at in that time; those looked at before cost nothing, so that
    asking again comes further.
    """
    ends, seen = time.monotonic() + seconds, {}
    for path in pictures:
        if time.monotonic() > ends:
            break
        if sight := sight_at(path):
            seen[path] = sight
    return seen


def findings_of(sights: Mapping[Path, Sight]) -> dict[Path, list[Finding]]:
    """Near duplicates and blurred pictures among those looked at. The first of several alike is said nothing of."""
    found: dict[Path, list[Finding]] = {}
    for path, other in _pairs_alike(sights):
        sentence = f"It is nearly the same as {other.name}. Keep the better one: what is there twice is learned twice."
        found.setdefault(path, []).append(Finding(ALIKE, sentence, other))
    for path, sight in sights.items():
        if sight.sharpness is not None and sight.sharpness < SHARP:
            sentence = "It is blurred, and blur is learned too. Use a sharper one, or leave it out."
            found.setdefault(path, []).append(Finding(BLURRED, sentence))
    return found


def _pairs_alike(sights: Mapping[Path, Sight]) -> list[tuple[Path, Path]]:
    """Each picture that is nearly the same as one before it, with the first such."""
    paths = [path for path, sight in sights.items() if sight.bits is not None]
    bits = np.array([sights[path].bits for path in paths], np.uint64).reshape(-1, 4)
    pairs = []
    for index in range(1, len(paths)):
        distances = np.bitwise_count(bits[:index] ^ bits[index]).sum(1)
        nearest = int(distances.argmin())
        if distances[nearest] <= ALIKE_BITS:
            pairs.append((paths[index], paths[nearest]))
    return pairs


def tiny_face_of(path: Path, find_faces: FindFaces | None) -> Finding | None:
    """The finding where the largest face of a picture is tiny."""
    if find_faces is None:
        return None
    try:
        image = open_rgb(path, _FACE_LOOKED_PX, roughly=True)
    except UserError:
        return None
    if min(image.size) > _FACE_LOOKED_PX:
        scale = _FACE_LOOKED_PX / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), reducing_gap=2.0)
    return tiny_face(find_faces(image), image.size)


def tiny_face(faces: Sequence[Face], size: Size) -> Finding | None:
    """The finding for faces that were found in a picture of `size` px; None where one is large enough, or there is
    none.
    """
    share = max((height for _, _, _, height in faces), default=0) / min(size)
    if not 0 < share < TINY_FACE_SHARE:
        return None
    sentence = f"The face is tiny: {100 * share:.0f}% of the picture's shorter side. Crop it closer."
    return Finding(TINY_FACE, sentence)


def finding_sentences(found: Mapping[Path, Sequence[Finding]]) -> list[str]:
    """One sentence for each kind of finding, naming the pictures; for the plan and the notes before the start."""
    said = []
    for kind, words in (
        (ALIKE, "nearly the same as another one ({})"),
        (BLURRED, "blurred ({})"),
        (TINY_FACE, "of a tiny face ({})"),
    ):
        named = [
            f"{path.name} as {finding.other.name}" if finding.other else path.name
            for path, findings in found.items()
            for finding in findings
            if finding.kind == kind
        ]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            what = words.format(", ".join(named[:_NAMED]) + more)
            said.append(f"{len(named)} picture{' is' if len(named) == 1 else 's are'} {what}. Look at them.")
    return said
