"""A run under way: what is trained, with what, and where it is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.embeddings.embedding import Embedding, shown_widths
from ti_core.embeddings.folder import NamedIn
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Started
from ti_core.models.device import device_state
from ti_core.models.memory import TILE_PX, FitPlan, memory_facts, plan_fit
from ti_core.models.noise_schedule import trained_prediction
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.runs.folder import RunFolder
from ti_core.settings import TrainSettings
from ti_core.training.distributed.ranks import Together
from ti_core.training.norms import NormControl, norm_control
from ti_core.training.run_log import RunLog
from ti_core.training.run_state import RunState, describe_inputs
from ti_core.training.setup import Prepared
from ti_core.training.writer import Writer

COARSE_SIZE = 0.75
"""Of both sides. A pass then costs half (0.52 from 512 to 384 px, docs/performance.md), and Stable Diffusion still
draws whole faces, which it does not at half the size.
"""


def last_coarse_step(settings: TrainSettings) -> int:
    """The last step that trains on the smaller pictures; 0 where none does."""
    return int(settings.coarse_share * settings.steps)


@dataclass
class Run:
    """`vectors` holds float32 [n, width] for each text encoder, on the device: all that is trained.

    `fit` says how the work fits the device. `pixels_at_once` is how many latent pixels go through the UNet
    together; it falls when memory runs out.
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
    fit: FitPlan
    pixels_at_once: int
    norms: NormControl
    average: dict[str, Tensor]
    """The running average of the vectors (EMA); empty where none is asked for."""
    together: Together
    others: NamedIn = field(default_factory=NamedIn)
    """The other embeddings that the captions, the template or the preview's prompts name; they stay as they are."""
    refusals: int = 0
    writer: Writer = field(default_factory=Writer)
    coarse: Latents | None = None
    """The pictures at COARSE_SIZE of their size, where some of this run's steps train on them."""
    preview_prompt: str = ""
    """What all previews show where nothing else is asked for; kept with the run, so that they go on showing it
    after a resume.
    """

    def latents_at(self, step: int) -> Latents:
        """What is trained on at a step: by the step alone, so that a resumed run goes on as an unbroken one."""
        return self.coarse if self.coarse is not None and step <= last_coarse_step(self.settings) else self.latents

    @property
    def shown(self) -> dict[str, Tensor]:
        """The vectors as they are saved, previewed and evaluated: the average, where one is kept."""
        return self.average or {encoder: rows.detach() for encoder, rows in self.vectors.items()}

    def words(self, rows: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        """The vectors of every embedding that a prompt may name, with `rows` for the one that is trained."""
        return {**self.others.vectors, self.name: rows}

    @property
    def rate_factor(self) -> float:
        """Each refused update halves the rate of those after it."""
        return 0.5**self.refusals

    @property
    def name(self) -> str:
        return self.inputs.embedding.name

    @property
    def started(self) -> Started:
        plan = self.inputs.plan
        sentence = f"{plan.sentence()} It needs {self.fit.need.sentence()}."
        return Started(f"Training {self.name}", plan.steps, plan.first_step, sentence, str(self.folder.root))

    def embedding(self, name: str = "") -> Embedding:
        """What is trained so far, as it is saved."""
        vectors = {encoder: rows.detach().cpu().clone() for encoder, rows in self.shown.items()}
        return Embedding(name or self.name, vectors, self.step, self.sd.hash, self.sd.stored_name)

    def micro_batch(self, latent: Tensor) -> int:
        """How many images of this one's size go through the UNet at once."""
        return max(1, self.pixels_at_once // (latent.shape[-1] * latent.shape[-2]))


def begin_run(
    settings: TrainSettings,
    inputs: Prepared,
    sd: StableDiffusion,
    together: Together,
    others: NamedIn,
    emit: Emit,
    stop: threading.Event,
    saved: RunState | None = None,
) -> Run:
    """Encode the pictures and open the run's folder, or that of the `saved` run, which goes on.

    Raises UserError, with nothing written, if the embedding is for another model.
    """
    if inputs.embedding.widths != sd.widths:
        raise UserError(
            f"Embedding '{inputs.embedding.name}' was made for another kind of checkpoint than {sd.file.title}: its"
            f" vectors have {shown_widths(inputs.embedding.widths)} numbers, not {shown_widths(sd.widths)}.",
            "Create a new embedding with this checkpoint selected.",
        )
    if saved:
        _check_unchanged(saved, inputs, others, sd, emit)
    for note in (*sd.notes, *others.left_out):
        emit(Notice(note))
    if others.vectors:
        emit(
            Notice(
                f"The captions or prompts also name {', '.join(others.vectors)}: these embeddings are used there, and"
                " stay as they are."
            )
        )
    width, height = settings.width or sd.file.size_px, settings.height or sd.file.size_px
    size = PictureSize(width, height, sd.latent_factor, settings.keep_size)
    plan = inputs.plan
    encode = partial(
        encode_images,
        sd,
        [e.path for e in inputs.examples],
        alpha_as_weight=settings.alpha_as_weight,
        emit=emit,
        stop=stop,
        cache_folder=inputs.latent_cache,
    )
    latents = encode(size=size)
    coarse = encode(size=replace(size, share=COARSE_SIZE)) if plan.first_step < last_coarse_step(settings) else None
    largest = max(latents.mean, key=lambda mean: mean.shape[-1] * mean.shape[-2])
    sides = (
        largest.shape[-1] * sd.latent_factor,
        largest.shape[-2] * sd.latent_factor,
    )  # of kept sizes the largest decides
    fit = plan_fit(settings, device_state(sd.device), memory_facts(sd), *sides, len(together.own(plan.images_per_step)))
    if not fit.fits:
        emit(
            Notice(
                f"This training needs {fit.need.sentence()}. That is more than is free, so it may end early; a smaller"
                " Width and Height need less."
            )
        )
    _bring_to_device(sd, fit)
    folder = _open_folder(
        replace(settings, width=width, height=height), inputs, sd, saved if together.is_first else None, emit
    )
    norms = norm_control(settings.norm_control, sd)
    rows = inputs.embedding.vectors
    vectors = {
        encoder: rows[encoder].to(sd.device).clone().requires_grad_(True) for encoder in sd.widths
    }  # a saved state has another order
    if not plan.first_step and not saved:
        norms.hold(vectors)
    averaged = (saved.average if saved else None) or vectors
    average = (
        {encoder: averaged[encoder].detach().to(sd.device).clone() for encoder in vectors}
        if settings.average_decay
        else {}
    )
    optimizer = torch.optim.AdamW(list(vectors.values()), weight_decay=0.0)
    if saved:
        saved.fill(optimizer)
        folder.cut_back_to(plan.first_step)
    return Run(
        settings=settings,
        inputs=inputs,
        sd=sd,
        latents=latents,
        coarse=coarse,
        folder=folder,
        vectors=vectors,
        average=average,
        norms=norms,
        optimizer=optimizer,
        step=plan.first_step,
        log=RunLog(folder, plan, settings, emit),
        stop=stop,
        fit=fit,
        pixels_at_once=fit.micro_batch * largest.shape[-1] * largest.shape[-2],
        together=together,
        others=others.on(sd.device),
        refusals=saved.refusals if saved else 0,
    )


def _open_folder(
    settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, saved: RunState | None, emit: Emit
) -> RunFolder:
    """The folder of the saved run, else one of today, with the settings in it."""
    plan = inputs.plan
    fresh = RunFolder.for_today(inputs.log_directory, inputs.embedding.name, plan.first_step, inputs.suffix)
    folder = saved.folder if saved else fresh
    began = trained_prediction(folder.root, sd) if any(folder.root.glob("settings-*.json")) else sd.prediction
    if not saved and began != sd.prediction:
        emit(
            Notice(
                f"The steps until here were trained with {began}. {sd.file.title} says {sd.prediction}, so the steps"
                " from here on are."
            )
        )
    facts = {
        "model_name": sd.stored_name,
        "model_hash": sd.hash,
        "num_of_dataset_images": plan.images,
        "num_vectors_per_token": inputs.embedding.count,
        "initial_step": plan.first_step,
        "prediction": sd.prediction_type,
        "zero_terminal_snr": sd.zero_terminal_snr,
    }
    folder.save_settings({**facts, **settings.a1111_values(), "settings": settings.to_dict()})
    return folder


def _check_unchanged(saved: RunState, inputs: Prepared, others: NamedIn, sd: StableDiffusion, emit: Emit) -> None:
    """Going on exactly needs the same checkpoint, and the same pictures, captions and other embeddings. Raises
    UserError for another checkpoint.
    """
    if saved.checkpoint_hash not in (None, sd.hash or ""):
        raise UserError(
            f"The checkpoint {sd.file.title} is another one than this run began with ({sd.hash}, not"
            f" {saved.checkpoint_hash}).",
            "Put the old one back, or train on from the run's latest copy.",
        )
    for note in saved.notes:
        emit(Notice(note))
    began = saved.prediction or (
        sd.prediction if sd.chosen_prediction or sd.file.facts.form == "folder" else sd.prediction_type
    )
    if began != sd.prediction:
        raise UserError(
            f"The checkpoint {sd.file.title} says {sd.prediction} now, but this run began with {began}.",
            "Put its old configuration back, or train on from the run's latest copy.",
        )
    if saved.inputs not in (None, describe_inputs(inputs.examples, others.hashes)):
        emit(
            Notice(
                "The pictures, captions or other embeddings were changed since the run was interrupted, so it goes on,"
                " but not exactly as it would have."
            )
        )


def _bring_to_device(sd: StableDiffusion, fit: FitPlan) -> None:
    sd.move_to_device(fit.vae_off_device, fit.encoders_off_device)
    if fit.gradient_checkpointing:
        sd.unet.enable_gradient_checkpointing()
    if fit.vae_slicing:
        sd.vae.enable_slicing()
        sd.vae.enable_tiling()
        sd.vae.tile_sample_min_size = min(
            sd.vae.tile_sample_min_size, TILE_PX
        )  # SDXL's own tiles are as large as its pictures
        sd.vae.tile_latent_min_size = sd.vae.tile_sample_min_size // sd.latent_factor
