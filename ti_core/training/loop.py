"""The training loop: all families go through it. Only the vectors of the embedding are a parameter; the checkpoint is frozen."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ti_core.data.latents import Latents, PictureSize, encode_images
from ti_core.embeddings.embedding import ENCODER_OF_FIRST_FORMAT, Embedding
from ti_core.embeddings.pt_file import save_pt
from ti_core.errors import Interrupted, UserError
from ti_core.events import EmbeddingSaved, Emit, Finished, Notice, Progress, Started, StepDone
from ti_core.models.checkpoint import StableDiffusion, load_checkpoint
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.prompts import build_prompt
from ti_core.run_folder import RunFolder
from ti_core.schedule import parse_schedule
from ti_core.settings import TrainSettings
from ti_core.training.diffusion import (
    add_noise,
    clean_latents,
    images_of_step,
    noise_of_step,
    parts_of_one_shape,
    prompt_random,
    squared_error,
    target_of,
)
from ti_core.training.run_log import RunLog
from ti_core.training.setup import Prepared, prepare
from ti_core.training.snapshots import save_preview
from ti_core.training.state import load_state, save_state
from ti_core.workspace import Workspace

FP16_LOSS_SCALE = 1024.0
"""Constant: the gradient of a mean loss is subnormal in fp16 without it (stack notes 3)."""


@dataclass
class Run:
    """A run under way. `vectors` is float32 [n, width] on the device, the one tensor that is trained."""

    settings: TrainSettings
    inputs: Prepared
    sd: StableDiffusion
    latents: Latents
    folder: RunFolder
    vectors: Tensor
    optimizer: torch.optim.AdamW
    step: int
    log: RunLog
    stop: threading.Event

    @property
    def name(self) -> str:
        return self.inputs.embedding.name

    @property
    def started(self) -> Started:
        plan = self.inputs.plan
        return Started(f"Training {self.name}", plan.steps, plan.first_step, plan.sentence(), str(self.folder.root), self.settings.to_dict())

    def embedding(self, name: str = "") -> Embedding:
        """What is trained so far, as it is saved."""
        vectors = {ENCODER_OF_FIRST_FORMAT: self.vectors.detach().cpu().clone()}
        return Embedding(name or self.name, vectors, self.step, self.sd.hash, self.sd.file.path.name)


def train(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """Train an embedding and save it in embeddings/; the one entry for page, command line and tests.

    Interrupt saves and ends as Finished(interrupted=True). Raises UserError, with the embedding's last file intact, on bad settings,
    a damaged checkpoint, a full disk, or vectors that stay put or stop being finite.
    """
    emit(Progress("Checking the settings and the pictures", 0, 1))
    inputs = prepare(settings, workspace, emit, stop)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    sd = load_checkpoint(settings.checkpoint, workspace)
    run = _begin(settings, inputs, sd, emit, stop)
    with run.log:
        _train_and_save(run, workspace.embeddings / f"{run.name}.pt", workspace)


def _train_and_save(run: Run, target: Path, workspace: Workspace) -> None:
    keeps_state = run.settings.save_optimizer_state
    run.log(run.started)
    if run.step and keeps_state and not load_state(target, run.vectors, run.optimizer):
        run.log(Notice(f"There is no optimizer state of exactly this {target.name}, so the optimizer starts anew; the first steps may jump a little."))
    rate, ends = run.inputs.schedule.pieces[-1]
    if ends < run.settings.steps:
        run.log(Notice(f"The learning rates end at step {ends:g}; the last one, {rate:g}, goes on until step {run.settings.steps}."))
    try:
        _train_steps(run)
        interrupted = False
    except Interrupted:
        interrupted = True
    save_pt(target, run.embedding())
    if keeps_state:
        save_state(target, run.vectors, run.optimizer)
    run.log(EmbeddingSaved(run.step, str(target)))
    verb = "interrupted" if interrupted else "finished"
    run.log(Finished(f"Training {verb} at {run.step} steps. Embedding saved to {workspace.shown(target)}.", interrupted, (str(target),)))


def _begin(settings: TrainSettings, inputs: Prepared, sd: StableDiffusion, emit: Emit, stop: threading.Event) -> Run:
    """Encode the pictures and open the run's folder."""
    rows = inputs.embedding.vectors[ENCODER_OF_FIRST_FORMAT]
    if rows.shape[1] != sd.width:
        raise UserError(
            f"Embedding '{inputs.embedding.name}' has vectors of length {rows.shape[1]}, but {sd.file.title} needs {sd.width}.",
            "Create a new embedding with this checkpoint selected.",
        )
    width, height = settings.width or sd.file.size_px, settings.height or sd.file.size_px
    size = PictureSize(width, height, sd.latent_factor, settings.keep_size)
    latents = encode_images(sd, [e.path for e in inputs.dataset.examples], size, settings.alpha_as_weight, emit, stop)
    plan = inputs.plan
    folder = RunFolder.for_today(inputs.log_directory, inputs.embedding.name, fresh=plan.first_step == 0)
    facts = {
        "model_name": sd.file.path.name, "model_hash": sd.hash, "num_of_dataset_images": plan.images,
        "num_vectors_per_token": len(rows), "initial_step": plan.first_step,
    }  # fmt: skip
    sized = replace(settings, width=width, height=height)
    folder.save_settings({**facts, **sized.a1111_values(), "settings": sized.to_dict()})

    vectors = rows.to(sd.device).clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([vectors], weight_decay=0.0)
    log = RunLog(folder, plan, settings, emit)
    return Run(settings, inputs, sd, latents, folder, vectors, optimizer, plan.first_step, log, stop)


def _train_steps(run: Run) -> None:
    settings, plan = run.settings, run.inputs.plan
    good = run.vectors.detach().clone()
    for step in range(plan.first_step + 1, plan.steps + 1):
        began = time.perf_counter()
        rate = run.inputs.schedule.rate_at(step)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, prompt = _accumulate_gradient(run, step)
        _clip_gradient(run, step)
        run.optimizer.step()
        _check_vectors(run, good, step)
        good, run.step = run.vectors.detach().clone(), step
        run.log(StepDone(step, loss, rate, prompt, time.perf_counter() - began))
        if settings.save_every and step % settings.save_every == 0:
            copy = run.folder.copy(step)
            run.log(EmbeddingSaved(step, str(save_pt(copy, run.embedding(copy.stem)))))
        if settings.image_every and step % settings.image_every == 0:
            save_preview(run, prompt)


def _accumulate_gradient(run: Run, step: int) -> tuple[float, str]:
    """Gradient of the mean loss over all images of one update; returns that loss and one of the prompts.

    The prompts are encoded once; the micro-batches leave their gradient on the conditioning, and one backward pass of the text
    encoder takes the sum to the vectors. That is the same gradient as encoding with every micro-batch.
    """
    sd, settings, examples = run.sd, run.settings, run.inputs.dataset.examples
    images = images_of_step(run.inputs.plan, settings.seed, step)
    prompts = []
    for place, image in enumerate(images):
        rng = prompt_random(settings.seed, step, place)
        line = rng.choice(run.inputs.lines)
        prompts.append(build_prompt(line, examples[image].caption, run.name, rng, settings.shuffle_tags, settings.tag_drop_out))
    clean = clean_latents(run.latents, images, settings.latent_sampling_method, settings.seed, step)
    noise, timesteps = noise_of_step(clean, settings.seed, step)
    scale = FP16_LOSS_SCALE if sd.autocast_dtype is torch.float16 else 1.0

    words = PromptEncoder(sd).encode(prompts, {run.name: run.vectors})
    leaf = words.detach().requires_grad_(True)
    total = torch.zeros((), device=sd.device)
    for part in parts_of_one_shape(clean, lambda one: micro_batch(sd, one)):
        if run.stop.is_set():
            raise Interrupted
        x, e, t = torch.stack([clean[i] for i in part]), torch.stack([noise[i] for i in part]), timesteps[part]
        with sd.autocast():
            predicted = sd.unet(add_noise(x, e, t, sd.signal), t, leaf[part], return_dict=False)[0]
        weight = torch.stack([run.latents.weight[images[i]] for i in part])
        loss = squared_error(predicted, target_of(sd.prediction_type, x, e, t, sd.signal), weight).sum() / len(images)
        (loss * scale).backward()
        total += loss.detach()
    assert leaf.grad is not None, "the UNet gave no gradient to its conditioning"
    run.vectors.grad = None
    words.backward(leaf.grad / scale)
    return float(total), prompts[0]


def _clip_gradient(run: Run, step: int) -> None:
    """Limit the gradient of the whole update by its own schedule.

    Reference 2.4, mended: A1111 clips the gradient while it is still multiplied by its loss scale of 65,536 or so; this is the true one.
    """
    mode = run.settings.clip_grad_mode
    if mode == "disabled":
        return
    limit = parse_schedule(run.settings.clip_grad_value).rate_at(step)
    if mode == "value":
        torch.nn.utils.clip_grad_value_([run.vectors], limit)
    else:
        torch.nn.utils.clip_grad_norm_([run.vectors], limit)


def micro_batch(sd: StableDiffusion, latent: Tensor) -> int:
    """How many images go through the UNet at once: as many as surely fit.

    Measured on SD1.5 at 512 px in half precision: 0.73 GB an image above the weights (stack notes 3); other sizes and widths by
    proportion. A CPU gains nothing beyond a few thousand latent pixels.
    """
    pixels = latent.shape[-1] * latent.shape[-2]
    if sd.device.type != "cuda":
        return max(1, 16_384 // pixels)
    free, _ = torch.cuda.mem_get_info(sd.device)
    bytes_per_image = 0.73e9 * pixels / 4096 * sd.unet.config.block_out_channels[0] / 320 * (2 if sd.autocast_dtype is None else 1)
    return max(1, int(0.8 * free / bytes_per_image))


def _check_vectors(run: Run, before: Tensor, step: int) -> None:
    """After every update the vectors must be finite, and after the first they must have moved; else the good ones are put back."""
    if not bool(run.vectors.isfinite().all()):
        rate = run.inputs.schedule.rate_at(step)
        with torch.no_grad():
            run.vectors.copy_(before)
        raise UserError(
            f"At step {step} the vectors stopped being finite numbers; the learning rate was {rate:g}.", "Train again with a lower Embedding Learning rate."
        )
    if step == run.inputs.plan.first_step + 1 and torch.equal(run.vectors.detach(), before):
        raise UserError(
            "The first update did not change the embedding, so training would learn nothing.",
            f"Check that the Prompt template contains [name] and that the learning rate {run.inputs.schedule.rate_at(step):g} is not too small.",
        )
