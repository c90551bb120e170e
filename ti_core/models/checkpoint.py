"""Loads a checkpoint of any family from a diffusers folder or a single file, with every weight frozen. Nothing is
fetched.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import diffusers
import torch
import transformers
from accelerate import PartialState
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    SingleFileComponentError,
    create_diffusers_clip_model_from_ldm,
    load_single_file_checkpoint,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ti_core.checkpoints.facts import facts_of, weights_of
from ti_core.checkpoints.hashes import short_hash
from ti_core.checkpoints.library import CheckpointFile, find_checkpoint, find_vae
from ti_core.checkpoints.pickles import stand_ins
from ti_core.checkpoints.weight_kinds import TEXT_ENCODERS
from ti_core.embeddings.torch_file import allowing
from ti_core.errors import UserError
from ti_core.events import Emit, Progress
from ti_core.models.device import autocast_dtype
from ti_core.models.families import CLIP_TOKENS, FAMILIES, Family, load_tokenizers
from ti_core.models.noise_schedule import alphas_cumprod, noise_schedule
from ti_core.models.recompute import save_memory
from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.settings import AUTOMATIC
from ti_core.workspace import Workspace

for library in (diffusers, transformers):  # the terminal is for our own lines
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    EOFError,
    UnpicklingError,
    SafetensorError,
    SingleFileComponentError,
)
"""What diffusers, transformers and torch raise on files that are not what they should be."""


@dataclass(frozen=True)
class LoadOptions:
    """How a checkpoint is to be loaded; the fields are those of TrainSettings and Txt2ImgSettings."""

    vae: str = AUTOMATIC
    prediction_type: str = AUTOMATIC
    precision: str = AUTOMATIC
    clip_skip: int = 1

    @classmethod
    def of(cls, settings: Any) -> LoadOptions:
        return cls(settings.vae, settings.prediction_type, settings.precision, settings.clip_skip)


def load_checkpoint(
    choice: str, workspace: Workspace, options: LoadOptions = LoadOptions(), emit: Emit | None = None
) -> StableDiffusion:
    """Load a checkpoint by title or path into RAM; `place()` brings it to accelerate's device. Raises UserError if
    it is none or is damaged.

    The text encoders stay in float32, because the vectors are trained through them; UNet and VAE have weights of
    the autocast's precision: on a CPU a pass was 10% faster than with float32 weights that autocast copies, with
    the same gradient error (1.3% and 1.2%).
    """
    file = find_checkpoint(choice, workspace)
    own_vae = find_vae(options.vae, workspace, file)
    file.facts.check(other_vae=own_vae is not None)
    family = FAMILIES[file.facts.family]
    device = PartialState().device
    dtype = autocast_dtype(device) if options.precision == AUTOMATIC else PRECISIONS[options.precision]
    weights = dtype or torch.float32
    try:
        schedule = noise_schedule(file, family, options.prediction_type)
        signal = alphas_cumprod(schedule).to(device)
        load = _load_folder if file.path.is_dir() else _load_single_file
        classes = (*file.facts.trainer_classes, *(facts_of(own_vae).trainer_classes if own_vae else ()))
        with allowing(stand_ins(classes)):
            tokenizers, encoders, unet = load(file, family, weights)
            vae = _load_vae(own_vae or file.path, family, weights)
        if family.name == "sdxl" and vae.config.force_upcast and weights is torch.float16:
            vae = vae.float()  # SDXL's overflows in fp16
        for network in (unet, vae, *encoders):
            if any(parameter.is_meta for parameter in network.parameters()):
                raise ValueError("meta tensor")
            network.requires_grad_(False).eval()
        save_memory(unet)
    except _DAMAGED as error:
        raise _damaged(file, error) from error
    tell = partial(_tell_hash, emit, file) if emit else None
    sd = StableDiffusion(
        file,
        short_hash(file.path, workspace.hashes_file, tell),
        family,
        tokenizers,
        encoders,
        unet,
        vae,
        scheduler_config=schedule,
        signal=signal,
        prediction_type=schedule["prediction_type"],
        device=device,
        autocast_dtype=None if dtype is torch.float32 else dtype,
        clip_skip=options.clip_skip,
        other_vae=own_vae.name if own_vae else "",
        encoder_device=device,
        chosen_prediction="" if options.prediction_type == AUTOMATIC else options.prediction_type,
    )
    if (
        options.prediction_type == AUTOMATIC
        and family.name == "sd2"
        and not file.path.is_dir()
        and not file.facts.prediction_type
    ):
        _measure_prediction_type(sd)
    return sd


def _tell_hash(emit: Emit, file: CheckpointFile, done: int, total: int) -> None:
    emit(Progress(f"Reading {file.title} for its hash (once)", done // 2**20, total // 2**20))


Parts = tuple[tuple[CLIPTokenizer, ...], tuple[Any, ...], UNet2DConditionModel]


def _load_folder(file: CheckpointFile, family: Family, weights: torch.dtype) -> Parts:
    path = file.path
    kinds = (CLIPTextModel, CLIPTextModelWithProjection)
    encoders = tuple(
        _load_part(kind, path / f"text_encoder{name}", dtype=torch.float32)
        for kind, name in zip(kinds, family.folder_suffixes, strict=False)
    )
    unet = _load_part(UNet2DConditionModel, path / "unet", torch_dtype=weights)
    return _folder_tokenizers(path, family), encoders, unet


def _load_part(kind: Any, folder: Path, **more: Any) -> Any:
    only_half = any(".fp16" in file.name for file in weights_of(folder))
    return kind.from_pretrained(folder, variant="fp16" if only_half else None, local_files_only=True, **more)


def _folder_tokenizers(path: Path, family: Family) -> tuple[CLIPTokenizer, ...]:
    """Its own, or ours if it has CLIP's vocabulary: those of SD2 and SDXL take a "!" in a prompt for padding
    (families.py).
    """
    tokenizers = tuple(_load_tokenizer(path / f"tokenizer{name}") for name in family.folder_suffixes)
    return load_tokenizers(family) if all(len(tokenizer) == CLIP_TOKENS for tokenizer in tokenizers) else tokenizers


def _load_single_file(file: CheckpointFile, family: Family, weights: torch.dtype) -> Parts:
    """Through diffusers, which is given our configs, because without them it asks the hub."""
    path, configs = str(file.path), str(family.configs)
    tokenizers = load_tokenizers(family)
    kind = StableDiffusionXLPipeline if len(family.encoders) == 2 else StableDiffusionPipeline
    given = {f"tokenizer{name}": tokenizer for name, tokenizer in zip(family.folder_suffixes, tokenizers, strict=True)}
    try:
        texts = kind.from_single_file(
            path, config=configs, local_files_only=True, unet=None, vae=None, torch_dtype=torch.float32, **given
        )
        encoders = tuple(getattr(texts, f"text_encoder{name}") for name in family.folder_suffixes)
    except SingleFileComponentError:
        if family.name != "sd1":
            raise
        encoders = (_load_encoder_of_2022(path, configs),)
    more = {"in_channels": 9} if file.facts.inpainting else {}
    unet = UNet2DConditionModel.from_single_file(
        path, config=configs, subfolder="unet", torch_dtype=weights, local_files_only=True, **more
    )
    return tokenizers, encoders, unet


def _load_encoder_of_2022(path: str, configs: str) -> CLIPTextModel:
    """The first checkpoints, and merges of them, call the text encoder's weights without `text_model`, which
    diffusers does not know.
    """
    old, new = "cond_stage_model.transformer.", "cond_stage_model.transformer.text_model."
    tensors = {
        new + name.removeprefix(old) if name.startswith(old) else name: tensor
        for name, tensor in load_single_file_checkpoint(path).items()
    }
    return create_diffusers_clip_model_from_ldm(
        CLIPTextModel,
        tensors,
        subfolder="text_encoder",
        config=configs,
        torch_dtype=torch.float32,
        local_files_only=True,
    )


def _load_vae(path: Path, family: Family, weights: torch.dtype) -> AutoencoderKL:
    """From a checkpoint of either kind, or from a file of its own."""
    if path.is_dir():
        return _load_part(AutoencoderKL, path / "vae", torch_dtype=weights)
    return AutoencoderKL.from_single_file(
        str(path), config=str(family.configs), subfolder="vae", torch_dtype=weights, local_files_only=True
    )


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Checked, because a missing tokenizer folder gives an empty one without a word."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) < 512 or tokenizer.model_max_length > 1024:
        raise ValueError("its tokenizer folder is missing or incomplete")
    return tokenizer


def _damaged(file: CheckpointFile, error: Exception) -> UserError:
    text = str(error).replace(str(file.path), file.path.name).strip()
    reason = text.splitlines()[0][:160] if text else type(error).__name__
    if "meta tensor" in reason:  # what torch says when diffusers goes on with weights that it did not find
        reason = "some of the weights that its family has are missing in it"
    return UserError(
        f"Checkpoint '{file.title}' cannot be loaded: {reason.rstrip('.')}.",
        "Choose another checkpoint, or put a complete copy in its place.",
    )


# ---- epsilon or v


def _measure_prediction_type(sd: StableDiffusion) -> None:
    """For a single file of Stable Diffusion 2 that does not say what it predicts: what its UNet does."""
    kind = measured_prediction_type(sd)
    sd.notes = (
        (
            f"{sd.file.title} does not say what it predicts; its answer to pure noise says {kind}. Choose Prediction"
            " type if pictures come out wrong."
        ),
    )
    sd.prediction_type = sd.scheduler_config["prediction_type"] = kind


@torch.no_grad()
def measured_prediction_type(sd: StableDiffusion) -> str:
    """What the UNet answers to almost pure noise: the noise itself (epsilon), or minus the picture, which is unlike
    it (v).
    """
    sd.unet.to(sd.device)
    side = 32
    noise = torch.randn((1, 4, side, side), generator=torch.Generator().manual_seed(0)).to(sd.device)
    width = sum(sd.widths.values())
    words = torch.zeros(1, 77, width, device=sd.device)
    predicted = sd.predict(
        noise,
        torch.tensor([len(sd.signal) - 1], device=sd.device),
        Conditioning(words),
        torch.zeros(1, 6, device=sd.device),
    )
    alike = torch.nn.functional.cosine_similarity(predicted.float().flatten(), noise.flatten(), dim=0)
    return "epsilon" if float(alike) > 0.5 else "v_prediction"


# ---- the token tables alone


def load_token_tables(choice: str, workspace: Workspace) -> dict[str, tuple[CLIPTokenizer, Tensor]]:
    """For each text encoder its tokenizer and token table, float32 [tokens, width], without the networks: enough to
    create an embedding.
    """
    file = find_checkpoint(choice, workspace)
    file.facts.check(other_vae=True)
    family = FAMILIES[file.facts.family]
    try:
        if file.path.is_dir():
            tokenizers = _folder_tokenizers(file.path, family)
            tables = [_table_of(file.path / f"text_encoder{name}") for name in family.folder_suffixes]
        else:
            tokenizers = load_tokenizers(family)
            tables = [_table_in(file.path, prefix) for prefix in TEXT_ENCODERS[family.name].values()]
    except (*_DAMAGED, StopIteration) as error:
        raise _damaged(file, error) from error
    return {
        name: (tokenizer, table) for name, tokenizer, table in zip(family.encoders, tokenizers, tables, strict=True)
    }


def _table_of(folder: Path) -> Tensor:
    """Of a text encoder's folder; its weights may lie in several files."""
    for file in weights_of(folder):
        with suppress(StopIteration):
            return _table_in(file, "")
    raise OSError(f"its {folder.name} folder holds no token table")


def _table_in(path: Path, prefix: str) -> Tensor:
    """The one tensor of a weights file; the others are not read from disk."""

    def is_table(key: str) -> bool:
        return key.startswith(prefix) and key.endswith("token_embedding.weight")

    if path.suffix == ".safetensors":
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            return file.get_tensor(next(key for key in file.keys() if is_table(key))).float()  # noqa: SIM118
    with allowing(stand_ins(facts_of(path).trainer_classes)):
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    while "state_dict" in content:
        content = content["state_dict"]
    return next(tensor for key, tensor in content.items() if is_table(key)).float()
