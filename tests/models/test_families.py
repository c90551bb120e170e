"""The shipped configs are those of the real families: their parameter counts, tokenizers and schedules."""

from __future__ import annotations

import json
import re

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ti_core.checkpoints.families import FAMILY_MARKS
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import CONFIGS
from ti_core.models.tokenizers import load_tokenizers
from ti_core.workspace import REPOSITORY

UNET = {"sd1": 859_520_964, "sd2": 865_910_724, "sdxl": 2_567_463_684}
VAE = 83_653_863
ENCODERS = {"sd1": [123_060_480], "sd2": [340_387_840], "sdxl": [123_060_480, 694_659_840]}
ENCODER_CLASSES = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}
every_family = pytest.mark.parametrize("name", list(FAMILIES))


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@every_family
def test_configs_give_exactly_the_published_parameter_counts(name: str) -> None:
    configs = FAMILIES[name].configs
    index = json.loads((configs / "model_index.json").read_text())
    with torch.device("meta"):
        assert (
            parameters(UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet")))
            == UNET[name]
        )
        assert parameters(AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae"))) == VAE
        folders = sorted(configs.glob("text_encoder*"))
        encoders = [
            ENCODER_CLASSES[index[folder.name][1]](CLIPTextConfig.from_pretrained(folder)) for folder in folders
        ]
    assert [parameters(encoder) for encoder in encoders] == ENCODERS[name]


@every_family
def test_pooled_output_is_taken_at_the_end_token_not_at_a_new_tokens_id(name: str) -> None:
    for folder in FAMILIES[name].configs.glob("text_encoder*"):
        assert CLIPTextConfig.from_pretrained(folder).eos_token_id == 49_407


@every_family
def test_the_noise_schedule_is_stable_diffusions(name: str) -> None:
    scheduler = DDPMScheduler.from_pretrained(FAMILIES[name].configs / "scheduler")
    assert scheduler.alphas_cumprod[[0, -1]].tolist() == pytest.approx([0.99915, 0.00466], rel=1e-3)
    assert scheduler.config.prediction_type == ("v_prediction" if name == "sd2" else "epsilon")


@pytest.mark.parametrize(("name", "pads"), [("sd1", [49_407]), ("sd2", [0]), ("sdxl", [49_407, 0])])
def test_tokenizers_have_clips_ids_and_pad_as_the_encoders_were_trained(name: str, pads: list[int]) -> None:
    tokenizers = load_tokenizers(FAMILIES[name])
    assert [tokenizer.pad_token_id for tokenizer in tokenizers] == pads
    for tokenizer, pad in zip(tokenizers, pads, strict=True):
        row = tokenizer("a photo of a cat", padding="max_length").input_ids
        assert row == [49_406, 320, 1125, 539, 320, 2368, 49_407] + [pad] * 70
        assert len(tokenizer("word " * 200, truncation=True).input_ids) == 77


@every_family
def test_any_text_tokenizes_and_an_exclamation_mark_is_no_padding(name: str) -> None:
    for tokenizer in load_tokenizers(FAMILIES[name]):
        ids = tokenizer("日本 Ωmega 😀 \x07", add_special_tokens=False).input_ids
        assert len(ids) > 6
        assert tokenizer.unk_token_id not in ids
        assert tokenizer("wow! hey!!", add_special_tokens=False).input_ids == [2781, 256, 2189, 748]


def test_all_configs_and_the_vocabulary_stay_small() -> None:
    files = [path for path in CONFIGS.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert sum(path.stat().st_size for path in files) < 1_800_000


def test_every_family_that_files_are_recognised_as_can_be_loaded() -> None:
    assert FAMILIES.keys() == FAMILY_MARKS.keys()
    for name, family in FAMILIES.items():
        assert len(family.encoders) == len(family.encoder_classes) == len(FAMILY_MARKS[name].text_encoders)
        assert family.configs.is_dir()


def test_only_the_families_own_files_ask_which_family_it_is() -> None:
    name = r"""["'](sd1|sd2|sdxl)["']"""
    asks = re.compile(rf"is_sdxl|pooled is (not )?None|encoders\) [=!]= 2|[=!]= {name}|in \({name}")
    own = {REPOSITORY / "ti_core" / "checkpoints" / "families.py"}
    own |= set((REPOSITORY / "ti_core" / "models" / "families").glob("*.py"))
    found = [
        f"{path.relative_to(REPOSITORY)}: {line.strip()}"
        for path in (REPOSITORY / "ti_core").rglob("*.py")
        if path not in own
        for line in path.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    ]
    assert not found
