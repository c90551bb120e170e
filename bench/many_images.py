"""A thousand photos through the whole preparation: cropped and captioned, scanned, encoded. How long, and how much
memory at most?

    python bench/many_images.py [--images 1000] [--size 512] [--json]

The photos are random JPEGs of twice the size; the autoencoder is a tiny random one, so that encoding measures what
is around it. Peak memory is the process's own, over the one before the first photo.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from diffusers import AutoencoderKL
from PIL import Image

from bench.peak import Peak
from ti_core.data.dataset import scan_dataset
from ti_core.data.latents import PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.data.preprocess import preprocess
from ti_core.events import Event, Progress
from ti_core.models.checkpoint import load_checkpoint
from ti_core.settings import PORTRAITS, PreprocessSettings
from ti_core.workspace import Workspace


def measure(images: int, size_px: int) -> dict[str, Any]:
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        workspace, figures = Workspace(Path(folder)), {"images": images, "size_px": size_px, "cores": os.cpu_count()}
        photos = workspace.root / "photos"
        photos.mkdir()
        rng = np.random.default_rng(0)
        for i in range(images):
            small = Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8))
            small.resize((size_px * 5 // 2, size_px * 2), Image.Resampling.BICUBIC).save(photos / f"{i:04d}.jpg")
        settings = PreprocessSettings.from_dict(
            {
                "source_directory": "photos",
                "destination_directory": "datasets/many",
                "width": size_px,
                "height": size_px,
            }
        )
        sd, stop = load_checkpoint(PORTRAITS, workspace), threading.Event()
        sd.vae = AutoencoderKL(
            3,
            3,
            ("DownEncoderBlock2D",) * 4,
            ("UpDecoderBlock2D",) * 4,
            (4, 4, 8, 8),
            1,
            norm_num_groups=4,
            mid_block_add_attention=False,
        )
        size = PictureSize(size_px, size_px, sd.latent_factor)
        parts = {
            "preprocess": lambda: preprocess(settings, workspace, events.append, stop),
            "scan": lambda: scan_dataset(workspace.datasets / "many", events.append, stop),
            "encode": lambda: encode_images(
                sd,
                sorted((workspace.datasets / "many").glob("*.png")),
                size,
                NO_WEIGHTING,
                events.append,
                stop,
                workspace.latent_cache,
            ),
            "encode_again": lambda: encode_images(
                sd,
                sorted((workspace.datasets / "many").glob("*.png")),
                size,
                NO_WEIGHTING,
                events.append,
                stop,
                workspace.latent_cache,
            ),
        }
        for name, work in parts.items():
            events.clear()
            began = time.perf_counter()
            with Peak(0.02) as peak:
                work()
            figures[name] = {
                "seconds": round(time.perf_counter() - began, 1),
                "peak_mb": peak.more_mb,
                "progress_events": sum(isinstance(e, Progress) for e in events),
            }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    figures = measure(options.images, options.size)
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
