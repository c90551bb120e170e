"""Masks shown as paint, painted over, read back, and kept with that of the mirrored copy."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from ti_core.data.masks import load_mask, mask_file
from ti_core.data.painted_masks import BIN, found_mask, keep_mask, kept_mask, make_masks, mask_of_paint, overlay_of
from ti_core.errors import Interrupted, UserError
from ti_core.workspace import Workspace

SIZE = (64, 48)


def ramp() -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, 255, SIZE[0], dtype=np.uint8), (SIZE[1], 1)))


def test_a_soft_mask_survives_the_way_to_the_editor_and_back() -> None:
    back = mask_of_paint([overlay_of(ramp())], SIZE)
    assert np.abs(np.asarray(back, int) - np.asarray(ramp(), int)).max() <= 1


def test_paint_adds_erased_paint_is_gone_and_paint_twice_counts_once() -> None:
    layer = overlay_of(Image.new("L", SIZE, 0))
    ImageDraw.Draw(layer).rectangle((0, 0, 9, 9), fill=(255, 112, 0, 153))
    ImageDraw.Draw(layer).rectangle((20, 0, 29, 9), fill=(255, 112, 0, 240))  # two strokes over each other
    mask = mask_of_paint([layer], SIZE)
    assert [mask.getpixel(place) for place in ((5, 5), (25, 5), (40, 40))] == [255, 255, 0]
    assert mask_of_paint([], SIZE).getextrema() == (0, 0)
    assert mask_of_paint([layer.resize((32, 24))], SIZE).getpixel((5, 5)) == 255  # painted on a smaller copy


def test_a_mask_is_kept_with_that_of_the_mirrored_copy_and_none_goes_to_the_bin(tmp_path: Path) -> None:
    picture, copy = tmp_path / "00000-0-a.png", tmp_path / "00000-1-a.png"
    ramp().convert("RGB").save(picture)
    ImageOps.mirror(ramp().convert("RGB")).save(copy)
    workspace = Workspace(tmp_path)
    assert kept_mask(picture, SIZE) is None
    assert keep_mask(picture, ramp(), workspace, in_step=True) == [mask_file(picture), mask_file(copy)]
    assert kept_mask(picture, SIZE) == ramp() and load_mask(mask_file(copy), SIZE) == ImageOps.mirror(ramp())
    assert keep_mask(picture, Image.new("L", SIZE), workspace, in_step=True) == []
    assert kept_mask(picture, SIZE) is None and len(list((tmp_path / BIN).glob("*/*.png"))) == 2


def test_masks_are_made_for_pictures_that_have_none_and_show_a_face(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", SIZE, (200, 0, 0) if name != "b" else (0, 0, 0)).save(tmp_path / f"{name}.png")
    Image.new("L", SIZE, 255).save(mask_file(tmp_path / "c.png"))

    def find(image: Image.Image) -> list[tuple[float, float, float, float]]:
        return [(4, 4, 2, 2), (20, 10, 20, 20)] if image.getpixel((0, 0))[0] else []  # type: ignore[index]

    stop = threading.Event()
    assert make_masks(tmp_path, "head", find, lambda event: None, stop) == (1, ["b.png"])
    made = load_mask(mask_file(tmp_path / "a.png"), SIZE)
    assert made.getpixel((30, 20)) == 255 and made.getpixel((1, 46)) == 0  # around the larger face
    assert made == found_mask(Image.open(tmp_path / "a.png"), find, "head")
    assert load_mask(mask_file(tmp_path / "c.png"), SIZE).getextrema() == (255, 255)
    with pytest.raises(UserError, match="No face was found"):
        found_mask(Image.open(tmp_path / "b.png"), find, "head")
    stop.set()
    with pytest.raises(Interrupted):
        make_masks(tmp_path, "head", find, lambda event: None, stop)
