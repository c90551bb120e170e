"""Loads a checkpoint of any family from a diffusers folder or a single file, with every weight frozen. Nothing is
fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import PartialState
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTokenizer

from ti_core.checkpoints.facts import facts_of, weights_of
from ti_core.checkpoints.families import FAMILY_MARKS
from ti_core.checkpoints.hashes import HashInWork, known_hash
from ti_core.checkpoints.library import CheckpointFile, find_checkpoint, find_vae
from ti_core.checkpoints.pickles import stand_ins
from ti_core.checkpoints.tensor_headers import TensorHeader, read_header
from ti_core.embeddings.torch_file import allowing
from ti_core.events import Emit, Progress
from ti_core.models.attention import slice_attention
from ti_core.models.damaged_checkpoint import DAMAGED, damaged_error
from ti_core.models.device import answers_wanted, autocast_dtype
from ti_core.models.families import FAMILIES, Family
from ti_core.models.measured_prediction import computes_in_float16, settle_prediction_type
from ti_core.models.noise_schedule import alphas_cumprod, noise_schedule
from ti_core.models.private_diffusers import SingleFileComponentError, load_old_text_encoder
from ti_core.models.private_torch import has_fused_attention
from ti_core.models.recompute import save_memory
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.tokenizers import folder_tokenizers, load_tokenizers
from ti_core.settings import AUTOMATIC
from ti_core.workspace import Workspace

for library in (diffusers, transformers):  # the terminal is for our own lines
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()

NUMBERS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
BREAKS_IN_FLOAT16 = (
    "This device's numbers break down in float16, as those of the GTX 16 cards do, so the checkpoint is loaded in"
    " float32. It needs twice the memory."
)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadOptions:
    """How a checkpoint is to be loaded; the fields are those of TrainSettings and Txt2ImgSettings."""

    vae: str = AUTOMATIC
    prediction_type: str = AUTOMATIC
    precision: str = AUTOMATIC
    clip_skip: int = 1

    @classmethod
    def of(cls, settings: Any) -> LoadOptions:
        """Those of settings that have these fields."""
        return cls(settings.vae, settings.prediction_type, settings.precision, settings.clip_skip)


@dataclass(frozen=True)
class Networks:
    """What of a checkpoint has weights, with the tokenizers; in the order of the family's `encoders`."""

    tokenizers: tuple[CLIPTokenizer, ...]
    text_encoders: tuple[Any, ...]
    unet: UNet2DConditionModel
    vae: AutoencoderKL


def load_checkpoint(
    choice: str, workspace: Workspace, options: LoadOptions = LoadOptions(), emit: Emit | None = None
) -> StableDiffusion:
    """Load a checkpoint by title or path into RAM; `move_to_device()` brings it to accelerate's device. `emit` hears
    of the progress of its hash. Raises UserError if it is none or is damaged.
    """
    file = find_checkpoint(choice, workspace)
    own_vae = find_vae(options.vae, workspace, file)
    file.facts.check(other_vae=own_vae is not None)
    family = FAMILIES[file.facts.family]
    device = PartialState().device
    dtype = autocast_dtype(device) if options.precision == AUTOMATIC else PRECISIONS[options.precision]
    tell = partial(_tell_hash, emit, file) if emit else None
    hashed = known_hash(file.path, workspace.hashes_file) or HashInWork(file.path, workspace.hashes_file, tell)
    try:
        schedule = noise_schedule(file, family, options.prediction_type)
        cumulative = alphas_cumprod(schedule)
        networks = _load_networks(file, own_vae, family, dtype or torch.float32, emit)
    except DAMAGED as error:
        raise damaged_error(file, error) from error
    with answers_wanted():
        cumulative, has_fused = cumulative.to(device), has_fused_attention(device, dtype or torch.float32)
    for network in () if has_fused else (networks.unet, networks.vae):
        slice_attention(network)
    sd = StableDiffusion(
        file,
        hashed,
        family,
        networks.tokenizers,
        networks.text_encoders,
        networks.unet,
        networks.vae,
        scheduler_config=schedule,
        alphas_cumprod=cumulative,
        prediction_type=schedule["prediction_type"],
        device=device,
        autocast_dtype=None if dtype is torch.float32 else dtype,
        clip_skip=options.clip_skip,
        other_vae=own_vae.name if own_vae else "",
        encoder_device=device,
        has_fused_attention=has_fused,
        chosen_prediction="" if options.prediction_type == AUTOMATIC else options.prediction_type,
    )
    if dtype is torch.float16 and not computes_in_float16(sd):
        del sd, networks
        sd = load_checkpoint(choice, workspace, replace(options, precision="float32"), emit)
        return replace(sd, notes=(*sd.notes, BREAKS_IN_FLOAT16))
    if options.prediction_type == AUTOMATIC and not file.facts.prediction:
        settle_prediction_type(sd)
    return sd


def _tell_hash(emit: Emit, file: CheckpointFile, done: int, total: int) -> None:
    emit(Progress(f"Reading {file.title} for its hash (once)", done // 2**20, total // 2**20))


def _load_networks(
    file: CheckpointFile, own_vae: Path | None, family: Family, weights: torch.dtype, emit: Emit | None = None
) -> Networks:
    """All frozen and in eval mode. Raises one of DAMAGED.

    The text encoders work in float32, because the vectors are trained through them; until then they have the file's
    precision, so that loading holds little more than the file (`StableDiffusion.move_to_device` widens them). UNet
    and VAE have weights of the autocast's precision: on a CPU a pass was 10% faster than with float32 weights that
    autocast copies, with the same gradient error (1.3% and 1.2%).
    """
    tell = partial(_tell_part, emit, file)
    load = _load_folder if file.path.is_dir() else _load_single_file
    classes = (*file.facts.trainer_classes, *(facts_of(own_vae).trainer_classes if own_vae else ()))
    with allowing(stand_ins(classes)):
        tokenizers, encoders, unet = load(file, family, weights, tell)
        tell("VAE", 2)
        vae = _load_vae(own_vae or file.path, family, weights)
        tell("all parts", 3)
    if family.vae_overflows_in_fp16 and vae.config.force_upcast and weights is torch.float16:
        vae = vae.float()
    for network in (unet, vae, *encoders):
        if any(parameter.is_meta for parameter in network.parameters()):
            raise ValueError("meta tensor")
        network.requires_grad_(False).eval()
    save_memory(unet)
    return Networks(tokenizers, encoders, unet, vae)


OnPart = Callable[[str, int], None]


def _tell_part(emit: Emit | None, file: CheckpointFile, part: str, done: int) -> None:
    if emit:
        emit(Progress(f"Loading {file.title}: {part}", done, 3))


WithoutVae = tuple[tuple[CLIPTokenizer, ...], tuple[Any, ...], UNet2DConditionModel]


def _load_folder(file: CheckpointFile, family: Family, weights: torch.dtype, tell: OnPart) -> WithoutVae:
    path = file.path
    tell("text encoders", 0)
    encoders = tuple(
        _load_part(
            getattr(transformers, kind),
            path / f"text_encoder{suffix}",
            dtype=_kept_precision([read_header(part) for part in weights_of(path / f"text_encoder{suffix}")]),
        )
        for kind, suffix in zip(family.encoder_classes, family.folder_suffixes, strict=True)
    )
    tell("UNet", 1)
    unet = _load_part(UNet2DConditionModel, path / "unet", torch_dtype=weights)
    return folder_tokenizers(path, family), encoders, unet


def _load_part(kind: Any, folder: Path, **more: Any) -> Any:
    only_half = any(".fp16" in file.name for file in weights_of(folder))
    return kind.from_pretrained(folder, variant="fp16" if only_half else None, local_files_only=True, **more)


def _kept_precision(headers: Sequence[TensorHeader], prefixes: tuple[str, ...] = ("",)) -> torch.dtype:
    """That of the text encoders in a file: half precision where all of their numbers have it, else float32."""
    found = {
        dtype
        for header in headers
        for name, dtype in header.dtypes.items()
        if name.startswith(prefixes) and dtype in NUMBERS and not name.endswith("logit_scale")  # which is not used
    }
    return {frozenset({"F16"}): torch.float16, frozenset({"BF16"}): torch.bfloat16}.get(frozenset(found), torch.float32)


def _load_single_file(file: CheckpointFile, family: Family, weights: torch.dtype, tell: OnPart) -> WithoutVae:
    """Through diffusers, which is given our configs, because without them it asks the hub."""
    path, configs = str(file.path), str(family.configs)
    tell("text encoders", 0)
    prefixes = tuple(prefix for several in FAMILY_MARKS[family.name].text_encoders.values() for prefix in several)
    kept = _kept_precision([read_header(file.path)], prefixes)
    tokenizers = load_tokenizers(family)
    pipeline = getattr(diffusers, family.pipeline)
    given = {f"tokenizer{name}": tokenizer for name, tokenizer in zip(family.folder_suffixes, tokenizers, strict=True)}
    try:
        texts = pipeline.from_single_file(
            path, config=configs, local_files_only=True, unet=None, vae=None, torch_dtype=kept, **given
        )
        encoders = tuple(getattr(texts, f"text_encoder{suffix}") for suffix in family.folder_suffixes)
    except SingleFileComponentError:
        if not family.old_encoder_prefix:
            raise
        encoders = (load_old_text_encoder(file.path, family.configs, family.old_encoder_prefix),)
    tell("UNet", 1)
    more = {"in_channels": 9} if file.facts.inpainting else {}
    unet = UNet2DConditionModel.from_single_file(
        path, config=configs, subfolder="unet", torch_dtype=weights, local_files_only=True, **more
    )
    return tokenizers, encoders, unet


def _load_vae(path: Path, family: Family, weights: torch.dtype) -> AutoencoderKL:
    """From a checkpoint of either kind, or from a file of its own."""
    if path.is_dir():
        return _load_part(AutoencoderKL, path / "vae", torch_dtype=weights)
    return AutoencoderKL.from_single_file(
        str(path), config=str(family.configs), subfolder="vae", torch_dtype=weights, local_files_only=True
    )
