"""Phones' and cameras' own formats: read where their package is installed, else named with what to install."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ti_core.data import camera_files
from ti_core.data.images import FORMATS, PHONE_SUFFIXES, find_images, find_problem, open_rgb, pixels_of
from ti_core.data.origin import look_at

HEIC = Path(__file__).parent / "files" / "display_p3.heic"
needs_heif = pytest.mark.skipif(not camera_files.heif_formats(), reason="pi-heif is not installed")
needs_rawpy = pytest.mark.skipif(not importlib.util.find_spec("rawpy"), reason="rawpy is not installed")


def write_dng(path: Path, width: int, height: int, flip: int = 1) -> None:
    """A raw picture whose sensor's green is brighter than red and blue, uncompressed, without a thumbnail."""
    sensor = np.full((height, width), 9000, np.uint16)
    sensor[0::2, 0::2], sensor[1::2, 1::2] = 4000, 4000  # red and blue of an RGGB pattern
    identity = struct.pack("<18i", *(value for i in range(9) for value in (int(i % 4 == 0), 1)))
    texts = b"maker\0"
    entries: list[tuple[int, int, int, bytes]] = [
        (254, 4, 1, struct.pack("<I", 0)),
        (256, 4, 1, struct.pack("<I", width)),
        (257, 4, 1, struct.pack("<I", height)),
        (258, 3, 1, struct.pack("<H", 16)),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", 32803)),
        (271, 2, len(texts), texts),
        (272, 2, len(texts), texts),
        (273, 4, 1, b"DATA"),
        (274, 3, 1, struct.pack("<H", flip)),
        (277, 3, 1, struct.pack("<H", 1)),
        (278, 4, 1, struct.pack("<I", height)),
        (279, 4, 1, struct.pack("<I", sensor.nbytes)),
        (33421, 3, 2, struct.pack("<2H", 2, 2)),
        (33422, 1, 4, bytes([0, 1, 1, 2])),
        (50706, 1, 4, bytes([1, 4, 0, 0])),
        (50708, 2, len(texts), texts),
        (50717, 4, 1, struct.pack("<I", 16383)),
        (50721, 10, 9, identity),
        (50728, 5, 3, struct.pack("<6I", 1, 1, 1, 1, 1, 1)),
        (50778, 3, 1, struct.pack("<H", 21)),
    ]
    later = 8 + 2 + 12 * len(entries) + 4
    data_at = later + sum(len(value) + len(value) % 2 for _, _, _, value in entries if len(value) > 4)
    table, extra = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        value = struct.pack("<I", data_at) if value == b"DATA" else value
        if len(value) <= 4:
            table += struct.pack("<HHI4s", tag, kind, count, value)
        else:
            table += struct.pack("<HHII", tag, kind, count, later + len(extra))
            extra += value + bytes(len(value) % 2)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + table + bytes(4) + extra + sensor.tobytes())


@pytest.mark.parametrize("suffix", [".jxl", ".hif", ".heics", ".orf", ".rw2", ".nef", ".mpo", ".HEIC", ".dng"])
def test_every_kind_of_picture_that_lies_there_is_found(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"IMG_1{suffix}"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    assert find_images(tmp_path) == [path]
    problem = find_problem(path)
    assert problem is not None
    if suffix.lower() in PHONE_SUFFIXES:
        install = f"install {camera_files.package_for(suffix.lower())} (docs/install.md)"
        assert f"pictures of the kind {suffix} cannot be read; save it as JPEG first, or {install}" in problem.reason
    elif suffix == ".jxl":
        assert "pictures of the kind .jxl cannot be read; save it as JPEG first." in problem.sentence()


def test_the_small_picture_inside_a_raw_file_is_never_taken_for_it(tmp_path: Path) -> None:
    """Most raw files are TIFFs that begin with a thumbnail."""
    Image.new("RGB", (160, 120)).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "DSC_1.nef")
    path = tmp_path / "DSC_1.nef"
    assert find_problem(path) is not None and pixels_of(path) == 0 and look_at(path) is None


def test_two_pictures_in_one_file_are_opened_as_the_first(tmp_path: Path) -> None:
    Image.new("RGB", (32, 16), "red").save(
        tmp_path / "a.mpo", save_all=True, append_images=[Image.new("RGB", (32, 16))]
    )
    assert FORMATS[".mpo"] == "JPEG" and find_problem(tmp_path / "a.mpo") is None
    assert open_rgb(tmp_path / "a.mpo").size == (32, 16)


@needs_heif
def test_heic_of_a_phone_is_read_with_its_colours() -> None:
    image = open_rgb(HEIC)
    assert find_problem(HEIC) is None and image.size == (64, 48) and pixels_of(HEIC) == 64 * 48
    assert np.asarray(image)[20, 20].tolist() == pytest.approx([224, 172, 145], abs=3)
    look = look_at(HEIC)
    assert look is not None and look.size == (64, 48)


@needs_rawpy
@pytest.mark.parametrize(("flip", "size"), [(1, (96, 64)), (6, (64, 96))])
def test_raw_is_developed_and_turned(tmp_path: Path, flip: int, size: tuple[int, int]) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, 96, 64, flip)
    look, image = look_at(path), open_rgb(path)
    assert find_problem(path) is None and look is not None and look.size == size == image.size
    red, green, blue = np.asarray(image)[32, 32].tolist()
    assert green > red + 30 and green > blue + 30
    assert min(open_rgb(path, enough_px=32).size) == 32
    path.write_bytes(path.read_bytes()[:-4000])
    problem = find_problem(path)
    assert problem is None or "not a readable picture" in problem.sentence()
