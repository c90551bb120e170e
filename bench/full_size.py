"""Trains one update on a checkpoint of full size with random weights, and prints how long it took and the most memory it held.

    python -m bench.full_size --family sd1|sd2|sdxl [--size 128] [--work FOLDER]

The weights are written as a folder in half precision (2 to 7 GB in --work) and read by the ordinary loader.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ti_core.events import Event, Finished, Started, StepDone
from ti_core.models.families import FAMILIES, Family, load_tokenizers
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.workspace import Workspace

PRECISION = {"sd1": "float32", "sd2": "float32", "sdxl": "bfloat16"}
"""On a CPU. SDXL in float32 held 17.8 GB at its peak; a CPU that only emulates bf16 is slow with it."""


def save_random_checkpoint(family: Family, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """A diffusers folder of the family's real architecture; one network is in memory at a time."""
    shutil.copytree(family.configs, folder, dirs_exist_ok=True)
    names = ("", "_2")[: len(family.encoders)]
    for tokenizer, name in zip(load_tokenizers(family), names, strict=True):
        tokenizer.save_pretrained(folder / f"tokenizer{name}")
    for kind, name in zip((CLIPTextModel, CLIPTextModelWithProjection), names, strict=False):
        part = f"text_encoder{name}"
        config = CLIPTextConfig.from_pretrained(family.configs / part)
        _save(lambda kind=kind, config=config: kind(config), folder / part, dtype)
    _save(lambda: UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(family.configs / "unet")), folder / "unet", dtype)
    _save(lambda: AutoencoderKL.from_config(AutoencoderKL.load_config(family.configs / "vae")), folder / "vae", dtype)


def _save(build, folder: Path, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        network = build().to(dtype)
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5 * 0.5, generator=generator)
            else:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for name, buffer in network.named_buffers():
            if name.endswith("position_ids"):
                buffer.copy_(torch.arange(buffer.shape[-1])[None])
    network.save_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="sd1")
    parser.add_argument("--size", type=int, default=128, help="pictures are trained at this size (default: 128)")
    parser.add_argument("--work", default="", help="where the checkpoint is kept between runs (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(FAMILIES[args.family], args.size, Path(args.work or temporary))
    return 0


def run(family: Family, size_px: int, work: Path) -> None:
    workspace = Workspace(work)
    folder = workspace.checkpoints / f"random-{family.name}"
    if not (folder / "done").exists():
        save_random_checkpoint(family, folder)
        (folder / "done").touch()
    pictures = workspace.datasets / "noise"
    pictures.mkdir(parents=True, exist_ok=True)
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (size_px, size_px, 3), np.uint8)).save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text("noise")
    create_embedding(CreateSettings(name="it", overwrite=True, initialization_text="face", checkpoint=folder.name), workspace)
    settings = TrainSettings(
        embedding="it", dataset_directory=str(pictures), template_file="subject_filewords.txt", learning_rate="0.005", batch_size=2, steps=1,
        image_every=0, save_every=0, width=size_px, height=size_px, checkpoint=folder.name, precision=PRECISION[family.name],
    )  # fmt: skip
    began, seen = time.perf_counter(), []

    def watch(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Started | Finished):
            print(f"{time.perf_counter() - began:6.1f} s  {event.plan if isinstance(event, Started) else event.text}", flush=True)

    train(settings, workspace, watch, threading.Event())
    step = next(event for event in seen if isinstance(event, StepDone))
    scale = 1 if sys.platform == "darwin" else 1024
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30
    print(f"{family.title}, {size_px} px, 2 pictures: 1 update in {step.elapsed_s:.1f} s, loss {step.loss:.4f}, peak memory {peak_gb:.1f} GB")


if __name__ == "__main__":
    sys.exit(main())
