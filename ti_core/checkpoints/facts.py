"""What a checkpoint is, without loading its weights: family, precision, prediction type, picture size, and what is
wrong with it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.checkpoints.families import FAMILY_MARKS, UNKNOWN_SIZE_PX, family_of_folder
from ti_core.checkpoints.file_names import few_steps_named
from ti_core.checkpoints.known_kinds import FAMILY_HINT
from ti_core.checkpoints.noise import few_steps_of_folder, noise_of_file, noise_of_folder
from ti_core.checkpoints.tensor_headers import TensorHeader, read_header
from ti_core.checkpoints.weight_kinds import FIRST_CONVOLUTION, UNET, channels_problem, kind_of
from ti_core.errors import UserError
from ti_core.files import load_json

SIZES_PX = {family: marks.size_px for family, marks in FAMILY_MARKS.items()} | {"": UNKNOWN_SIZE_PX}
_PRECISIONS = {"F16": "fp16", "BF16": "bf16", "F32": "fp32", "F64": "fp64", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
_WEIGHTS_NAME = re.compile(
    r"(diffusion_pytorch_model|pytorch_model|model)"
    r"(?P<fp16>\.fp16)?(-\d+-of-(?P<parts>\d+))?(\.fp16)?\.(safetensors|bin)"
)
_CONVERT = "Download its .safetensors version, or convert it to .safetensors with a program that you trust."


@dataclass(frozen=True)
class CheckpointFacts:
    """What is known of a file by its headers. `kind`: checkpoint, lora, vae, embedding, text encoder, other, unknown or
    damaged. `form`: file or folder.

    `family`: a key of models/families/, or empty. `precision`: of the UNet, fp32, fp16, bf16 or fp8.
    `prediction_type`: epsilon or v_prediction, empty where nothing in the file tells; with `zero_terminal_snr` the
    last timestep is pure noise (Lin et al. 2023). `few_steps`: how it was distilled to paint in a few steps (Turbo,
    Lightning, LCM, DMD2 ...), empty if it was not. `latent_factor` is how many times the sides of a picture are
    those of its latents. `parameters` counts without the second (EMA) set of weights. `problem` says in one
    sentence why it cannot be trained, `hint` what to do; `missing` names the parts that it lacks ("VAE" alone can
    be made good).
    """

    kind: str = "checkpoint"
    form: str = "file"
    family: str = ""
    inpainting: bool = False
    precision: str = ""
    prediction_type: str = ""
    zero_terminal_snr: bool = False
    few_steps: str = ""
    size_px: int = 512
    latent_factor: int = 8
    bytes: int = 0
    parameters: int = 0
    problem: str = ""
    hint: str = ""
    missing: tuple[str, ...] = ()
    trainer_classes: tuple[str, ...] = ()

    @property
    def prediction(self) -> str:
        """What it is taken to predict: as its file says, else what its family predicts; empty where the models of
        the family differ, so that it is measured.
        """
        marks = FAMILY_MARKS.get(self.family)
        return self.prediction_type or (marks.unsaid_prediction if marks else "")

    def check(self, other_vae: bool = False) -> None:
        """Raises UserError if it cannot be trained. `other_vae` says that a separate VAE is chosen, so its own is
        not needed.
        """
        if self.problem and not (other_vae and self.kind == "checkpoint" and self.missing == ("VAE",)):
            raise UserError(self.problem, self.hint)


def facts_of(path: Path) -> CheckpointFacts:
    """The facts of a single file or of a diffusers folder. Never raises for what is in it: `problem` says it."""
    facts = CheckpointFacts(form="folder" if path.is_dir() else "file")
    try:
        return _of_folder(path, facts) if path.is_dir() else _of_file(path, facts)
    except UserError as error:
        problem = f"Checkpoint '{path.name}' is damaged: {error.problem}" if path.is_dir() else error.problem
        return dataclasses.replace(facts, kind="damaged", problem=problem, hint=error.hint)


# ---- single files


def _of_file(path: Path, facts: CheckpointFacts) -> CheckpointFacts:
    header = read_header(path)
    found = kind_of(header)
    problem, hint = (f"'{path.name}' {found.problem}.", found.hint) if found.problem else ("", "")
    if header.foreign_classes and found.kind in ("checkpoint", "unknown"):
        problem = (
            f"'{path.name}' asks for the Python code '{header.foreign_classes[0]}', which a model does not need and"
            " which could do anything here; it was not run."
        )
        hint = _CONVERT
    # The UNet's input channels: 4, or 9 for inpainting (4 of noise, 4 of the masked picture, 1 of the mask).
    channels = (*header.shapes.get(FIRST_CONVOLUTION, ()), 0, 0)[1]
    noise, kind = noise_of_file(path, header, found.family, channels == 9), found.kind
    if noise.problem and kind == "checkpoint":
        kind, problem, hint = "other", f"'{path.name}' {noise.problem}.", noise.hint
    # Without the EMA copy of the UNet, which some files carry beside it.
    shapes = {name: shape for name, shape in header.shapes.items() if not name.startswith("model_ema.")}
    return dataclasses.replace(
        facts,
        kind=kind,
        family=found.family,
        inpainting=channels == 9,
        precision=_precision(header),
        prediction_type=noise.prediction_type,
        zero_terminal_snr=noise.zero_terminal_snr,
        few_steps=few_steps_named(path.stem) if kind == "checkpoint" else "",
        size_px=_size_of_file(header, found.family, noise.prediction_type, channels == 9),
        bytes=path.stat().st_size,
        parameters=sum(map(math.prod, shapes.values())),
        problem=problem,
        hint=hint,
        missing=found.missing,
        trainer_classes=header.trainer_classes,
    )


def _precision(header: TensorHeader) -> str:
    """The number format of most of the UNet's weights; of all weights if there is no UNet."""
    counts: Counter[str] = Counter()
    names = [name for name in header.shapes if name.startswith(UNET)] or header.shapes
    for name in names:
        counts[header.dtypes[name]] += math.prod(header.shapes[name])
    return _PRECISIONS.get(counts.most_common(1)[0][0], "") if counts else ""


def _size_of_file(header: TensorHeader, family: str, prediction_type: str, inpainting: bool) -> int:
    if sides := re.fullmatch(r"(\d{2,4})x(\d{2,4})", header.metadata.get("modelspec.resolution", "")):
        return max(64, round(math.sqrt(int(sides[1]) * int(sides[2])) / 64) * 64)
    marks = FAMILY_MARKS.get(family)
    if marks and (prediction_type == "epsilon" or inpainting):
        return marks.epsilon_size_px
    return SIZES_PX[family]


# ---- diffusers folders


def weights_of(part: Path) -> list[Path]:
    """The weight files of one part (unet/, vae/, ...) of a diffusers folder: safetensors before .bin, full before
    fp16; several if it is split.
    """
    named = [(path, _WEIGHTS_NAME.fullmatch(path.name)) for path in sorted(part.glob("*"))]
    for suffix in (".safetensors", ".bin"):
        for fp16 in (False, True):
            files = [
                path for path, match in named if match and path.suffix == suffix and (".fp16" in path.name) == fp16
            ]
            if files:
                return files
    return []


def _of_folder(folder: Path, facts: CheckpointFacts) -> CheckpointFacts:
    index, unet = load_json(folder / "model_index.json"), load_json(folder / "unet" / "config.json")
    pipeline = str(index.get("_class_name", ""))
    name, parts = (
        folder.name,
        [part for part in ("text_encoder", "text_encoder_2", "unet", "vae") if _is_part(index, part)],
    )
    scheduler = load_json(folder / "scheduler" / "scheduler_config.json")
    noise = noise_of_folder(index, scheduler, load_json(folder / "vae" / "config.json"))
    channels = unet.get("in_channels", 4)
    xl = "StableDiffusionXL" in pipeline
    family = family_of_folder(pipeline, unet)
    problem, hint, kind = "", "Choose another checkpoint, or put a complete copy in its place.", "checkpoint"
    missing = _missing_parts(folder, parts)
    if missing and all(lost == "vae" or "vae/" in lost for lost in missing):
        missing = ("VAE",)
    if not re.match(r"(StableDiffusion|StableDiffusionXL)(Inpaint|Img2Img|ControlNet)?(Inpaint)?Pipeline$", pipeline):
        kind, family, hint = "other", "", FAMILY_HINT
        title = pipeline.removesuffix("Pipeline").removesuffix("Img2Img") or "a pipeline without a name"
        problem = f"'{name}' is a model of {title}, which cannot be trained here."
    elif xl and "text_encoder" not in parts:
        kind, family, problem, hint = (
            "other",
            "",
            f"'{name}' is a model of Stable Diffusion XL's refiner, which cannot be trained here.",
            FAMILY_HINT,
        )
    elif said := channels_problem(channels if isinstance(channels, int) else 4):
        kind, family, problem, hint = "other", "", f"'{name}' {said}.", FAMILY_HINT
    elif noise.problem:
        kind, family, problem, hint = "other", "", f"'{name}' {noise.problem}.", noise.hint
    elif missing:
        problem = f"'{name}' is incomplete: {missing[0]} is missing."
    files = [file for part in parts for file in weights_of(folder / part)]
    headers = {file: read_header(file) for file in files} if not problem else {}
    return dataclasses.replace(
        facts,
        kind=kind,
        family=family,
        inpainting=channels == 9,
        prediction_type=noise.prediction_type,
        zero_terminal_snr=noise.zero_terminal_snr,
        few_steps=few_steps_of_folder(folder, scheduler, unet) if kind == "checkpoint" else "",
        size_px=_size_of_folder(folder, unet, family),
        latent_factor=_latent_factor(folder),
        precision=next((_precision(header) for file, header in headers.items() if file.parent.name == "unet"), ""),
        bytes=sum(file.stat().st_size for file in files),
        parameters=sum(math.prod(s) for header in headers.values() for s in header.shapes.values()),
        problem=problem,
        hint=hint if problem else "",
        missing=missing,
    )


def _is_part(index: dict[str, Any], part: str) -> bool:
    """Whether the pipeline has this part; one that it leaves out is [null, null] in model_index.json."""
    value = index.get(part)
    return isinstance(value, list) and bool(value) and value[0] is not None


def _missing_parts(folder: Path, parts: list[str]) -> tuple[str, ...]:
    """Files that a complete folder of these parts would have and this one lacks."""
    missing = [part for part in ("unet", "vae", "text_encoder") if part not in parts]
    for part in parts:
        files = weights_of(folder / part)
        match = _WEIGHTS_NAME.fullmatch(files[0].name) if files else None
        if not (folder / part / "config.json").is_file():
            missing.append(f"{part}/config.json")
        if match is None or (match["parts"] and len(files) != int(match["parts"])):
            missing.append(f"a file of weights in {part}/")
    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        missing.append("scheduler/scheduler_config.json")
    for tokenizer in ["tokenizer"] + ["tokenizer_2"] * ("text_encoder_2" in parts):
        if not ((folder / tokenizer / "tokenizer.json").is_file() or (folder / tokenizer / "vocab.json").is_file()):
            missing.append(f"{tokenizer}/vocab.json")
    return tuple(missing)


def _latent_factor(folder: Path) -> int:
    """Pixels per latent pixel along one side: each block of the autoencoder but the last halves the side."""
    blocks = load_json(folder / "vae" / "config.json").get("block_out_channels")
    return (
        2 ** (len(blocks) - 1) if isinstance(blocks, list) and 1 <= len(blocks) <= 8 else CheckpointFacts.latent_factor
    )


def _size_of_folder(folder: Path, unet: dict[str, Any], family: str) -> int:
    """Side in pixels by the config files: the UNet's sample_size times the latent factor; else the family's size."""
    size = unet.get("sample_size")
    return size * _latent_factor(folder) if isinstance(size, int) else SIZES_PX[family]
