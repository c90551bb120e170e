"""How a checkpoint is loaded: what it predicts, its VAE, precision and clip skip, and what each file that is none
is told to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tests.models.damaged_files import (
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
from tests.models.tiny_families import SIZE_PX, save_folder, save_single_file
from ti_core.data.latents import PictureSize, encode_images
from ti_core.data.loss_weight import NO_WEIGHTING
from ti_core.errors import UserError
from ti_core.events import Event, Progress
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.size_conditioning import size_conditioning
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.token_tables import load_token_tables
from ti_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_families")


def put(kind: str, workspace: Workspace, name: str = "") -> str:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    return save_single_file(kind, workspace.checkpoints / (name or f"{kind}.safetensors")).name


def test_what_a_file_predicts_is_the_users_choice_then_what_it_says_then_what_its_unet_does(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = put("sd2_v", workspace)
    assert load_checkpoint(title, workspace, LoadOptions(prediction_type="epsilon")).prediction_type == "epsilon"
    measured = load_checkpoint(title, workspace)
    assert (
        measured.prediction_type == "v_prediction" and "Choose Prediction type" in measured.notes[0]
    )  # random weights do not give the noise back
    assert measured.scheduler_config["prediction_type"] == "v_prediction"

    def gives_the_noise_back(unet: object, latents: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor]:
        return (0.9 * latents,)

    monkeypatch.setattr(UNet2DConditionModel, "forward", gives_the_noise_back)
    assert load_checkpoint(title, workspace).prediction_type == "epsilon"
    (workspace.checkpoints / "sd2_v.yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    loaded = load_checkpoint(title, workspace)
    assert loaded.prediction_type == "v_prediction" and not loaded.notes


def test_an_inpainting_unet_is_told_that_nothing_of_the_picture_is_given(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sd = load_checkpoint(put("sd1_inpainting", workspace), workspace, LoadOptions(precision="float32"))
    sd.move_to_device()
    seen: list[torch.Tensor] = []
    forward = UNet2DConditionModel.forward

    def watched(unet: UNet2DConditionModel, sample: torch.Tensor, *more: object, **named: object) -> object:
        seen.append(sample)
        return forward(unet, sample, *more, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    sample_images(sd, [SampleRequest("a cat", steps=1, width=SIZE_PX, height=SIZE_PX)], {})
    assert seen[0].shape[1] == 9 and bool((seen[0][:, 4] == 1).all())
    grey = sd.encode(torch.zeros(1, 3, SIZE_PX, SIZE_PX, device=sd.device))[0]
    assert torch.allclose(seen[0][:1, 5:], grey, atol=1e-5)


def test_clip_skip_2_stops_one_layer_earlier_and_sdxl_keeps_its_own(workspace: Workspace) -> None:
    for kind, changes in (("sd1", True), ("sdxl", False)):
        title = put(kind, workspace)
        both = [load_checkpoint(title, workspace, LoadOptions(clip_skip=n)) for n in (1, 2)]
        for sd in both:
            sd.move_to_device()
        one, two = (PromptEncoder(sd).encode(["a photo of a cat"], {}).hidden_states for sd in both)
        assert torch.equal(one, two) != changes
    sd = load_checkpoint("sd1.safetensors", workspace, LoadOptions(clip_skip=2))
    sd.move_to_device()
    ids = sd.tokenizers[0](["a cat"], padding="max_length", max_length=77, return_tensors="pt").input_ids.to(sd.device)
    layer = sd.text_encoders[0](ids, output_hidden_states=True).hidden_states[-2]
    found = PromptEncoder(sd).encode(["a cat"], {}).hidden_states
    assert torch.equal(found, sd.text_encoders[0].final_layer_norm(layer))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_the_unet_has_the_chosen_precision_and_the_text_encoders_stay_float32(
    workspace: Workspace, precision: str, dtype: torch.dtype
) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    title = save_single_file("sdxl", workspace.checkpoints / "half.safetensors", torch.float16).name
    events: list[Event] = []
    sd = load_checkpoint(title, workspace, LoadOptions(precision=precision), events.append)
    assert [event.text.partition(": ")[2] for event in events if isinstance(event, Progress)] == [
        "text encoders",
        "UNet",
        "VAE",
        "all parts",
    ]
    assert {encoder.dtype for encoder in sd.text_encoders} == {torch.float16}, "loading holds no more than the file"
    sd.move_to_device()
    assert sd.unet.dtype == dtype and {encoder.dtype for encoder in sd.text_encoders} == {torch.float32}
    assert sd.vae.dtype == (torch.float32 if dtype is torch.float16 else dtype)  # SDXL's overflows in fp16
    assert (sd.autocast_dtype is None) == (dtype is torch.float32)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_attention_is_torchs_fused_one_everywhere(workspace: Workspace, kind: str) -> None:
    sd = load_checkpoint(put(kind, workspace), workspace)
    assert {
        type(processor).__name__ for processor in (*sd.unet.attn_processors.values(), *sd.vae.attn_processors.values())
    } == {"AttnProcessor2_0"}
    assert {encoder.config._attn_implementation for encoder in sd.text_encoders} == {"sdpa"}


def test_weights_in_several_files_and_beside_other_ones_are_found(workspace: Workspace) -> None:
    """A text encoder in two files, of which the second has the words, and a UNet in half precision beside the
    weights without EMA.
    """
    folder = save_folder("sd1", workspace.checkpoints / "split")
    words = load_token_tables("split", workspace)["clip_l"][1]
    unet = load_checkpoint("split", workspace).unet.conv_in.weight.detach().float()
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    first = {name: tensor for name, tensor in tensors.items() if "token_embedding" not in name}
    second = {name: tensor for name, tensor in tensors.items() if name not in first}
    for number, part in enumerate((first, second), 1):
        save_file(part, file.with_name(f"model-0000{number}-of-00002.safetensors"), {"format": "pt"})
    index = {name: f"model-0000{1 if name in first else 2}-of-00002.safetensors" for name in tensors}
    file.with_name("model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    file.unlink()
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {name: tensor.half() for name, tensor in load_file(weights).items()},
        weights.with_name("diffusion_pytorch_model.fp16.safetensors"),
    )
    weights.rename(weights.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    assert torch.equal(load_token_tables("split", workspace)["clip_l"][1], words)
    loaded = load_checkpoint("split", workspace)
    assert torch.equal(loaded.text_encoders[0].get_input_embeddings().weight, words)
    assert torch.allclose(loaded.unet.conv_in.weight.float(), unet, atol=1e-2)


def test_a_separate_vae_takes_the_place_of_the_checkpoints_own(workspace: Workspace) -> None:
    title = put("sd1", workspace)
    vaes = workspace.root / "models" / "VAE"
    vaes.mkdir(parents=True)
    other = save_folder("sd1", workspace.root / "other")
    torch.manual_seed(9)
    vae = AutoencoderKL.from_config(AutoencoderKL.load_config(other / "vae"))
    save_file({name: tensor.contiguous() for name, tensor in vae.state_dict().items()}, vaes / "good.safetensors")
    own, chosen = (
        load_checkpoint(title, workspace),
        load_checkpoint(title, workspace, LoadOptions(vae="good.safetensors", precision="float32")),
    )
    assert torch.equal(chosen.vae.state_dict()["decoder.conv_in.weight"], vae.state_dict()["decoder.conv_in.weight"])
    assert not torch.equal(
        own.vae.state_dict()["decoder.conv_in.weight"].float(), vae.state_dict()["decoder.conv_in.weight"]
    )
    with pytest.raises(UserError, match=r"'none\.pt' is not there\. Choose one of: Automatic, None, good\.safetensors"):
        load_checkpoint(title, workspace, LoadOptions(vae="none.pt"))


def test_an_old_file_with_its_trainers_bookkeeping_is_loaded_and_none_of_its_code_is_run(workspace: Workspace) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    path = save_lightning("sd1", workspace.checkpoints / "sd-v1-4.ckpt")
    sd = load_checkpoint(path.name, workspace, LoadOptions(precision="float32"))
    assert sd.widths == {"clip_l": load_token_tables(path.name, workspace)["clip_l"][1].shape[1]}


def test_a_file_of_2022_with_its_older_names_is_the_same_model(workspace: Workspace) -> None:
    path = workspace.checkpoints / put("sd1", workspace)
    old = {
        name.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(old, workspace.checkpoints / "old.safetensors")
    new_model, old_model = load_checkpoint(path.name, workspace), load_checkpoint("old.safetensors", workspace)
    for (name, a), (_, b) in zip(
        new_model.text_encoders[0].state_dict().items(), old_model.text_encoders[0].state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert torch.equal(
        load_token_tables("old.safetensors", workspace)["clip_l"][1],
        load_token_tables(path.name, workspace)["clip_l"][1],
    )


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (save_lora, "is a LoRA"),
        (save_vae, "is a VAE"),
        (partial(save_truncated, "sd1"), "is cut off"),
        (save_no_model, "is "),
        (save_flux, "is a model of Flux"),
        (save_sd3, "is a model of Stable Diffusion 3"),
        (partial(save_without, "sdxl", "first_stage_model"), "has no VAE inside"),
        (partial(save_without, "sd1", "cond_stage_model"), "has no text encoder inside"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_its_own_sentence_before_it_is_loaded(
    workspace: Workspace, save: Callable[[Path], Path], says: str
) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    path = save(workspace.checkpoints / "it.safetensors")
    with pytest.raises(UserError, match=rf"'it\.safetensors' {says}.*\. [A-Z]") as error:
        load_checkpoint(path.name, workspace)
    assert "\n" not in str(error.value)


def test_a_file_with_foreign_code_is_refused_and_the_code_is_not_run(workspace: Workspace, tmp_path: Path) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    save_hostile("sd1", workspace.checkpoints / "bad.ckpt", tmp_path / "evidence")
    with pytest.raises(UserError, match=r"asks for the Python code 'posix\.mkdir'.*not run"):
        load_checkpoint("bad.ckpt", workspace)
    assert not (tmp_path / "evidence").exists()


def test_a_file_that_lacks_a_weight_is_refused_by_its_name(workspace: Workspace) -> None:
    path = workspace.checkpoints / put("sd1", workspace)
    tensors = load_file(path)
    del tensors["model.diffusion_model.middle_block.0.in_layers.0.weight"]
    save_file(tensors, path)
    with pytest.raises(
        UserError, match=r"'sd1\.safetensors' cannot be loaded: some of the weights that its family has are missing"
    ):
        load_checkpoint(path.name, workspace)


def test_parts_that_make_room_come_for_their_work_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU is one place, so the moves are watched."""
    sd = load_checkpoint(put("sd1", workspace), workspace)
    sd.device, moves = torch.device("meta"), []
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda network, device, *_: moves.append((type(network).__name__, str(device)))
    )
    sd.move_to_device(vae_off_device=True, encoders_off_device=True)
    assert moves == [("AutoencoderKL", "cpu"), ("CLIPTextModel", "cpu"), ("UNet2DConditionModel", "meta")]
    with sd.vae_at_work():
        assert moves[3:] == [("AutoencoderKL", "meta")]
    assert moves[4:] == [("AutoencoderKL", "cpu")]
    sd.move_to_device()
    assert moves[5:] == [("AutoencoderKL", "meta"), ("CLIPTextModel", "meta"), ("UNet2DConditionModel", "meta")]


def test_sdxl_is_told_the_size_before_and_the_place_of_the_crop(workspace: Workspace, tmp_path: Path) -> None:
    import threading

    from PIL import Image

    sd: StableDiffusion = load_checkpoint(put("sdxl", workspace), workspace)
    Image.new("RGB", (200, 100)).save(tmp_path / "wide.png")
    latents = encode_images(
        sd,
        [tmp_path / "wide.png"],
        PictureSize(SIZE_PX, SIZE_PX, 8),
        NO_WEIGHTING,
        lambda event: None,
        threading.Event(),
    )
    assert latents.sizes == [[100, 200, 0, 32, SIZE_PX, SIZE_PX]]
    assert size_conditioning(64, 32) == [32, 64, 0, 0, 32, 64]


@pytest.mark.parametrize("images", [1, 256])
def test_half_precision_is_as_exact_with_many_images_as_with_one(workspace: Workspace, images: int) -> None:
    """The gradient of the vectors in fp16, with the loss scale of training/noise_loss.py, beside that in float32."""
    from ti_core.training.noise_loss import loss_scale

    title = put("sd1", workspace)
    gradients = {}
    for precision in ("float32", "float16"):
        sd = load_checkpoint(title, workspace, LoadOptions(precision=precision))
        sd.move_to_device()
        vectors = torch.full((1, 32), 0.1, requires_grad=True)
        conditioning = PromptEncoder(sd).encode(["a photo of anna"], {"anna": {"clip_l": vectors}})
        leaf = conditioning.leaf()
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).to(sd.device)
        timesteps, sizes = torch.tensor([300], device=sd.device), torch.zeros(1, 6, device=sd.device)
        scale = loss_scale(sd, noise, images)
        predicted = sd.predict(noise, timesteps, leaf, sizes)
        ((predicted.float() - noise).square().mean() / images * scale).backward()
        conditioning.backward(leaf, scale)
        gradients[precision] = vectors.grad
    exact, half = gradients["float32"], gradients["float16"]
    assert exact is not None and half is not None and half.dtype is torch.float32
    assert float((half - exact).norm() / exact.norm()) < 0.011  # 1.1% is bf16's


@pytest.mark.parametrize("form", ["file", "folder"])
def test_text_encoders_of_half_precision_are_widened_before_they_work(workspace: Workspace, form: str) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    if form == "file":
        title = save_single_file("sd1", workspace.checkpoints / "half.safetensors", torch.float16).name
    else:
        title = save_folder("sd1", workspace.checkpoints / "half").name
        for path in (workspace.checkpoints / "half").rglob("model.safetensors"):
            save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    moved, unmoved = load_checkpoint(title, workspace), load_checkpoint(title, workspace)
    assert unmoved.text_encoders[0].dtype is torch.float16
    moved.move_to_device()
    unmoved.encoder_device = torch.device("cpu")  # as it lies there
    states = [PromptEncoder(sd).encode(["a woman"], {}).hidden_states for sd in (moved, unmoved)]
    assert torch.equal(*(state.cpu() for state in states)) and states[0].dtype is torch.float32


def test_a_text_encoder_with_one_float32_tensor_keeps_it_all(workspace: Workspace) -> None:
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    path = save_single_file("sd1", workspace.checkpoints / "mixed.safetensors", torch.float16)
    tensors = load_file(path)
    key = next(key for key in tensors if key.endswith("final_layer_norm.weight"))
    tensors[key] = tensors[key].float() + 1e-6
    save_file(tensors, path)
    assert load_checkpoint(path.name, workspace).text_encoders[0].dtype is torch.float32
