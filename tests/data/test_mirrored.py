"""Mirrored copies are known, and their captions are kept in step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ti_core.data.caption_edits import (
    adding,
    change_captions,
    find_twin,
    read_captions,
    replacing,
    save_caption,
)
from ti_core.data.caption_undo import undo_edit
from ti_core.data.mirrored import mirrored_pairs, twin_of
from ti_core.data.origin import Origin


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos with a copy each: of the first the file says it, of the second the pixels; and one cut in two."""
    marked, old = picture(1), picture(2)
    whole = Origin.whole((8, 8))
    marked.save(tmp_path / "00000-0-a.png", pnginfo=whole.chunk((8, 8)))
    ImageOps.mirror(marked).save(tmp_path / "00000-1-a.png", pnginfo=whole.mirrored().chunk((8, 8)))
    old.save(tmp_path / "00001-0-b.png")
    ImageOps.mirror(old).save(tmp_path / "00001-1-b.png")
    for piece in (0, 1):
        picture(3 + piece).save(tmp_path / f"00002-{piece}-c.png")
    for path in sorted(tmp_path.glob("*.png")):
        side = "right" if path.stem[6] == "1" else "left"
        path.with_suffix(".txt").write_text(f"hat, {side} hand", encoding="utf-8")
    return tmp_path


def captions(folder: Path) -> dict[str, str]:
    return {c.picture.stem[:7]: c.text for c in read_captions(folder)}


def test_pairs_are_found_by_the_mark_or_by_the_pixels(folder: Path) -> None:
    pictures = sorted(folder.glob("*.png"))
    assert [(a.stem, b.stem) for a, b in mirrored_pairs(pictures)] == [
        ("00000-0-a", "00000-1-a"),
        ("00001-0-b", "00001-1-b"),
    ]
    assert twin_of(pictures[1], pictures) == pictures[0] and twin_of(pictures[2], pictures) == pictures[3]
    assert twin_of(pictures[4], pictures) is None and twin_of(folder / "photo.png", pictures) is None


@pytest.mark.parametrize(("edited", "other"), [("00000-0", "00000-1"), ("00001-1", "00001-0")])
def test_an_edit_of_one_is_an_edit_of_the_other_with_left_and_right_exchanged(
    folder: Path, edited: str, other: str
) -> None:
    before = captions(folder)
    name = next(folder.glob(f"{edited}-*.png")).name
    save_caption(folder, name, "Left foot, red shirt", in_step=True)
    after = captions(folder)
    assert after == {**before, edited: "Left foot, red shirt", other: "Right foot, red shirt"}
    undo_edit(folder)
    assert captions(folder) == before
    save_caption(folder, name, "Left foot")
    assert captions(folder) == {**before, edited: "Left foot"}
    twin = find_twin(folder, name)
    assert twin and twin.text == before[other]


def test_a_change_of_all_keeps_copies_in_step_that_were_so(folder: Path) -> None:
    save_caption(folder, "00001-1-b.png", "something else")
    assert change_captions(folder, replacing("left hand", "left foot"), in_step=True)[0] == 4
    assert captions(folder) == {
        "00000-0": "hat, left foot",
        "00000-1": "hat, right foot",
        "00001-0": "hat, left foot",
        "00001-1": "something else",
        "00002-0": "hat, left foot",
        "00002-1": "hat, right hand",
    }
    change_captions(folder, adding("left", at_front=True), in_step=True)
    found = captions(folder)
    assert found["00000-0"] == "left, hat, left foot" and found["00000-1"] == "right, hat, right foot"
    assert found["00001-1"] == "left, something else"
