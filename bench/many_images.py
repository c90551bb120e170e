"""A thousand photos through the whole preparation: cropped and captioned, scanned, encoded. How long, and how much
memory at most?

    python bench/many_images.py [--images 1000] [--size 512] [--json]
    python bench/many_images.py --images 16 --linked 5000 --minutes 8

The photos are made-up JPEGs; the autoencoder is a tiny random one, so that encoding measures what is around it. Peak
memory is the process's own, over the one before the first photo. `--linked` makes a large folder of the photos by hard
links and measures that instead (large_folder.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from diffusers import AutoencoderKL
from PIL import Image, ImageChops

from bench.large_folder import link_photos, measure_folder
from bench.peak import Peak
from ti_core.data.caption_edits import read_captions
from ti_core.data.dataset import scan_dataset
from ti_core.data.dataset_parts import find_parts
from ti_core.data.images import cover
from ti_core.data.latents import PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.data.preprocess import preprocess
from ti_core.events import Event, Progress
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import PORTRAITS, PreprocessSettings
from ti_core.ui.small_pictures import small_webp
from ti_core.workspace import Workspace

THUMBNAILS, THUMBNAIL_PX = 60, 112
"""What the page shows first of a folder."""


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """JPEGs of that size: made-up landscapes with noise, so that they compress as photos do."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 40, (size[1] // 2, size[0] // 2, 3), np.uint8)).resize(size)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 215, (12, 16, 3), np.uint8))
        ImageChops.add(small.resize(size, Image.Resampling.BICUBIC), noise).save(folder / f"{i:05d}.jpg", quality=90)
        (folder / f"{i:05d}.txt").write_text(f"photo {i}, landscape, noise, number {i % 7}", encoding="utf-8")


def floor(photos: list[Path], size_px: int, folder: Path) -> None:
    """Decode, resize and encode alone, on all cores: what preprocessing cannot do without."""
    folder.mkdir()

    def work(path: Path) -> None:
        with Image.open(path) as image:
            cover(image.convert("RGB"), size_px, size_px).save(folder / f"{path.stem}.png")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, photos))


def measure(images: int, size_px: int, photo_px: tuple[int, int]) -> dict[str, Any]:
    """Seconds and memory of each part; a floor is measured right before and right after the preprocessing, and
    `preprocess_of_floor` is their mean by its time (1 is the floor; 0.8 is asked for).
    """
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {"images": images, "photo_px": photo_px, "size_px": size_px, "cores": os.cpu_count()}
        workspace, stop = Workspace(Path(folder)), threading.Event()
        make_photos(workspace.root / "photos", images, photo_px)
        photos = sorted((workspace.root / "photos").glob("*.jpg"))
        settings = PreprocessSettings(
            source_directory="photos",
            destination_directory="datasets/many",
            width=size_px,
            height=size_px,
            caption_action="copy",
        )
        sd = load_checkpoint(PORTRAITS, workspace)
        sd.vae = small_autoencoder()
        size = PictureSize(size_px, size_px, sd.latent_factor)

        def encode() -> None:
            pictures = sorted((workspace.datasets / "many").glob("*.png"))
            encode_images(sd, pictures, size, NO_WEIGHTING, events.append, stop, workspace.latent_cache)

        def thumbnails() -> None:
            with ThreadPoolExecutor(6) as browser:  # so many connections a browser opens
                list(browser.map(lambda path: small_webp(path, THUMBNAIL_PX), photos[:THUMBNAILS]))

        parts: dict[str, Callable[[], object]] = {
            "first_thumbnails": thumbnails,
            "floor_before": lambda: floor(photos, size_px, workspace.root / "floor-1"),
            "preprocess": lambda: preprocess(settings, workspace, events.append, stop),
            "floor_after": lambda: floor(photos, size_px, workspace.root / "floor-2"),
            "captions_first": lambda: read_captions(workspace.datasets / "many"),
            "captions_again": lambda: read_captions(workspace.datasets / "many"),
            "scan": lambda: scan_dataset(find_parts(workspace.datasets / "many"), events.append, stop),
            "encode": encode,
            "encode_again": encode,
        }
        for name, work in parts.items():
            events.clear()
            began = time.perf_counter()
            with Peak(0.02) as peak:
                work()
            figures[name] = {
                "seconds": round(time.perf_counter() - began, 3),
                "peak_mb": peak.more_mb,
                "progress_events": sum(isinstance(e, Progress) for e in events),
            }
        floors = (figures["floor_before"]["seconds"] + figures["floor_after"]["seconds"]) / 2
        figures["preprocess_of_floor"] = round(floors / figures["preprocess"]["seconds"], 3)
    return figures


def measure_linked(images: int, size_px: int, photo_px: tuple[int, int], linked: int, minutes: float) -> dict[str, Any]:
    """A folder of `linked` photos, of which `images` are different ones, preprocessed for so many minutes."""
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        workspace = Workspace(Path(folder))
        make_photos(workspace.root / "photos", images, photo_px)
        link_photos(sorted((workspace.root / "photos").glob("*.jpg")), workspace.root / "linked", linked)
        settings = PreprocessSettings(
            source_directory="linked",
            destination_directory="datasets/many",
            width=size_px,
            height=size_px,
            caption_action="copy",
        )
        figures = measure_folder(workspace.root / "linked", settings, workspace, minutes, floor)
    return {"photo_px": photo_px, "size_px": size_px, "cores": os.cpu_count(), "different": images, **figures}


def small_autoencoder() -> AutoencoderKL:
    """The real class at a tiny size: what is measured is the reading."""
    return AutoencoderKL(
        3,
        3,
        ("DownEncoderBlock2D",) * 4,
        ("UpDecoderBlock2D",) * 4,
        (4, 4, 8, 8),
        1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--photo", type=int, nargs=2, default=(4000, 3000), help="width and height of the photos")
    parser.add_argument("--linked", type=int, default=0, help="make a folder of so many photos by hard links")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long to preprocess that folder")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    if options.linked:
        figures = measure_linked(options.images, options.size, tuple(options.photo), options.linked, options.minutes)
    else:
        figures = measure(options.images, options.size, tuple(options.photo))
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
