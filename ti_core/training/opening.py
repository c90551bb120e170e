"""Opens a run, a new one or one that goes on: reads what it needs, loads the checkpoint, encodes the pictures, plans
memory, opens the folder, and builds vectors, optimizer and its state.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.data.aspect_buckets import bucket_sizes
from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.data.loss_weight import Weighting
from ti_core.embeddings.embedding import shown_widths
from ti_core.embeddings.named_in import NamedIn, named_in
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Progress
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.device import device_state
from ti_core.models.memory import FitPlan, memory_facts, plan_fit
from ti_core.models.noise_schedule import trained_prediction
from ti_core.models.painting_memory import decode_in_parts, place_networks
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.torch_build import unused_card
from ti_core.models.warm import warm_checkpoint
from ti_core.painting.few_steps import suited_previews
from ti_core.runs.folder import RunFolder, complete_settings
from ti_core.settings import TrainSettings
from ti_core.training.distributed.ranks import Ranks
from ti_core.training.distributed.same_inputs import check_same_inputs
from ti_core.training.kinds import kind_of
from ti_core.training.norms import NormControl, norm_control
from ti_core.training.optimizers import new_optimizer
from ti_core.training.run import MemoryUse, Run, TrainState
from ti_core.training.run_log import RunLog
from ti_core.training.run_state import RunState, describe_inputs
from ti_core.training.setup import Prepared, as_begun, leave_out, prepare
from ti_core.training.snapshots import obedience_prompt, prompts_of_run
from ti_core.training.writer import Writer
from ti_core.workspace import Workspace


def open_run(
    settings: TrainSettings,
    workspace: Workspace,
    ranks: Ranks,
    emit: Emit,
    stop: threading.Event,
    saved: RunState | None = None,
) -> Run:
    """A run that is ready for its next step: a new one, or the `saved` one, which goes on in its folder.

    Raises UserError or SettingsError, with nothing written, if something of it cannot be used, and Interrupted.
    """
    # Settings, embedding, captions and template
    settings, inputs = _prepare(settings, workspace, ranks, emit, stop, saved)

    # The checkpoint, and the other embeddings that prompts name
    sd = _load_model(settings, inputs, workspace, saved, emit)
    others = _others_named(settings, inputs, sd, workspace, saved, emit)
    check_same_inputs(ranks, settings, inputs, sd)

    # The pictures, encoded once; what cannot be decoded is left out
    width, height = settings.width or sd.file.size_px, settings.height or sd.file.size_px
    buckets = bucket_sizes(width, height) if settings.aspect_buckets else ()
    size = PictureSize(width, height, sd.latent_factor, settings.keep_size, buckets)
    inputs, latents = _encode_pictures(settings, inputs, sd, size, emit, stop)
    if saved:
        _tell_of_changed_inputs(saved, inputs, others, emit)

    # Memory, and where each network lies; the lengths of words are looked at while they need nothing of the device
    norms = norm_control(settings.norm_control, sd)
    memory = _plan_memory(settings, latents, sd, len(ranks.shard(inputs.plan.images_per_step)), emit)
    _bring_to_device(sd, memory.fit)

    # The folder; workers have one of their own, which goes with them
    kept = replace(settings, width=width, height=height)
    folder = _open_folder(kept, inputs, sd, saved if ranks.is_first else None, emit)

    # Vectors, average, optimizer
    state = _initial_state(settings, inputs, sd, norms, saved)

    run = Run(
        settings=settings,
        inputs=inputs,
        sd=sd,
        latents=latents,
        others=others,
        state=state,
        kind=kind_of(inputs.kind, settings),
        norms=norms,
        memory=memory,
        folder=folder,
        log=RunLog(folder, inputs.plan, settings, emit),
        writer=Writer(),
        ranks=ranks,
        stop=stop,
        is_resumed=saved is not None,
    )
    run.preview_prompts = (saved.preview_prompts if saved else ()) or prompts_of_run(run)
    sd.on_notice = lambda sentence: run.log(Notice(sentence))
    return run


def _prepare(
    settings: TrainSettings,
    workspace: Workspace,
    ranks: Ranks,
    emit: Emit,
    stop: threading.Event,
    saved: RunState | None,
) -> tuple[TrainSettings, Prepared]:
    """The settings as this process trains with them, and what is read without the checkpoint's networks."""
    emit(Progress("Checking the settings and the pictures", 0, 1))
    if saved:
        settings = as_begun(settings, find_usable_checkpoint(settings.checkpoint, workspace), saved.prediction, emit)
    inputs = prepare(settings, workspace, emit, stop, saved.embedding if saved else None)
    settings = settings.of_kind(inputs.kind)
    settings, sentences = suited_previews(settings, find_usable_checkpoint(settings.checkpoint, workspace))
    for sentence in sentences if settings.image_every else ():
        emit(Notice(sentence))
    _tell_of_build(ranks, emit)
    return (settings, inputs) if ranks.is_first else ranks.as_worker(settings, inputs)


def _tell_of_build(ranks: Ranks, emit: Emit) -> None:
    """What the installed build of torch cannot do."""
    if ranks.lacks_nccl:
        emit(
            Notice(
                "This build of torch has no NCCL, by which cards talk to each other, so gloo sums their gradients in"
                " the computer's memory. The result is the same."
            )
        )
    if build := unused_card():
        emit(
            Notice(
                f"This computer has a graphics card, but its torch is the build for the processor, which is many times"
                f" slower. To use the card, start once with: ./webui.sh --torch {build} (Windows: webui.bat)."
            )
        )


def _load_model(
    settings: TrainSettings, inputs: Prepared, workspace: Workspace, saved: RunState | None, emit: Emit
) -> StableDiffusion:
    """The checkpoint. Raises UserError if the embedding is for another kind, or the saved run began with another."""
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    if inputs.embedding.widths != sd.widths:
        raise UserError(
            f"Embedding '{inputs.embedding.name}' was made for another kind of checkpoint than {sd.file.title}: its"
            f" vectors have {shown_widths(inputs.embedding.widths)} numbers, not {shown_widths(sd.widths)}.",
            "Create a new embedding with this checkpoint selected.",
        )
    if saved:
        _check_same_checkpoint(saved, sd, emit)
    for note in sd.notes:
        emit(Notice(note))
    return sd


def _check_same_checkpoint(saved: RunState, sd: StableDiffusion, emit: Emit) -> None:
    """Going on exactly needs the same checkpoint. Raises UserError for another one."""
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


def _tell_of_changed_inputs(saved: RunState, inputs: Prepared, others: NamedIn, emit: Emit) -> None:
    """Going on exactly needs the same pictures, captions and other embeddings."""
    if saved.inputs not in (None, describe_inputs(inputs.examples, others.hashes)):
        emit(
            Notice(
                "The pictures, captions or other embeddings were changed since the run was interrupted, so it goes on,"
                " but not exactly as it would have."
            )
        )


def _others_named(
    settings: TrainSettings,
    inputs: Prepared,
    sd: StableDiffusion,
    workspace: Workspace,
    saved: RunState | None,
    emit: Emit,
) -> NamedIn:
    """The other embeddings that a prompt of this run may name. Notices name them, and those that cannot be used."""
    texts = [
        *(line.replace("[name]", inputs.embedding.name) for line in settings.preview_lines),
        settings.preview_negative_prompt,
        *((saved.preview_prompts if saved else ()) or (obedience_prompt(settings, inputs),)),
        *inputs.lines,
        *kind_of(inputs.kind, settings).texts,
        *(example.caption for example in inputs.examples),
    ]
    others = named_in(texts, workspace, sd.widths, own=inputs.embedding.name)
    for note in others.left_out:
        emit(Notice(note))
    if others.vectors:
        emit(
            Notice(
                f"The captions or prompts also name {', '.join(others.vectors)}: these embeddings are used there, and"
                " stay as they are."
            )
        )
    return others


def _encode_pictures(
    settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, size: PictureSize, emit: Emit, stop: threading.Event
) -> tuple[Prepared, Latents]:
    """The latents of `inputs.examples`, in their order, and the inputs without the pictures that cannot be decoded."""
    paths = [example.path for example in inputs.examples]
    outside = settings.weight_outside if settings.masks_as_weight else 0.0
    weighting = Weighting(settings.alpha_as_weight, settings.masks_as_weight, outside)
    latents = encode_images(sd, paths, size, weighting, emit, stop, inputs.latent_cache)
    if not latents.problems:
        return inputs, latents
    usable = [path for path in paths if path not in latents.problems]
    inputs = leave_out(latents.problems, inputs, settings)
    index_of: dict[Path, int] = {path: index for index, path in enumerate(usable)}
    return inputs, latents.in_order([index_of[example.path] for example in inputs.examples])


def _plan_memory(
    settings: TrainSettings, latents: Latents, sd: StableDiffusion, images_per_step: int, emit: Emit
) -> MemoryUse:
    """How so many images of an update fit the device; of pictures that keep their sizes the largest decides."""
    height, width = max((mean.shape[-2:] for mean in latents.mean), key=lambda shape: shape[0] * shape[1])
    sides = width * sd.latent_factor, height * sd.latent_factor
    bytes_per_number = sd.unet.dtype.itemsize
    fit = plan_fit(settings, device_state(sd.device), memory_facts(sd), *sides, images_per_step, bytes_per_number)
    if not fit.fits:
        emit(
            Notice(
                f"This training needs {fit.need.sentence()}. That is more than is free, so it may end early; a smaller"
                " Width and Height need less."
            )
        )
    return MemoryUse(fit, fit.micro_batch * height * width)


def _bring_to_device(sd: StableDiffusion, fit: FitPlan) -> None:
    """As planned, or with more of them in the computer's memory where that does not fit. Raises TooLittleMemory."""
    place_networks(sd, fit.vae_off_device, fit.encoders_off_device)
    if fit.gradient_checkpointing:
        sd.unet.enable_gradient_checkpointing()
    if fit.vae_slicing:
        decode_in_parts(sd.vae, sd.latent_factor)


def _open_folder(
    settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, saved: RunState | None, emit: Emit
) -> RunFolder:
    """The folder of the saved run, cut back to its state, else one of today; with the settings in it."""
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
        "model_hash": sd.hashed if isinstance(sd.hashed, str) else sd.hashed.known,
        "num_of_dataset_images": plan.images,
        "num_vectors_per_token": inputs.embedding.count,
        "initial_step": plan.first_step,
        "prediction": sd.prediction_type,
        "zero_terminal_snr": sd.zero_terminal_snr,
    }
    written = folder.save_settings({**facts, **settings.a1111_values(), "settings": settings.to_dict()})
    if not facts["model_hash"] and not isinstance(sd.hashed, str):
        sd.hashed.then(partial(complete_settings, written))
    if saved:
        folder.cut_back_to(plan.first_step)
    return folder


def _initial_state(
    settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, norms: NormControl, saved: RunState | None
) -> TrainState:
    """The vectors of the embedding as parameters, with the average and the optimizer's state of the saved run."""
    first_step, rows = inputs.plan.first_step, inputs.embedding.vectors
    # in the checkpoint's order of text encoders: a saved state has another
    vectors = {encoder: rows[encoder].cpu().clone().requires_grad_(True) for encoder in sd.widths}
    if not first_step and not saved:
        norms.hold(vectors)
    average = {}
    if settings.average_decay:
        averaged = (saved.average if saved else None) or vectors
        average = {encoder: averaged[encoder].detach().cpu().clone() for encoder in vectors}
    optimizer = new_optimizer(settings.optimizer, vectors)
    if saved:
        saved.fill(optimizer)
    return TrainState(vectors, optimizer, average, first_step, saved.refusals if saved else 0)
