"""Which face detector finds real faces: public portraits and pictures made from them.

    python -m bench.face_finders FOLDER

FOLDER holds astronaut.png of scikit-image and grace_hopper.jpg of matplotlib (NASA and US Navy, public domain), and
whatever other pictures without faces. Prints a table: faces found of those that are there, finds that are none, and
milliseconds a picture.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from ti_core.data.blazeface import FAR, NEAR, BlazeFace, BlazeFaceModel, overlap
from ti_core.data.crops import Face
from ti_core.data.faces import FindFaces, load_face_finder
from ti_core.workspace import Workspace

FACES = {"astronaut.png": (170.0, 62.0, 92.0, 124.0), "grace_hopper.jpg": (196.0, 122.0, 150.0, 196.0)}
"""Hairline to chin, measured by hand: left, upper, width, height in px."""
ENOUGH = 0.25
"""Overlap with the true face from which a find counts: detectors box more or less of a head."""

Case = tuple[str, Image.Image, list[Face]]


def cases(folder: Path) -> Iterator[Case]:
    """Kind, picture, and the faces in it."""
    portraits = [(Image.open(folder / name).convert("RGB"), face) for name, face in FACES.items()]
    for image, face in portraits:
        yield "as it is", image, [face]
        yield "mirrored", ImageOps.mirror(image), [(image.width - face[0] - face[2], *face[1:])]
        for degrees in (-30, -15, 15, 30):
            yield f"turned {abs(degrees)} degrees", *turned(image, face, degrees)
        for light in (0.3, 0.12):
            yield f"dark: {light} of the light", ImageEnhance.Brightness(image).enhance(light), [face]
        yield "blurred by 3 px", image.filter(ImageFilter.GaussianBlur(3)), [face]
        yield "grey", image.convert("L").convert("RGB"), [face]
        for side in (100, 60, 32):
            yield f"small: {side} px high in 1024", *small(image, face, side)
        yield "fills the frame", *filling(image, face)
    (one, one_face), (two, two_face) = portraits
    pair = Image.new("RGB", (one.width + two.width, max(one.height, two.height)), (110, 110, 110))
    pair.paste(one, (0, 0))
    pair.paste(two, (one.width, 0))
    yield "two faces", pair, [one_face, (one.width + two_face[0], *two_face[1:])]
    for path in sorted(folder.iterdir()):
        if path.name not in FACES:
            yield "no face", Image.open(path).convert("RGB"), []


def turned(image: Image.Image, face: Face, degrees: float) -> tuple[Image.Image, list[Face]]:
    """Around the face's middle, which stays."""
    middle = (face[0] + face[2] / 2, face[1] + face[3] / 2)
    return image.rotate(degrees, Image.Resampling.BICUBIC, center=middle, fillcolor=(110, 110, 110)), [face]


def small(image: Image.Image, face: Face, height: int) -> tuple[Image.Image, list[Face]]:
    """The portrait on a wall of noise, so small that its face is so many px high."""
    scale = height / face[3]
    reduced = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(1).integers(60, 180, (24, 32, 3), np.uint8)
    wall = Image.fromarray(noise).resize((1024, 768), Image.Resampling.BICUBIC)
    wall.paste(reduced, (560, 200))
    x, y, width, tall = (side * scale for side in face)
    return wall, [(560 + x, 200 + y, width, tall)]


def filling(image: Image.Image, face: Face) -> tuple[Image.Image, list[Face]]:
    """Cut so that the face takes four fifths of the picture's height."""
    side = face[3] / 0.8
    left, upper = face[0] + face[2] / 2 - side / 2, face[1] + face[3] / 2 - side / 2
    box = (round(left), round(upper), round(left + side), round(upper + side))
    return image.crop(box), [(face[0] - box[0], face[1] - box[1], face[2], face[3])]


HAAR = ("frontalface_default", "frontalface_alt", "frontalface_alt2", "frontalface_alt_tree", "profileface")
"""OpenCV's cascades; the first that finds something counts."""


def haar_finder() -> FindFaces:
    """What looked for faces here before BlazeFace did."""
    folder = Path(cv2.__file__).parent / "data"
    cascades = [cv2.CascadeClassifier(str(folder / f"haarcascade_{name}.xml")) for name in HAAR]

    def find(image: Image.Image) -> list[Face]:
        smallest = max(1, round(min(image.size) * 0.05))
        grey = np.asarray(image.convert("L"))
        for cascade in cascades:
            found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=7, minSize=(smallest, smallest))
            if len(found):
                return [tuple(map(float, box)) for box in found]
        return []

    return find


def finders(workspace: Workspace) -> dict[str, Callable[[], FindFaces]]:
    """Name -> what loads it."""

    def blaze(model: BlazeFaceModel) -> Callable[[], FindFaces]:
        def load() -> FindFaces:
            network = BlazeFace(model)
            return lambda image: [face for face, _ in network.find(image)]

        return load

    return {
        "Haar cascades": haar_finder,
        "BlazeFace near": blaze(NEAR),
        "BlazeFace far": blaze(FAR),
        "what Preprocess uses": lambda: load_face_finder(workspace, lambda event: None),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    every = list(cases(folder))
    kinds = list(dict.fromkeys(kind for kind, _, _ in every))
    with tempfile.TemporaryDirectory() as root:
        loaded = {name: load() for name, load in finders(Workspace(Path(root))).items()}
        print("| pictures | " + " | ".join(loaded) + " |\n|---|" + "---|" * len(loaded))
        for kind in kinds:
            rows = [counted(find, [case for case in every if case[0] == kind]) for find in loaded.values()]
            print(f"| {kind} | " + " | ".join(rows) + " |")
        print("| ms a picture | " + " | ".join(str(milliseconds(find, every)) for find in loaded.values()) + " |")


def counted(find: FindFaces, some: list[Case]) -> str:
    """Found of those that are there, and false finds."""
    hits = wrong = there = 0
    for _, image, faces in some:
        found = find(image)
        right = {i for i, face in enumerate(faces) if any(overlap(face, each) > ENOUGH for each in found)}
        hits, there = hits + len(right), there + len(faces)
        wrong += sum(all(overlap(face, each) <= ENOUGH for face in faces) for each in found)
    return (f"{hits} of {there}" if there else "") + (f" ({wrong} wrong)" if wrong else "" if there else "0 wrong")


def milliseconds(find: FindFaces, some: list[Case]) -> int:
    """The mean of all cases."""
    begin = time.perf_counter()
    for _, image, _ in some:
        find(image)
    return round(1000 * (time.perf_counter() - begin) / len(some))


if __name__ == "__main__":
    main()
