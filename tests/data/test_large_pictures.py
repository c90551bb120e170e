"""Photos of 100 megapixels, in a process of their own whose memory is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ti_core.data.images import find_images, find_problem, open_rgb
from ti_core.data.read_ahead import MOST_WEIGHT, read_ahead
from ti_core.workspace import REPOSITORY

SIDE_PX = 9_900
PEAK = """
import resource, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
what, root = sys.argv[1], Path(sys.argv[2])
from ti_core.data.caption_edits import read_captions
from ti_core.data.preprocess import preprocess
from ti_core.settings import PreprocessSettings
from ti_core.ui.thumbnails import thumbnail
from ti_core.workspace import Workspace
def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
begun = peak_mb()
if what == "look":
    with ThreadPoolExecutor(4) as viewers:
        list(viewers.map(lambda captioned: thumbnail(captioned.picture, 256), read_captions(root / "photos")))
else:
    settings = PreprocessSettings("photos", "out", keep_original_size=what == "keep")
    preprocess(settings, Workspace(root), lambda event: None, threading.Event())
print(peak_mb() - begun)
"""


def photos(root: Path, kind: str, count: int) -> None:
    (root / "photos").mkdir(parents=True)
    first = root / "photos" / f"0.{kind}"
    Image.new("RGBA" if kind == "png" else "RGB", (SIDE_PX, SIDE_PX), (200, 80, 40)).save(first, compress_level=1)
    for number in range(1, count):
        (root / "photos" / f"{number}.{kind}").hardlink_to(first)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak in this way")
@pytest.mark.parametrize(
    ("what", "kind", "most_mb"),
    [("look", "jpg", 300), ("look", "png", 1000), ("preprocess", "jpg", 300), ("preprocess", "png", 1500)],
)
def test_large_photos_do_not_fill_the_memory(tmp_path: Path, what: str, kind: str, most_mb: int) -> None:
    photos(tmp_path, kind, 3 if kind == "jpg" else 2)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, what, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) < most_mb


def test_a_large_jpeg_is_decoded_at_a_fraction_that_is_still_enough(tmp_path: Path) -> None:
    Image.new("L", (8000, 5000), 90).save(tmp_path / "a.jpg")
    assert open_rgb(tmp_path / "a.jpg").size == (8000, 5000)
    assert open_rgb(tmp_path / "a.jpg", enough_px=1024).size == (2000, 1250)
    assert open_rgb(tmp_path / "a.jpg", enough_px=3000).size == (8000, 5000)
    Image.new("L", (4000, 3000), 90).save(tmp_path / "b.jpg")
    assert open_rgb(tmp_path / "b.jpg", enough_px=256).size == (
        4000,
        3000,
    )  # photos of usual cameras stay what they were to the last bit
    assert open_rgb(tmp_path / "b.jpg", enough_px=256, roughly=True).size == (500, 375)  # but for a look


def test_a_picture_of_more_than_100_megapixels_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (12_000, 9_000)).save(tmp_path / "a.png")
    problem = find_problem(tmp_path / "a.png")
    assert problem is not None and "too large; make it smaller than 100 megapixels" in problem.sentence()


def test_heavy_items_are_worked_on_one_after_the_other_and_light_ones_together() -> None:
    under_way, most = [0], [0]

    def work(weight: int) -> int:
        return weight

    def weigh(weight: int) -> int:
        under_way.append(weight)
        return weight

    begun: list[int] = []
    taken: list[int] = []
    weights = [MOST_WEIGHT, MOST_WEIGHT, 1, 1, MOST_WEIGHT * 2, 1]
    for result in read_ahead(lambda weight: begun.append(weight) or work(weight), weights, weigh=weigh):
        taken.append(result)
        waiting = begun[len(taken) :]
        most[0] = max(most[0], sum(waiting)) if len(waiting) > 1 else most[0]
    assert taken == weights and most[0] <= MOST_WEIGHT


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I", "F", "CMYK", "L"])
def test_a_tall_picture_is_converted_in_bands_without_a_seam(tmp_path: Path, mode: str) -> None:
    ramp = np.linspace(0, 255, 700).astype(np.uint8)[:, None].repeat(5, 1)
    image = {
        "I;16": lambda: Image.fromarray(ramp.astype(np.uint16) * 257),
        "I": lambda: Image.fromarray(ramp.astype(np.int32)),
        "F": lambda: Image.fromarray(ramp.astype(np.float32)),
    }.get(mode, lambda: Image.fromarray(ramp).convert(mode))()
    image.save(tmp_path / "a.tif")
    tones = np.asarray(open_rgb(tmp_path / "a.tif"))[:, 2].astype(int)
    assert np.abs(tones - ramp[:, :1]).max() <= (3 if mode in ("CMYK", "P") else 1)


@pytest.mark.parametrize("suffix", ["jp2", "psd", "tga", "ico"])
def test_a_picture_of_another_kind_is_named_and_not_opened_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    if suffix != "psd":
        Image.new("RGB", (16, 16)).save(tmp_path / f"a.{suffix}")
        (tmp_path / "b.png").write_bytes((tmp_path / f"a.{suffix}").read_bytes())
        assert find_problem(tmp_path / "b.png") is not None
        (tmp_path / "b.png").unlink()
    else:
        (tmp_path / "a.psd").write_bytes(b"8BPS")
    (found,) = find_images(tmp_path)
    problem = find_problem(found)
    assert (
        problem is not None
        and f"pictures of the kind .{suffix} cannot be read; save it as JPEG first" in problem.sentence()
    )
