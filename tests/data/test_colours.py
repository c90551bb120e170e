"""Pictures with a colour profile have the colours that people saw: those of sRGB."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from tests.data.icc_profiles import PRINTED_CYAN, cmyk, display_p3
from ti_core.data.colours import adobe_rgb_profile, matrix_profile
from ti_core.data.images import open_rgb, open_rgb_and_alpha

SKIN = (224, 172, 145)
SKIN_IN_P3, SKIN_IN_ADOBE = (215, 173, 148), (210, 170, 145)
"""The numbers that phones and cameras write for the same colour, by the matrices of the two standards."""


def colour_of(path: Path) -> tuple[int, ...]:
    image = open_rgb(path)
    assert image.mode == "RGB"
    return tuple(np.asarray(image)[image.height // 2, image.width // 2].tolist())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "tif", "mpo"])
def test_display_p3_of_a_phone_becomes_srgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    exact = {"quality": 100} if suffix in ("jpg", "mpo") else {"quality": 100, "lossless": True}
    Image.new("RGB", (32, 32), SKIN_IN_P3).save(path, icc_profile=display_p3(), **exact)
    assert colour_of(path) == pytest.approx(SKIN, abs=2 if suffix in ("jpg", "mpo", "avif") else 1)


def test_adobe_rgb_of_a_camera_becomes_srgb_with_its_profile_or_its_exif_tag_alone(tmp_path: Path) -> None:
    adobe = Image.new("RGB", (32, 32), SKIN_IN_ADOBE)
    adobe.save(tmp_path / "profile.png", icc_profile=adobe_rgb_profile())
    tagged = b"Exif\0\0MM\0*\0\0\0\x08" + _interop_tags(b"R03\0")
    adobe.save(tmp_path / "_DSC1.jpg", exif=tagged, quality=100)
    adobe.save(tmp_path / "DSC2.jpg", exif=tagged.replace(b"R03", b"R98"), quality=100)  # which is sRGB
    assert colour_of(tmp_path / "profile.png") == pytest.approx(SKIN, abs=1)
    assert colour_of(tmp_path / "_DSC1.jpg") == pytest.approx(SKIN, abs=2)
    assert colour_of(tmp_path / "DSC2.jpg") == pytest.approx(SKIN_IN_ADOBE, abs=2)


def _interop_tags(index: bytes) -> bytes:
    """The tags of a camera's picture: a pointer to the Exif tags, there one to those of interoperability, there one."""
    main = struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    exif = struct.pack(">HHHIII", 1, 0xA005, 4, 1, 44, 0)
    return main + exif + struct.pack(">HHHI4sI", 1, 1, 2, 4, index, 0)


def test_cmyk_with_a_profile_becomes_the_printed_colour(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    for name in ("a.tif", "a.jpg"):
        cyan.save(tmp_path / name, icc_profile=cmyk(), quality=100)
        assert colour_of(tmp_path / name) == pytest.approx(PRINTED_CYAN, abs=6), name
    cyan.save(tmp_path / "without.tif")
    assert colour_of(tmp_path / "without.tif") == (0, 255, 255)


def test_numbers_that_are_srgb_already_stay_to_the_last_bit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb.png", srgb), ("none.png", None), ("broken.png", b"no profile"), ("cmyk.png", cmyk())):
        Image.fromarray(pixels).save(tmp_path / name, icc_profile=profile)
        assert np.array_equal(np.asarray(open_rgb(tmp_path / name)), pixels), name


def test_transparency_and_turning_stay_beside_a_profile(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 20), (*SKIN_IN_P3, 255))
    image.paste((0, 0, 0, 0), (20, 0, 40, 20))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(tmp_path / "a.png", icc_profile=display_p3(), exif=exif)
    found, alpha = open_rgb_and_alpha(tmp_path / "a.png")
    assert found.size == (20, 40) and alpha is not None
    assert np.asarray(found)[5, 5].tolist() == pytest.approx(list(SKIN), abs=1)
    assert np.asarray(found)[35, 5].tolist() == [255, 255, 255] and np.asarray(alpha)[[5, 35], 5].tolist() == [255, 0]


def test_a_palette_and_grey_follow_their_profiles(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), SKIN_IN_P3).quantize(4).save(tmp_path / "p.png", icc_profile=display_p3())
    assert colour_of(tmp_path / "p.png") == pytest.approx(SKIN, abs=1)
    linear = matrix_profile("linear", ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), struct.pack(">4sII", b"curv", 0, 0))
    Image.new("L", (32, 32), 55).save(tmp_path / "l.png", icc_profile=linear)
    assert colour_of(tmp_path / "l.png") == pytest.approx((128, 128, 128), abs=2)
