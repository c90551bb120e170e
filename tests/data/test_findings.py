"""Near duplicates, blurred pictures and tiny faces are pointed out and never left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from tests.data.conftest import ASTRONAUT
from ti_core.data.findings import (
    ALIKE,
    BLURRED,
    TINY_FACE,
    finding_sentences,
    findings_of,
    look_within,
    sight_of,
    tiny_face,
    tiny_face_of,
)
from ti_core.data.images import find_images, open_rgb
from ti_core.workspace import SAMPLE_PHOTOS

LONG_S = 60.0


def test_a_burst_and_a_copy_are_alike_and_different_photos_are_not(tmp_path: Path) -> None:
    photo = open_rgb(ASTRONAUT)
    photo.save(tmp_path / "a.png")
    photo.resize((200, 200)).save(tmp_path / "b.jpg", quality=50)
    ImageEnhance.Brightness(photo).enhance(1.2).crop((3, 0, 384, 384)).save(tmp_path / "c.jpg")
    for name in ("IMG_2041.jpg", "IMG_2044.jpg"):
        shutil.copy(SAMPLE_PHOTOS / "anna" / name, tmp_path / name)
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    found = findings_of(look_within(find_images(tmp_path), LONG_S))
    assert {path.name: [(each.kind, each.other) for each in findings] for path, findings in found.items()} == {
        "b.jpg": [(ALIKE, tmp_path / "a.png")],
        "c.jpg": [(ALIKE, tmp_path / "a.png")],
    }
    (said,) = finding_sentences(found)
    assert said == "2 pictures are nearly the same as another one (b.jpg as a.png, c.jpg as a.png). Look at them."


def test_blur_is_found_also_where_a_picture_was_enlarged_and_not_in_a_sharp_face_before_a_blurred_wall() -> None:
    photo = open_rgb(ASTRONAUT)
    blurred = photo.filter(ImageFilter.GaussianBlur(2))
    enlarged = photo.resize((96, 96)).resize((384, 384), Image.Resampling.LANCZOS)
    before_a_wall = blurred.copy()
    before_a_wall.paste(photo.crop((110, 10, 230, 170)), (110, 10))
    seen = {
        Path(name): sight_of(image) for name, image in (("sharp", photo), ("blurred", blurred), ("large", enlarged))
    }
    found = findings_of({**seen, Path("wall"): sight_of(before_a_wall)})
    kinds = {path.name: [each.kind for each in findings] for path, findings in found.items()}
    assert BLURRED not in kinds.get("sharp", []) and BLURRED not in kinds["wall"]
    assert BLURRED in kinds["blurred"] and BLURRED in kinds["large"]


def test_sample_photos_have_no_findings_and_one_colour_is_no_blur() -> None:
    assert findings_of(look_within(find_images(SAMPLE_PHOTOS / "boris"), LONG_S)) == {}
    assert findings_of({Path(name): sight_of(Image.new("RGB", (64, 64))) for name in "ab"}) == {}


def test_a_tiny_face_is_said_with_its_share() -> None:
    finding = tiny_face([(10, 10, 20, 25), (50, 50, 12, 15)], (600, 400))
    assert finding is not None and finding.kind == TINY_FACE and "6% of the picture's shorter side" in finding.sentence
    assert tiny_face([(10, 10, 20, 25), (50, 50, 90, 99)], (600, 400)) is None
    assert tiny_face([], (600, 400)) is None


def test_tiny_faces_are_looked_for_where_somebody_finds_faces(tmp_path: Path) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "a.jpg")
    finding = tiny_face_of(tmp_path / "a.jpg", lambda image: [(0, 0, 30, 30)])
    assert finding is not None and finding.kind == TINY_FACE and tiny_face_of(tmp_path / "a.jpg", None) is None


def test_looking_is_remembered_and_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ti_core.data import findings

    paths = [shutil.copy(ASTRONAUT, tmp_path / f"{i}.jpg") for i in range(3)]
    opened: list[Path] = []
    monkeypatch.setattr(findings, "open_rgb", lambda path, px, roughly: opened.append(path) or open_rgb(path, px))
    assert look_within(paths, -1.0) == {}
    assert len(look_within(paths, LONG_S)) == 3 and len(look_within(paths, LONG_S)) == 3
    assert len(opened) == 3
