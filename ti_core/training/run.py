"""A run under way: what is trained, with what, and where it is kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.embeddings.embedding import Embedding
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Started
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.run_folder import RunFolder
from ti_core.settings import TrainSettings
from ti_core.training.run_log import RunLog
from ti_core.training.setup import Prepared


@dataclass
class Run:
    """`vectors` holds float32 [n, width] for each text encoder, on the device: all that is trained.

    `pixels_at_once` is how many latent pixels go through the UNet together; it falls when memory runs out. `prompts_at_once` is how many prompts
    keep their way back through the text encoders together; 0 is all.
    """

    settings: TrainSettings
    inputs: Prepared
    sd: StableDiffusion
    latents: Latents
    folder: RunFolder
    vectors: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int
    log: RunLog
    stop: threading.Event
    pixels_at_once: int
    prompts_at_once: int = 0

    @property
    def name(self) -> str:
        return self.inputs.embedding.name

    @property
    def started(self) -> Started:
        plan = self.inputs.plan
        return Started(f"Training {self.name}", plan.steps, plan.first_step, plan.sentence(), str(self.folder.root), self.settings.to_dict())

    def embedding(self, name: str = "") -> Embedding:
        """What is trained so far, as it is saved."""
        vectors = {encoder: rows.detach().cpu().clone() for encoder, rows in self.vectors.items()}
        return Embedding(name or self.name, vectors, self.step, self.sd.hash, self.sd.name)

    def micro_batch(self, latent: Tensor) -> int:
        """How many images of this one's size go through the UNet at once."""
        return max(1, self.pixels_at_once // (latent.shape[-1] * latent.shape[-2]))


def begin_run(settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, emit: Emit, stop: threading.Event) -> Run:
    """Encode the pictures and open the run's folder. Raises UserError, with nothing written, if the embedding is for another model."""
    rows = inputs.embedding.vectors
    if inputs.embedding.widths != sd.widths:
        raise UserError(
            f"Embedding '{inputs.embedding.name}' has vectors of length {_lengths(inputs.embedding.widths)}, but {sd.file.title} needs {_lengths(sd.widths)}.",
            "Create a new embedding with this checkpoint selected.",
        )
    for note in sd.notes:
        emit(Notice(note))
    width, height = settings.width or sd.file.size_px, settings.height or sd.file.size_px
    size = PictureSize(width, height, sd.latent_factor, settings.keep_size)
    latents = encode_images(sd, [e.path for e in inputs.dataset.examples], size, settings.alpha_as_weight, emit, stop)
    plan = inputs.plan
    folder = RunFolder.for_today(inputs.log_directory, inputs.embedding.name, fresh=plan.first_step == 0, suffix=inputs.suffix)
    facts = {
        "model_name": sd.name, "model_hash": sd.hash, "num_of_dataset_images": plan.images,
        "num_vectors_per_token": inputs.embedding.count, "initial_step": plan.first_step,
    }  # fmt: skip
    sized = replace(settings, width=width, height=height)
    folder.save_settings({**facts, **sized.a1111_values(), "settings": sized.to_dict()})

    vectors = {encoder: tensor.to(sd.device).clone().requires_grad_(True) for encoder, tensor in rows.items()}
    optimizer = torch.optim.AdamW(list(vectors.values()), weight_decay=0.0)
    log = RunLog(folder, plan, settings, emit)
    largest = max(mean.shape[-1] * mean.shape[-2] for mean in latents.mean)
    pixels_at_once = settings.micro_batch * largest or first_pixels_at_once(sd)
    return Run(settings, inputs, sd, latents, folder, vectors, optimizer, plan.first_step, log, stop, pixels_at_once)


def _lengths(widths: dict[str, int]) -> str:
    return " + ".join(str(width) for width in widths.values())


def first_pixels_at_once(sd: StableDiffusion) -> int:
    """As many latent pixels as surely fit.

    Measured on SD1.5 at 512 px in half precision: 0.73 GB an image above the weights (stack notes 3); other widths by
    proportion. A CPU gains nothing beyond a few thousand latent pixels.
    """
    if sd.device.type != "cuda":
        return 16_384
    free, _ = torch.cuda.mem_get_info(sd.device)
    bytes_per_pixel = 0.73e9 / 4096 * sd.unet.config.block_out_channels[0] / 320 * (2 if sd.autocast_dtype is None else 1)
    return int(0.8 * free / bytes_per_pixel)
