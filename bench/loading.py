"""How much memory loading takes: a checkpoint of Stable Diffusion XL's full size with random weights, in one file of
half precision.

    python -m bench.loading [--work FOLDER] [--precision bfloat16|float16|float32]

Prints the most that the process held by itself while loading, without pages that are mapped from the file, which the
system takes back when it needs the room, beside the file's size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.peak import Peak
from bench.random_models import random_network
from tests.models.ldm_layout import clip_to_ldm, open_clip_to_ldm, unet_to_ldm, vae_to_ldm
from ti_core.events import Event, Progress
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.families import FAMILIES
from ti_core.workspace import Workspace


def save_full_size(path: Path) -> None:
    """Every number is random, and every name that of a real file."""
    family, cpu, half = FAMILIES["sdxl"], torch.device("cpu"), torch.float16
    tensors = unet_to_ldm(random_network(family, "unet", half, cpu))
    tensors |= vae_to_ldm(random_network(family, "vae", half, cpu))
    tensors |= clip_to_ldm(random_network(family, "text_encoder", half, cpu), "conditioner.embedders.0.transformer.")
    tensors |= open_clip_to_ldm(random_network(family, "text_encoder_2", half, cpu), "conditioner.embedders.1.model.")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="", help="where the file is kept between runs (default: a temporary folder)")
    parser.add_argument("--precision", default="bfloat16")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace(Path(args.work or temporary))
        file = workspace.checkpoints / "random-sdxl.safetensors"
        if not file.exists():
            save_full_size(file)
            print("The file is written; start again with the same --work to measure a fresh process.")
            if args.work:
                return
        began = time.perf_counter()

        def watch(event: Event) -> None:
            if isinstance(event, Progress):
                print(f"{time.perf_counter() - began:6.1f} s  {event.text} {event.done}/{event.total}")

        with Peak(0.02, own=True) as peak:
            load_checkpoint(file.name, workspace, LoadOptions(precision=args.precision), watch)
        size = file.stat().st_size
        print(f"file {size / 2**20:.0f} MB, most held {peak.more_mb} MB: {peak.more_mb * 2**20 / size:.2f} times")


if __name__ == "__main__":
    main()
