"""What is said about a checkpoint, from its names and configs alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.models.damaged_files import (
    LIGHTNING,
    save_flux,
    save_lightning,
    save_lora,
    save_no_model,
    save_sd3,
    save_truncated,
    save_vae,
    save_without,
)
from tests.models.tiny_families import (
    KINDS,
    change_scheduler,
    family_of,
    ldm_tensors,
    save_folder,
    save_pruned_folder,
    save_sd_turbo,
    save_single_file,
    save_tensors,
    save_zero_snr_file,
)
from ti_core.checkpoints.facts import SIZES_PX, facts_of, weights_of
from ti_core.errors import UserError
from ti_core.workspace import PORTRAITS_FOLDER

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
LABEL = "model.diffusion_model.label_emb.0.0.weight"


def names(*names: str) -> dict[str, Any]:
    return {name: torch.zeros(4, 4) for name in names}


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_single_files_family_is_known_whatever_its_width(tmp_path: Path, kind: str, ending: str) -> None:
    path = save_single_file(kind, tmp_path / f"model.{ending}", torch.float16)
    facts = facts_of(path)
    assert (facts.problem, facts.kind, facts.form) == ("", "checkpoint", "file")
    assert (facts.family, facts.inpainting, facts.precision) == (family_of(kind), kind == "sd1_inpainting", "fp16")
    assert (facts.prediction_type, facts.size_px, facts.bytes) == ("", SIZES_PX[facts.family], path.stat().st_size)
    assert facts.parameters == sum(
        t.numel() for name, t in ldm_tensors(kind).items() if not name.startswith("model_ema.")
    )
    facts.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_folders_facts_are_those_of_its_configs(tmp_path: Path, kind: str) -> None:
    facts = facts_of(save_folder(kind, tmp_path / kind))
    assert (facts.problem, facts.form, facts.family, facts.inpainting) == (
        "",
        "folder",
        family_of(kind),
        kind == "sd1_inpainting",
    )
    assert (facts.precision, facts.size_px) == ("fp32", 64)
    assert facts.prediction_type == ("v_prediction" if kind == "sd2_v" else "epsilon")


def test_the_built_in_model_is_a_small_stable_diffusion_1() -> None:
    facts = facts_of(PORTRAITS_FOLDER)
    assert (facts.family, facts.size_px, facts.problem) == ("sd1", 128, "")


@pytest.mark.parametrize(
    ("metadata", "more", "yaml", "prediction_type", "size_px"),
    [
        ({}, (), "", "", 768),
        ({}, ("v_pred",), "", "v_prediction", 768),
        ({"modelspec.prediction_type": "epsilon"}, (), "", "epsilon", 512),
        ({"modelspec.prediction_type": "v", "modelspec.resolution": "1024x576"}, (), "", "v_prediction", 768),
        ({"modelspec.resolution": "640x640"}, (), "", "", 640),
        ({"modelspec.resolution": "large"}, (), "", "", 768),
        ({}, (), 'model:\n  params:\n    parameterization: "v"  # 768\n', "v_prediction", 768),
        ({}, (), "model:\n  params:\n    linear_start: 0.1\n", "epsilon", 512),
        ({}, (), "unrelated: text", "", 768),
    ],
)
def test_prediction_type_and_size_come_from_what_lies_in_and_beside_the_file(
    tmp_path: Path, metadata: dict[str, str], more: Iterable[str], yaml: str, prediction_type: str, size_px: int
) -> None:
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in ldm_tensors("sd2_v").items()}
    save_file(tensors | {name: torch.zeros(1) for name in more}, tmp_path / "m.safetensors", metadata)
    if yaml:
        (tmp_path / "m.yaml").write_text(yaml)
    facts = facts_of(tmp_path / "m.safetensors")
    assert (facts.family, facts.prediction_type, facts.size_px) == ("sd2", prediction_type, size_px)


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize(
    ("marks", "facts"),
    [
        (("v_pred", "ztsnr"), ("v_prediction", True)),
        (("v_pred",), ("v_prediction", False)),
        (("ztsnr",), ("", True)),
        ((), ("", False)),
    ],
)
def test_a_file_of_sdxl_marks_itself_with_empty_tensors(
    tmp_path: Path, marks: tuple[str, ...], facts: tuple[str, bool], ending: str
) -> None:
    found = facts_of(save_zero_snr_file(tmp_path / f"xl.{ending}", marks))
    assert (found.problem, found.prediction_type, found.zero_terminal_snr) == ("", *facts)
    assert found.prediction == (facts[0] or "epsilon")


SDXL_YAML = """model:
  target: sgm.models.diffusion.DiffusionEngine
  params:
    denoiser_config:
      params:
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling."""


@pytest.mark.parametrize(
    ("yaml", "prediction_type", "zero", "problem"),
    [
        (SDXL_YAML + "VScaling\n", "v_prediction", False, ""),
        (SDXL_YAML + "VScaling\n    ztsnr: true\n", "v_prediction", True, ""),
        (SDXL_YAML + "EpsScaling\n", "epsilon", False, ""),
        (SDXL_YAML + "VScalingWithEDMcNoise\n", "", False, "xl.yaml beside it names VScalingWithEDMcNoise"),
    ],
)
def test_the_yaml_beside_a_file_of_sdxl_is_read_in_its_own_words(
    tmp_path: Path, yaml: str, prediction_type: str, zero: bool, problem: str
) -> None:
    path = save_single_file("sdxl", tmp_path / "xl.safetensors")
    path.with_suffix(".yaml").write_text(yaml)
    facts = facts_of(path)
    assert (facts.prediction_type, facts.zero_terminal_snr) == (prediction_type, zero)
    assert problem in facts.problem and bool(problem) == bool(facts.problem)


@pytest.mark.parametrize("key", ["edm_mean", "edm_vpred.sigma_max"])
def test_a_file_with_the_noise_of_edm_is_refused_by_its_name(tmp_path: Path, key: str) -> None:
    facts = facts_of(save_zero_snr_file(tmp_path / "edm.safetensors", ("v_pred", key)))
    assert facts.kind == "other" and "Playground 2.5 or CosXL" in facts.problem
    with pytest.raises(UserError, match="another noise"):
        facts.check()


def test_a_file_whose_metadata_say_that_it_predicts_a_flow_is_refused(tmp_path: Path) -> None:
    tensors = {
        name: tensor.detach().clone().contiguous()
        for name, tensor in ldm_tensors("sdxl").items()
        if not name.startswith("first_stage_model.")
    }
    save_file(tensors, tmp_path / "m.safetensors", {"modelspec.prediction_type": "rectified_flow"})
    with pytest.raises(UserError, match="another noise \\(its metadata say that it predicts rectified_flow\\)"):
        facts_of(tmp_path / "m.safetensors").check(other_vae=True)


def test_a_folders_own_scheduler_says_what_it_predicts(tmp_path: Path) -> None:
    folder = save_folder("sdxl", tmp_path / "xl")
    for values, prediction_type, zero in (
        ({"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}, "v_prediction", True),
        ({"_class_name": "EulerDiscreteScheduler", "rescale_betas_zero_snr": False}, "v_prediction", False),
        ({"_class_name": "FlaxPNDMScheduler", "prediction_type": "epsilon"}, "epsilon", False),
        ({"prediction_type": None, "_class_name": None}, "epsilon", False),
        ({"trained_betas": [0.1, 0.5, 1]}, "epsilon", True),
    ):
        facts = facts_of(change_scheduler(folder, **values))
        assert (facts.problem, facts.prediction_type, facts.zero_terminal_snr) == ("", prediction_type, zero), values


@pytest.mark.parametrize("without_vae", [False, True])
def test_a_folder_with_another_noise_is_refused_by_its_name(tmp_path: Path, without_vae: bool) -> None:
    folder = save_folder("sdxl", tmp_path / "xl")
    config = folder / "scheduler" / "scheduler_config.json"
    before = config.read_text()
    if without_vae:
        shutil.rmtree(folder / "vae")
    for values, reason in (
        *(
            ({"_class_name": name}, name)
            for name in (
                "EDMEulerScheduler",
                "EDMDPMSolverMultistepScheduler",
                "FlowMatchEulerDiscreteScheduler",
                "NewScheduler",
            )
        ),
        ({"prediction_type": "sample"}, "its scheduler says that it predicts sample"),
        ({"prediction_type": "flow_prediction"}, "its scheduler says that it predicts flow_prediction"),
        ({"use_flow_sigmas": True}, "its scheduler has use_flow_sigmas"),
        ({"timestep_type": "continuous"}, "its scheduler has timesteps of the type continuous"),
        ({"beta_schedule": "sigmoid"}, "the beta_schedule sigmoid"),
    ):
        config.write_text(before)
        facts = facts_of(change_scheduler(folder, **values))
        assert facts.kind == "other" and facts.hint
        with pytest.raises(UserError) as error:
            facts.check(other_vae=True)
        assert error.value.problem == f"'xl' was trained with another noise ({reason}), so it cannot be trained here."


def test_a_folder_whose_index_alone_names_another_scheduler_or_whose_vae_shifts_its_latents_is_refused(
    tmp_path: Path,
) -> None:
    folder = save_folder("sdxl", tmp_path / "xl")
    change_index(folder, scheduler=["diffusers", "EDMEulerScheduler"])
    assert "EDMEulerScheduler" in facts_of(folder).problem
    change_index(folder, scheduler=["diffusers", "DDPMScheduler"])
    vae = folder / "vae" / "config.json"
    vae.write_text(json.dumps(json.loads(vae.read_text()) | {"latents_mean": [0.1] * 4}))
    assert "its VAE has latents_mean" in facts_of(folder).problem


def test_the_512_base_of_sd2_is_known_by_its_steps(tmp_path: Path) -> None:
    torch.save({"global_step": 875000, "state_dict": ldm_tensors("sd2_eps")}, tmp_path / "512-base-ema.ckpt")
    facts = facts_of(tmp_path / "512-base-ema.ckpt")
    assert (facts.prediction_type, facts.size_px) == ("epsilon", 512)


@pytest.mark.parametrize(
    ("tensors", "kind", "sentence"),
    [
        (
            names("lora_unet_down_blocks_0.lora_up.weight", "lora_unet_down_blocks_0.lora_down.weight"),
            "lora",
            "is a LoRA, not a checkpoint",
        ),
        (names("unet.down_blocks.0.attentions.0.to_q.lora_A.weight"), "lora", "is a LoRA"),
        (names("encoder.conv_in.weight", "decoder.conv_out.weight"), "vae", "is a VAE, not a checkpoint"),
        (
            names("first_stage_model.encoder.conv_in.weight", "first_stage_model.decoder.conv_out.weight"),
            "vae",
            "is a VAE",
        ),
        (names("control_model.input_blocks.0.0.weight"), "other", "is a ControlNet"),
        (names("controlnet_cond_embedding.conv_in.weight"), "other", "is a ControlNet"),
        ({"emb_params": torch.zeros(2, 768)}, "embedding", "is an embedding"),
        ({"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(2, 1280)}, "embedding", "is an embedding"),
        (
            names("text_model.encoder.layers.0.mlp.fc1.weight", "text_model.final_layer_norm.weight"),
            "text encoder",
            "is a text encoder alone",
        ),
        (names("input_blocks.0.0.weight", "out.2.weight"), "checkpoint", "holds a UNet only"),
        (names("conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"), "checkpoint", "holds a UNet only"),
        (names(FIRST), "checkpoint", "has no text encoder and no VAE inside"),
        (
            names("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"),
            "other",
            "Stable Diffusion 3, which cannot be trained here",
        ),
        (names("model.diffusion_model.double_blocks.0.img_attn.qkv.weight"), "other", "a model of Flux"),
        (names("blocks.0.cross_attn.norm_k.weight"), "other", "a model of Wan"),
        (
            names(FIRST, LABEL, "conditioner.embedders.0.model.ln_final.weight", "first_stage_model.x"),
            "other",
            "refiner",
        ),
        (names(FIRST, "cond_stage_model.bert.x", "first_stage_model.x"), "other", "has a text encoder that is none of"),
        (names(FIRST, LABEL, "first_stage_model.x"), "checkpoint", "has no text encoders inside"),
        (names("layer.weight", "layer.bias", "a", "b", "c"), "unknown", "is no model that is known here"),
    ],
)
def test_each_wrong_kind_has_its_own_sentence(
    tmp_path: Path, tensors: dict[str, Any], kind: str, sentence: str
) -> None:
    save_file(tensors, tmp_path / "m.safetensors")
    facts = facts_of(tmp_path / "m.safetensors")
    assert facts.kind == kind
    assert (
        facts.problem.startswith("'m.safetensors' ")
        and sentence in facts.problem
        and facts.problem.endswith(".")
        and facts.hint
    )
    with pytest.raises(UserError, match=sentence):
        facts.check()


@pytest.mark.parametrize(
    ("kind", "left_out", "missing", "sentence"),
    [
        ("sd1", "first_stage_model.", ("VAE",), "has no VAE inside"),
        ("sd1", "cond_stage_model.", ("text encoder",), "has no text encoder inside"),
        ("sdxl", "conditioner.embedders.0.", ("first text encoder",), "has no first text encoder inside"),
        ("sdxl", "conditioner.embedders.1.", ("second text encoder",), "has no second text encoder inside"),
        (
            "sd2_v",
            "model.diffusion_model.out.2.weight",
            ("UNet",),
            "is incomplete: its UNet lacks model.diffusion_model.out.2.weight",
        ),
        ("sd1", "first_stage_model.decoder.conv_out.weight", ("VAE",), "is incomplete: its VAE lacks"),
    ],
)
def test_a_missing_part_is_named(
    tmp_path: Path, kind: str, left_out: str, missing: tuple[str, ...], sentence: str
) -> None:
    save_tensors(
        {name: tensor for name, tensor in ldm_tensors(kind).items() if not name.startswith(left_out)},
        tmp_path / "m.safetensors",
    )
    facts = facts_of(tmp_path / "m.safetensors")
    assert (facts.family, facts.missing) == ("" if missing == ("text encoder",) else family_of(kind), missing)
    assert sentence in facts.problem
    if missing == ("VAE",):
        facts.check(other_vae=True)
    else:
        with pytest.raises(UserError):
            facts.check(other_vae=True)


@pytest.mark.parametrize(
    ("channels", "sentence"), [(8, "instruct-pix2pix"), (7, "upscaler"), (5, "depth"), (12, "12 channels")]
)
def test_a_unet_that_wants_other_pictures_is_refused(tmp_path: Path, channels: int, sentence: str) -> None:
    save_tensors(ldm_tensors("sd1") | {FIRST: torch.zeros(32, channels, 3, 3)}, tmp_path / "m.safetensors")
    assert sentence in facts_of(tmp_path / "m.safetensors").problem


def test_code_in_a_ckpt_is_told_and_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'harmed'}",)

    torch.save({"state_dict": ldm_tensors("sd1"), "more": Malicious()}, tmp_path / "m.ckpt")
    facts = facts_of(tmp_path / "m.ckpt")
    assert (
        facts.family == "sd1" and "system', which a model does not need" in facts.problem and "convert it" in facts.hint
    )
    assert not (tmp_path / "harmed").exists()


def test_a_cut_off_file_is_damaged(tmp_path: Path) -> None:
    path = save_single_file("sd1", tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    facts = facts_of(path)
    assert (
        facts.kind == "damaged" and "'m.safetensors' is cut off" in facts.problem and "download it again" in facts.hint
    )


def change_index(folder: Path, **values: Any) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: shutil.rmtree(f / "unet"), "unet/config.json is missing"),
        (
            lambda f: (f / "text_encoder" / "model.safetensors").unlink(),
            "a file of weights in text_encoder/ is missing",
        ),
        (lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer/vocab.json is missing"),
        (lambda f: shutil.rmtree(f / "scheduler"), "scheduler/scheduler_config.json is missing"),
        (lambda f: os.truncate(f / "unet" / "diffusion_pytorch_model.safetensors", 1000), "is cut off"),
        (lambda f: (f / "model_index.json").write_text("{"), "a pipeline without a name"),
        (lambda f: change_index(f, _class_name="FluxPipeline"), "a model of Flux"),
        (
            lambda f: change_index(f, _class_name="StableDiffusionInstructPix2PixPipeline"),
            "StableDiffusionInstructPix2Pix, which cannot",
        ),
        (lambda f: change_index(f, _class_name="StableDiffusionXLPipeline", text_encoder=[None, None]), "refiner"),
    ],
)
def test_a_folder_that_cannot_be_trained_says_why(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    folder = save_folder("sd1", tmp_path / "m")
    damage(folder)
    assert sentence in facts_of(folder).problem


def test_a_folder_without_a_vae_can_be_made_good(tmp_path: Path) -> None:
    folder = save_folder("sd1", tmp_path / "m")
    shutil.rmtree(folder / "vae")
    facts = facts_of(folder)
    assert facts.missing == ("VAE",)
    facts.check(other_vae=True)


def test_weights_are_safetensors_before_bin_full_before_fp16_and_all_pieces(tmp_path: Path) -> None:
    def found(*files: str) -> list[str]:
        for file in tmp_path.iterdir():
            file.unlink()
        for name in files:
            (tmp_path / name).touch()
        return [path.name for path in weights_of(tmp_path)]

    assert found("model.fp16.safetensors", "model.safetensors", "pytorch_model.bin", "optimizer.bin") == [
        "model.safetensors"
    ]
    assert found("model.fp16.safetensors", "pytorch_model.bin") == ["model.fp16.safetensors"]
    assert found("pytorch_model.bin", "training_args.bin") == ["pytorch_model.bin"]
    pieces = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert found(*pieces, "diffusion_pytorch_model.non_ema.safetensors") == pieces
    assert found() == []


def test_facts_can_be_printed_as_json() -> None:
    assert json.loads(json.dumps(dataclasses.asdict(facts_of(PORTRAITS_FOLDER))))["family"] == "sd1"


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize(
    ("save", "sentence"),
    [
        (save_lora, "is a LoRA"),
        (save_vae, "is a VAE"),
        (save_flux, "is a model of Flux"),
        (save_sd3, "is a model of Stable Diffusion 3"),
        (save_no_model, "is a web page"),
        (partial(save_truncated, "sd1", keep=0.5), "is cut off"),
        (partial(save_truncated, "sd1", keep=0.001), "is cut off"),
        (partial(save_without, "sdxl", "conditioner.embedders.1."), "has no second text encoder"),
    ],
)
def test_what_people_take_for_a_checkpoint_is_named_in_either_format(
    tmp_path: Path, save: Callable[[Path], Path], sentence: str, ending: str
) -> None:
    facts = facts_of(save(tmp_path / f"it.{ending}"))
    assert f"'it.{ending}' {sentence}" in facts.problem and facts.hint


def test_the_first_checkpoints_with_their_trainers_bookkeeping_are_fine(tmp_path: Path) -> None:
    facts = facts_of(save_lightning("sd1", tmp_path / "sd-v1-4.ckpt"))
    assert (facts.problem, facts.family, facts.trainer_classes) == ("", "sd1", (f"{LIGHTNING}.ModelCheckpoint",))


@pytest.mark.parametrize(
    ("marks", "family"),
    [
        (("adaln_single.emb.timestep_embedder.linear_1.bias", "patchify_proj.weight"), "LTX Video"),
        (("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias"), "PixArt"),
        (("t_block.1.weight", "attention_y_norm.weight", "blocks.0.mlp.inverted_conv.conv.weight"), "Sana"),
        (("time_embed.linear.weight", "transformer_blocks.0.ff.conv_inverted.weight"), "Sana"),
        (("t_block.1.weight", "y_embedder.y_embedding"), "PixArt"),
        (("double_stream_blocks.0.block.adaLN_modulation.1.bias", "caption_projection.0.linear.weight"), "HiDream"),
        (("net.blocks.block1.blocks.0.block.attn.to_q.0.weight", "net.blocks.block0.blocks.0.block.attn.x"), "Cosmos"),
        (("net.blocks.0.self_attn.q_proj.weight", "net.blocks.0.adaln_modulation_self_attn.1.weight"), "Cosmos"),
        (("llm_adapter.blocks.0.x", "blocks.0.adaln_modulation_self_attn.1.weight"), "Anima"),
        ((FIRST, "model.diffusion_model.input_blocks.1.1.time_stack.0.attn1.to_k.weight"), "Stable Video Diffusion"),
        (("down_blocks.0.attentions.0.temporal_transformer_blocks.0.ff.x",), "Stable Video Diffusion"),
        ((FIRST, "cc_projection.weight", "cond_stage_model.model.visual.proj"), "Zero123"),
        (("double_blocks.0.img_attn.qkv.weight", "double_stream_modulation_img.lin.weight"), "Flux 2"),
        (("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.bias"), "Chroma"),
        (("cap_embedder.0.weight", "cap_pad_token"), "Z-Image"),
        (("cap_embedder.0.weight", "noise_refiner.0.attention.qkv.weight"), "Lumina"),
        (("t5_yproj.weight",), "Mochi"),
        (("txtfusion.projector.weight",), "Krea"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_other_families_are_called_by_their_own_names(
    tmp_path: Path, marks: tuple[str, ...], family: str, prefix: str
) -> None:
    inside = [mark if mark.startswith(("model.", "net.", "cc_", "cond_")) else prefix + mark for mark in marks]
    save_file(names(*inside), tmp_path / "m.safetensors")
    facts = facts_of(tmp_path / "m.safetensors")
    assert facts.kind == "other" and facts.problem == (
        f"'m.safetensors' is a model of {family}, which cannot be trained here."
    )


@pytest.mark.parametrize("marks", [(), ("v_pred", "ztsnr")])
def test_rectified_flow_is_known_by_the_files_name_and_never_trained_as_something_else(
    tmp_path: Path, marks: tuple[str, ...]
) -> None:
    facts = facts_of(save_zero_snr_file(tmp_path / "NoobAI-XL-RF-v1.safetensors", marks))
    assert (
        facts.kind == "other" and "has 'rf' in its name, so it is taken for a model of rectified flow" in facts.problem
    )
    with pytest.raises(UserError, match="rename the file"):
        facts.check(other_vae=True)


def test_metadata_that_say_epsilon_count_more_than_a_name_with_flow_in_it(tmp_path: Path) -> None:
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in ldm_tensors("sdxl").items()}
    save_file(tensors, tmp_path / "dream-flow.safetensors", {"modelspec.prediction_type": "epsilon"})
    assert facts_of(tmp_path / "dream-flow.safetensors").problem == ""
    save_file(tensors, tmp_path / "renamed.safetensors", {"modelspec.title": "Noob RF"})
    assert "'rf' in its title" in facts_of(tmp_path / "renamed.safetensors").problem


def test_sd_turbo_is_a_stable_diffusion_2_and_no_refiner(tmp_path: Path) -> None:
    facts = facts_of(save_sd_turbo(tmp_path / "sd_turbo.safetensors"))
    assert (facts.problem, facts.family, facts.few_steps) == ("", "sd2", "Turbo")


@pytest.mark.parametrize("kind", ["sd1", "sd2_eps", "sdxl"])
@pytest.mark.parametrize(
    "left_out",
    ["middle_block.1.", "input_blocks.8.", "output_blocks.8."],
    ids=["SSD-1B and Vega", "KOALA and BK-SDM", "fewer on the way up"],
)
def test_a_pruned_unet_in_one_file_is_refused_before_it_is_listed_as_good(
    tmp_path: Path, kind: str, left_out: str
) -> None:
    inside = left_out if kind == "sdxl" or "middle" in left_out else left_out.replace("8.", "11.")
    facts = facts_of(save_without(kind, f"model.diffusion_model.{inside}", tmp_path / "m.safetensors"))
    assert facts.kind == "other" and "is a pruned model" in facts.problem and "diffusers folder" in facts.hint


def test_a_pruned_model_of_full_width_is_known_by_its_fewer_layers(tmp_path: Path) -> None:
    tensors = ldm_tensors("sdxl") | {FIRST: torch.zeros(320, 4, 3, 3)}
    save_tensors(tensors, tmp_path / "m.safetensors")
    assert "is a pruned model" in facts_of(tmp_path / "m.safetensors").problem


def test_a_pruned_folder_is_fine_because_its_config_tells_how(tmp_path: Path) -> None:
    facts = facts_of(save_pruned_folder(tmp_path / "ssd"))
    assert (facts.problem, facts.family) == ("", "sdxl")


def test_a_model_of_few_steps_is_known_by_its_scheduler_its_unet_or_its_name(tmp_path: Path) -> None:
    folder = save_folder("sdxl", tmp_path / "xl")
    assert facts_of(folder).few_steps == ""
    assert facts_of(change_scheduler(folder, _class_name="LCMScheduler")).few_steps == "LCM"
    change_scheduler(folder, _class_name="EulerDiscreteScheduler")
    unet = folder / "unet" / "config.json"
    unet.write_text(json.dumps(json.loads(unet.read_text()) | {"time_cond_proj_dim": 256}))
    assert facts_of(folder).few_steps == "LCM"
    assert facts_of(save_folder("sdxl", tmp_path / "sdxl-turbo")).few_steps == "Turbo"
    assert facts_of(save_single_file("sdxl", tmp_path / "bigLustDMD2.safetensors")).few_steps == "DMD2"
