"""A tiny random checkpoint of the real classes, in the layout of a real one; nothing here is slow or needs the
network.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TypeVar

import hypothesis
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from tests.models.tiny_families import tiny_configs_folder, tiny_families
from tests.pretend_cuda import plugin
from tests.pretend_cuda.card import card
from ti_core.events import Event, StepDone
from ti_core.portraits.tokenizer import build_tokenizer
from ti_core.workspace import Workspace


def pytest_configure(config: pytest.Config) -> None:
    """Tests marked `pretend_card` run in a process that has the pretend CUDA device."""
    plugin.register(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of modules that drive Chromium carry the mark `browser`."""
    for item in items:
        names = vars(item.module).values() if isinstance(item, pytest.Function) else ()
        if any(str(getattr(value, "__module__", "")).startswith("playwright") for value in names):
            item.add_marker("browser")


torch.set_num_threads(1)
hypothesis.settings.register_profile("on any machine", deadline=None)  # tests never time anything
hypothesis.settings.load_profile("on any machine")
TINY = "tiny"
E = TypeVar("E", bound=Event)


def save_tiny_checkpoint(folder: Path, prediction_type: str = "epsilon") -> Path:
    """A Stable Diffusion of 16 px pictures with random weights, about 0.3 MB."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder / "tokenizer", captions=100, limit=40)
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        cross_attention_dim=32,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        3,
        3,
        ("DownEncoderBlock2D",) * 2,
        ("UpDecoderBlock2D",) * 2,
        (4, 8),
        1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        steps_offset=1,
        clip_sample=False,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test, nothing reaches the network."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"Something asked for the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / TINY)


@pytest.fixture
def workspace(tmp_path: Path, tiny_checkpoint: Path) -> Workspace:
    """An empty workspace that lists the tiny checkpoint under the title `tiny`."""
    models = tmp_path / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    (models / TINY).symlink_to(tiny_checkpoint)
    return Workspace(tmp_path)


@pytest.fixture
def dataset(workspace: Workspace) -> Path:
    """Four different captioned pictures of 20 x 16 px in datasets/anna."""
    folder = workspace.datasets / "anna"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8)).save(folder / f"{i:05d}-0-photo.png")
        (folder / f"{i:05d}-0-photo.txt").write_text(f"smiling, red shirt, number {i}", encoding="utf-8")
    return folder


class Recorder:
    """Keeps the events of a job; `stop_at` sets the stop flag when that step, or one after it, is done."""

    def __init__(self, stop_at: int = 0) -> None:
        self.events: list[Event] = []
        self.stop = threading.Event()
        self.stop_at = stop_at

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self.stop_at and isinstance(event, StepDone) and event.step >= self.stop_at:
            self.stop.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
