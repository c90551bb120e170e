"""A single file gives the same networks as the folder, with no network; so the tiny files have the layout of real
ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError

from tests.models.damaged_files import (
    LIGHTNING,
    save_flux,
    save_hostile,
    save_lightning,
    save_lora,
    save_no_model,
    save_sd3,
    save_truncated,
    save_vae,
    save_without,
)
from tests.models.tiny_families import KINDS, family_of, ldm_tensors, save_folder, save_single_file, tiny_pipeline
from ti_core.models.families import FAMILIES

pytestmark = pytest.mark.usefixtures("tiny_families", "offline")
DAMAGED = [
    save_lora,
    save_vae,
    save_flux,
    save_sd3,
    save_no_model,
    lambda path: save_truncated("sd1", path),
    lambda path: save_truncated("sd1", path, 0.001),
]
SD1_NAMES = [
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "model.diffusion_model.output_blocks.11.0.skip_connection.weight",
    "first_stage_model.decoder.up.3.block.0.conv1.weight",
    "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.q_proj.weight",
    "alphas_cumprod",
]
NAMES = {
    "sd1": SD1_NAMES,
    "sd1_inpainting": SD1_NAMES,
    "sd2_eps": [
        "cond_stage_model.model.transformer.resblocks.23.attn.in_proj_weight",
        "cond_stage_model.model.ln_final.weight",
    ],
    "sd2_v": ["cond_stage_model.model.token_embedding.weight", "cond_stage_model.model.positional_embedding"],
    "sdxl": [
        "model.diffusion_model.label_emb.0.0.weight",
        "conditioner.embedders.0.transformer.text_model.embeddings.position_ids",
        "conditioner.embedders.1.model.transformer.resblocks.1.mlp.c_proj.bias",
        "conditioner.embedders.1.model.text_projection",
    ],
}


def load_single_file(kind: str, path: Path) -> DiffusionPipeline:
    """diffusers' own way. Inpainting has five more channels in the UNet's first layer, which the config does not
    have.
    """
    configs = str(FAMILIES[family_of(kind)].configs)
    parts = {name: part for name, part in tiny_pipeline(kind).components.items() if name.startswith("tokenizer")}
    if kind == "sd1_inpainting":
        parts["unet"] = UNet2DConditionModel.from_single_file(
            str(path), config=configs, subfolder="unet", in_channels=9, local_files_only=True
        )
    pipeline = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    return pipeline.from_single_file(str(path), config=configs, local_files_only=True, **parts)


def assert_same_tensors(found: DiffusionPipeline, kind: str) -> None:
    expected = tiny_pipeline(kind).components
    networks = {name for name, part in expected.items() if isinstance(part, torch.nn.Module)}
    assert networks == {"unet", "vae", "text_encoder"} | ({"text_encoder_2"} if kind == "sdxl" else set())
    for name in networks:
        wanted, got = expected[name].state_dict(), getattr(found, name).state_dict()
        assert wanted.keys() == got.keys()
        assert all(torch.equal(wanted[key], got[key]) for key in wanted), f"{name} differs"


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_gives_the_tensors_of_the_checkpoint(kind: str, ending: str, tmp_path: Path) -> None:
    assert_same_tensors(load_single_file(kind, save_single_file(kind, tmp_path / f"{kind}.{ending}")), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_tensors_and_the_prediction_of_the_checkpoint(kind: str, tmp_path: Path) -> None:
    loaded = DiffusionPipeline.from_pretrained(save_folder(kind, tmp_path / kind), local_files_only=True)
    assert_same_tensors(loaded, kind)
    assert loaded.scheduler.config.prediction_type == ("v_prediction" if kind == "sd2_v" else "epsilon")
    assert loaded.unet.config.in_channels == (9 if kind == "sd1_inpainting" else 4)


@pytest.mark.parametrize("kind", KINDS)
def test_single_files_have_the_names_that_real_ones_are_known_by(kind: str) -> None:
    assert set(NAMES[kind]) <= ldm_tensors(kind).keys()


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("save", DAMAGED)
def test_damaged_files_do_not_load(save: Callable[[Path], Path], ending: str, tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError, SingleFileComponentError)):
        load_single_file("sd1", save(tmp_path / f"damaged.{ending}"))


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (
            "model.diffusion_model.time_embed.0.weight",
            NotImplementedError,
        ),  # "Cannot copy out of meta tensor", which the loader turns into a sentence
        ("first_stage_model.", SingleFileComponentError),
        ("cond_stage_model.", SingleFileComponentError),
    ],
)
def test_a_file_without_a_part_does_not_load(part: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        load_single_file("sd1", save_without("sd1", part, tmp_path / "part.safetensors"))


def test_a_lightning_file_loads_once_its_one_class_is_allowed_by_name(tmp_path: Path) -> None:
    path = save_lightning("sd1", tmp_path / "sd-v1-4.ckpt")
    with pytest.raises(OSError, match="Unable to load weights"):
        load_single_file("sd1", path)
    with torch.serialization.safe_globals([(type("ModelCheckpoint", (), {}), f"{LIGHTNING}.ModelCheckpoint")]):
        assert_same_tensors(load_single_file("sd1", path), "sd1")


def test_code_in_a_pickle_would_run_but_is_refused(tmp_path: Path) -> None:
    evidence = tmp_path / "it ran"
    path = save_hostile("sd1", tmp_path / "hostile.ckpt", evidence)
    with pytest.raises(OSError, match="Unable to load weights"):
        load_single_file("sd1", path)
    assert not evidence.exists()
    torch.load(path, weights_only=False)
    assert evidence.exists()
