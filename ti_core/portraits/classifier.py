"""A small convolutional classifier that reads the world's attributes off a 128 px portrait: the ruler of
bench/portraits.py.

    python -m ti_core.portraits.classifier --out assets/portraits_classifier.safetensors

It is trained on drawn pictures, half of them blurred, shrunk and noised, so that it also reads the softer ones that
a model paints.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.world import ATTRIBUTES, draw_person, draw_scene, labels
from ti_core.workspace import ASSETS

SIZE_PX = 128
CLASSIFIER_FILE = ASSETS / "portraits_classifier.safetensors"
_BATCH = 100
_PEAK_RATE = 4e-3
_SEEN_SEED, _UNSEEN_SEED = 5, 6


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class AttributeClassifier(nn.Module):
    """One linear head for each of ATTRIBUTES over shared convolutions; 0.8 M weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(3, 24, 2),
            _block(24, 48, 2),
            _block(48, 48),
            _block(48, 96, 2),
            _block(96, 96),
            _block(96, 160, 2),
            _block(160, 160),
            _block(160, 160, 2),
            nn.Flatten(),
        )
        self.heads = nn.ModuleDict({a.name: nn.Linear(160 * (SIZE_PX // 32) ** 2, len(a.values)) for a in ATTRIBUTES})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits [n, values] of each attribute; `pixels` float [n, 3, 128, 128] in [-1, 1]."""
        features = self.body(pixels)
        return {name: head(features) for name, head in self.heads.items()}


def to_pixels(images: Sequence[Image.Image] | np.ndarray) -> Tensor:
    """float32 [n, 3, 128, 128] in [-1, 1] from Pillow pictures of any size or uint8 [n, height, width, 3]."""
    if not len(images):
        return torch.zeros(0, 3, SIZE_PX, SIZE_PX)
    pictures = [i if isinstance(i, Image.Image) else Image.fromarray(i) for i in images]
    small = [
        (
            p.convert("RGB")
            if p.size == (SIZE_PX, SIZE_PX)
            else p.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
        )
        for p in pictures
    ]
    return torch.from_numpy(np.stack([np.asarray(p) for p in small])).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def read_attributes(classifier: AttributeClassifier, images: Sequence[Image.Image] | np.ndarray) -> dict[str, Tensor]:
    """For each attribute int64 [n]: the index of the value that the classifier sees. Takes what `to_pixels` takes."""
    parts = [classifier(part) for part in to_pixels(images).split(256)]
    return {a.name: torch.cat([logits[a.name].argmax(1) for logits in parts]) for a in ATTRIBUTES}


def save_classifier(classifier: AttributeClassifier, path: Path) -> Path:
    weights = {k: v.half().contiguous() for k, v in classifier.state_dict().items() if v.is_floating_point()}
    return save_atomically(path, lambda part: save_file(weights, part))


@cache
def load_classifier(path: Path = CLASSIFIER_FILE) -> AttributeClassifier:
    """The saved classifier, ready to read; raises UserError if it is not there."""
    if not path.is_file():
        raise UserError(
            f"The attribute classifier {path} is missing.", "Make it with: python -m ti_core.portraits.classifier"
        )
    classifier = AttributeClassifier()
    classifier.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    classifier.eval().requires_grad_(False)
    return classifier


def draw_examples(count: int, seed: int) -> tuple[np.ndarray, dict[str, Tensor]]:
    """uint8 [count, 128, 128, 3] and for each attribute its labels int64 [count], -1 where the picture cannot show
    it.
    """
    rng = random.Random(f"classifier {seed}")
    pictures, truth = np.empty((count, SIZE_PX, SIZE_PX, 3), np.uint8), []
    for i in range(count):
        person, scene = draw_person(rng), draw_scene(rng)
        pictures[i] = np.asarray(render_portrait(person, scene, SIZE_PX))
        truth.append(labels(person, scene))
    return pictures, {a.name: torch.tensor([t[a.name] for t in truth]) for a in ATTRIBUTES}


def soften(pixels: Tensor, rng: random.Random, generator: torch.Generator) -> Tensor:
    """The pictures as a small generator paints them: blurred or shrunk and enlarged, a little noisy, brightness a
    little off.
    """
    kind = rng.random()
    if kind < 0.4:
        sigma = rng.uniform(0.5, 1.7)
        row = torch.exp(-torch.arange(-3.0, 4.0).square() / (2 * sigma**2))
        row = (row / row.sum()).expand(3, 1, 1, 7)
        pixels = F.conv2d(
            F.conv2d(F.pad(pixels, (3, 3, 3, 3), "replicate"), row, groups=3), row.transpose(2, 3), groups=3
        )
    elif kind < 0.7:
        small = F.interpolate(pixels, size=rng.randrange(64, 116), mode="bilinear", antialias=True)
        pixels = F.interpolate(small, size=SIZE_PX, mode="bicubic")
    noise = torch.randn(pixels.shape, generator=generator) * rng.uniform(0.0, 0.1)
    return (pixels * rng.uniform(0.92, 1.05) + rng.uniform(-0.05, 0.05) + noise).clamp(-1, 1)


def _batches(
    pictures: np.ndarray, truth: dict[str, Tensor], epochs: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    for _ in range(epochs):
        for chosen in torch.randperm(len(pictures), generator=generator).split(_BATCH):
            if len(chosen) == _BATCH:
                yield to_pixels(pictures[chosen.numpy()]), {name: t[chosen] for name, t in truth.items()}


def train_classifier(count: int, epochs: int) -> AttributeClassifier:
    """Train on `count` drawn pictures; every other batch is softened."""
    torch.manual_seed(0)
    rng, generator, started = random.Random(0), torch.Generator().manual_seed(0), time.monotonic()
    pictures, truth = draw_examples(count, _SEEN_SEED)
    print(f"{count} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
    classifier = AttributeClassifier().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(classifier.parameters(), _PEAK_RATE, weight_decay=0.02)
    total = epochs * (count // _BATCH)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=total)
    for step, (pixels, targets) in enumerate(_batches(pictures, truth, epochs, generator), 1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = classifier(
                (soften(pixels, rng, generator) if step % 2 else pixels).contiguous(memory_format=torch.channels_last)
            )
        loss = torch.stack(
            [F.cross_entropy(logits[name].float(), target, ignore_index=-1) for name, target in targets.items()]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        if step % 100 == 0 or step == total:
            print(f"step {step}/{total} loss {loss.item():.2f}  {time.monotonic() - started:.0f} s", flush=True)
    classifier.eval().requires_grad_(False)
    return classifier


@torch.no_grad()
def accuracy(classifier: AttributeClassifier, pixels: Tensor, truth: dict[str, Tensor]) -> dict[str, float]:
    """Share of the visible values that are read rightly, for each attribute."""
    logits = [classifier(part) for part in pixels.split(256)]
    shares = {}
    for name, target in truth.items():
        right = torch.cat([part[name].argmax(1) for part in logits]) == target
        shares[name] = right[target >= 0].float().mean().item()
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=CLASSIFIER_FILE)
    parser.add_argument("--pictures", type=int, default=16_000)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    classifier = train_classifier(args.pictures, args.epochs)
    save_classifier(classifier, args.out)
    pictures, truth = draw_examples(1_000, _UNSEEN_SEED)
    pixels, rng, generator = to_pixels(pictures), random.Random(1), torch.Generator().manual_seed(1)
    soft = torch.cat([soften(part, rng, generator) for part in pixels.split(50)])
    sharp_shares, soft_shares = accuracy(classifier, pixels, truth), accuracy(classifier, soft, truth)
    print("attribute     sharp  softened")
    for name in truth:
        print(f"{name:12} {sharp_shares[name]:6.1%} {soft_shares[name]:8.1%}")
    print(f"saved {args.out} ({args.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
