"""A small classifier that sees the faults of ti_core/portraits/faults.py in portraits, drawn or painted. It is trained
once, on drawn pictures, and kept in build/quality.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ti_core.files import save_atomically
from ti_core.portraits.classifier import soften, to_pixels
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.faults import FAULTS, with_fault
from ti_core.portraits.world import draw_person, draw_scene

PICTURES, EPOCHS, BATCH, RATE = 5000, 6, 100, 3e-3
FAULTY_SHARE = 0.65
"""Of the drawn pictures that have a fault."""


def draw_faulty(count: int, seed: int) -> tuple[np.ndarray, Tensor]:
    """uint8 [count, 128, 128, 3] and float32 [count, faults], 1 where the picture has that fault."""
    rng, pictures, truth = random.Random(f"faults {seed}"), list[np.ndarray](), torch.zeros(count, len(FAULTS))
    for i in range(count):
        picture = render_portrait(draw_person(rng), draw_scene(rng), 128).convert("RGB")
        if rng.random() < FAULTY_SHARE:
            fault = rng.randrange(len(FAULTS))
            picture, truth[i, fault] = with_fault(picture, FAULTS[fault], rng), 1.0
        pictures.append(np.asarray(picture))
    return np.stack(pictures), truth


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 24, 2), (24, 32, 2), (32, 64, 2), (64, 96, 2), (96, 96, 1)):
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96 * 16, len(FAULTS)))


def _train() -> nn.Sequential:
    """Two of three batches are softened, as a small generator paints."""
    torch.manual_seed(0)
    rng, generator, network = random.Random(0), torch.Generator().manual_seed(0), _network().train()
    pictures, truth = draw_faulty(PICTURES, 3)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    total = EPOCHS * PICTURES // BATCH
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=total)
    batches = [chosen for _ in range(EPOCHS) for chosen in torch.randperm(PICTURES, generator=generator).split(BATCH)]
    for step, chosen in enumerate(batches):
        pixels = to_pixels(pictures[chosen.numpy()])
        logits = network(soften(pixels, rng, generator) if step % 3 else pixels)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, truth[chosen]).backward()
        optimizer.step()
        rates.step()
    return network.eval()


def load_fault_classifier(folder: Path) -> nn.Sequential:
    """The classifier kept in the folder; trained first where there is none, some minutes on a CPU."""
    file, network = folder / "faults.safetensors", _network()
    if not file.is_file():
        state = {name: tensor.contiguous() for name, tensor in _train().state_dict().items()}
        save_atomically(file, lambda part: save_file(state, part))
    network.load_state_dict(load_file(file))
    return network.eval()


@torch.no_grad()
def faults_in(classifier: nn.Sequential, pictures: Sequence[Image.Image] | np.ndarray) -> Tensor:
    """float32 [n, faults], 1 where the classifier sees the fault."""
    return torch.cat([(classifier(part) > 0).float() for part in to_pixels(pictures).split(256)])
