"""Every kind of picture that people bring becomes an upright RGB image of 8 bits."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from ti_core.data.images import cover, find_image, find_images, find_problem, open_rgb, problem_of
from ti_core.errors import UserError


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return tuple(np.asarray(image)[y, x].tolist())


def red_left_blue_right(size: tuple[int, int] = (40, 20)) -> Image.Image:
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return image


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [(1, (40, 20), "red"), (2, (40, 20), "blue"), (3, (40, 20), "blue"), (6, (20, 40), "red"), (8, (20, 40), "blue")],
)
def test_a_picture_is_turned_upright_by_its_exif_tag(
    tmp_path: Path, orientation: int, size: tuple[int, int], corner: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    red_left_blue_right().save(tmp_path / "a.png", exif=exif)
    image = open_rgb(tmp_path / "a.png")
    assert image.size == size
    assert colour_at(image, 1, 1) == {"red": (255, 0, 0), "blue": (0, 0, 255)}[corner]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.png")), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_turned_uncompressed_tiff_keeps_its_pixels(tmp_path: Path, mode: str) -> None:
    """Opened by its name, Pillow 12.3 reads the rows of most of them with the wrong width."""
    values = np.arange(6 * 4, dtype=np.uint8).reshape(4, 6) * 10
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(tmp_path / "turned.tif", exif=exif)
    image.save(tmp_path / "lying.tif")
    expected = open_rgb(tmp_path / "lying.tif").transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(np.array(open_rgb(tmp_path / "turned.tif")), np.array(expected))


def test_an_odd_tag_beside_the_orientation_does_not_lose_the_picture_or_its_turn(tmp_path: Path) -> None:
    turned = struct.pack("<HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0)
    text_for_a_number = struct.pack("<HHI4s", ExifTags.Base.XResolution, 2, 4, b"ab\xff\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + turned + text_for_a_number + b"\0\0\0\0"
    red_left_blue_right().save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(TypeError):
        ImageOps.exif_transpose(image)
    assert open_rgb(tmp_path / "a.jpg").size == (20, 40)


def test_a_palette_becomes_its_colours_and_transparent_parts_become_white(tmp_path: Path) -> None:
    palette = red_left_blue_right().quantize(2)
    palette.save(tmp_path / "plain.gif")
    assert colour_at(open_rgb(tmp_path / "plain.gif"), 1, 1) == (255, 0, 0)
    transparent = palette.getpixel((1, 1))
    palette.save(tmp_path / "holes.png", transparency=transparent)
    assert colour_at(open_rgb(tmp_path / "holes.png"), 1, 1) == (255, 255, 255)
    assert colour_at(open_rgb(tmp_path / "holes.png"), 39, 1) == (0, 0, 255)


def test_half_transparent_red_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 51)).save(tmp_path / "a.png")
    assert colour_at(open_rgb(tmp_path / "a.png"), 0, 0) == (255, 204, 204)


def test_16_bit_greyscale_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    tones = np.asarray(open_rgb(tmp_path / "a.png"))[0, :, 0].astype(int)
    assert np.abs(tones - np.arange(256)).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "webp", "avif", "tif"])
def test_colours_survive_each_format(tmp_path: Path, suffix: str) -> None:
    red_left_blue_right().save(tmp_path / f"a.{suffix}", quality=100)
    image = open_rgb(tmp_path / f"a.{suffix}")
    assert image.size == (40, 20)
    assert colour_at(image, 5, 10) == pytest.approx((255, 0, 0), abs=6) and colour_at(image, 35, 10) == pytest.approx(
        (0, 0, 255), abs=6
    )


def test_16_bit_colour_keeps_its_tones(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), (0, 32896, 65535), np.uint16))  # OpenCV writes BGR
    assert colour_at(open_rgb(tmp_path / "a.png"), 4, 4) == pytest.approx((255, 128, 0), abs=1)


def test_a_float_picture_from_0_to_1_is_not_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tif")
    assert colour_at(open_rgb(tmp_path / "a.tif"), 0, 0) == (128, 128, 128)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = colour_at(open_rgb(tmp_path / "a.jpg"), 8, 8)
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_tag_does_not_lose_the_picture(tmp_path: Path) -> None:
    red_left_blue_right().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert open_rgb(tmp_path / "a.jpg").size == (40, 20)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "IMG_3.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"'IMG_3.jpg' cannot be used: it is not a readable picture"):
        open_rgb(tmp_path / "IMG_3.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "gif", "tif", "bmp"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    assert find_problem(path) is None and open_rgb(path).size == (64, 64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"'a\.{suffix}' cannot be used: it is not a readable picture") as error:
        open_rgb(path)
    assert problem_of(path, error.value).sentence() == f"a.{suffix} was skipped: it is not a readable picture."


def test_a_picture_of_absurd_size_is_refused_as_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red_left_blue_right().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"'a\.png' cannot be used: it is too large"):
        open_rgb(tmp_path / "a.png")


def test_a_missing_picture_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not there any more"):
        open_rgb(tmp_path / "a.png")


def test_postscript_is_never_opened_even_under_another_name(tmp_path: Path) -> None:
    red_left_blue_right().save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    assert find_problem(tmp_path / "a.jpg") is not None


def test_cover_cuts_the_middle_out_and_does_not_stretch() -> None:
    wide = Image.new("RGB", (300, 100), (0, 0, 0))
    wide.paste((255, 255, 255), (100, 0, 200, 100))
    square = cover(wide, 50, 50)
    assert square.size == (50, 50)
    assert np.asarray(square)[:, 2:48].min() > 250


def test_cover_enlarges_small_pictures_and_smooths_what_it_shrinks() -> None:
    assert cover(red_left_blue_right(), 64, 128).size == (64, 128)
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (400, 200))).convert("RGB")
    assert np.abs(np.asarray(cover(stripes, 40, 40)).astype(int) - 127)[:, 2:-2].max() < 12


def test_pictures_are_found_sorted_by_suffix_without_hidden_files_and_subfolders(tmp_path: Path) -> None:
    for name in (
        "b.JPG",
        "a.png",
        "c.webp",
        ".hidden.png",
        "notes.txt",
        "a.txt",
        "Thumbs.db",
        "from_phone.HEIC",
        "x.eps",
    ):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_images(tmp_path)] == ["a.png", "b.JPG", "c.webp", "from_phone.HEIC"]


def test_a_phone_picture_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    problem = find_problem(tmp_path / "IMG_1.HEIC")
    assert problem is not None and "save it as JPEG" in problem.sentence()


def test_one_picture_is_found_by_its_name_as_among_all_and_no_name_leads_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for place in (tmp_path, folder):
        place.mkdir(exist_ok=True)
        for name in ("a.jpg", "B.PNG", ".hidden.png", "a-masklabel.png", "a.txt"):
            (place / name).write_bytes(b"")
    assert [find_image(folder, path.name) for path in find_images(folder)] == find_images(folder)
    others = (".hidden.png", "a-masklabel.png", "a.txt", "gone.jpg", "../a.jpg", "", ".", "..", "a.jpg/", "x\0.jpg")
    assert [find_image(folder, name) for name in (*others, str(tmp_path / "a.jpg"), "x" * 300 + ".jpg")] == [None] * 12
