"""A single file gives the same networks as the folder, with no network; so the tiny files have the layout of real ones."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

from tests.models.tiny_families import KINDS, family_of, save_folder, save_single_file
from ti_core.models.families import FAMILIES, load_tokenizers


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"Something asked for the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def load_single_file(kind: str, path: Path) -> DiffusionPipeline:
    """diffusers' own way. Inpainting has five more channels in the UNet's first layer, which the config does not have."""
    family = FAMILIES[family_of(kind)]
    parts: dict[str, Any] = dict(zip(("tokenizer", "tokenizer_2"), load_tokenizers(family), strict=False))
    if kind == "sd1_inpainting":
        parts["unet"] = UNet2DConditionModel.from_single_file(str(path), config=str(family.configs), subfolder="unet", in_channels=9, local_files_only=True)
    pipeline = StableDiffusionXLPipeline if family.name == "sdxl" else StableDiffusionPipeline
    return pipeline.from_single_file(str(path), config=str(family.configs), local_files_only=True, **parts)


@pytest.mark.usefixtures("tiny_families", "offline")
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_gives_the_tensors_of_the_folder(kind: str, ending: str, tmp_path: Path) -> None:
    folder = DiffusionPipeline.from_pretrained(save_folder(kind, tmp_path / kind), local_files_only=True)
    single = load_single_file(kind, save_single_file(kind, tmp_path / f"{kind}.{ending}"))
    networks = [name for name, part in folder.components.items() if isinstance(part, torch.nn.Module)]
    assert networks == ["vae", "text_encoder", *(["text_encoder_2"] if kind == "sdxl" else []), "unet"]
    for name in networks:
        expected, found = getattr(folder, name).state_dict(), getattr(single, name).state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), f"{name} differs"
