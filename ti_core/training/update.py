"""One update of the vectors: the gradient over all its images, clipped, and what is checked after the optimizer's
step.
"""

from __future__ import annotations

import math
import random
from functools import partial

import torch
from torch import Tensor

from ti_core.errors import Interrupted, UserError, shown_number
from ti_core.events import Notice
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.stable_diffusion import Conditioning
from ti_core.models.transfer import to_device
from ti_core.settings.prompts import build_prompt
from ti_core.settings.schedule import parse_schedule
from ti_core.training.kinds.kind import NAME, Asked, Beside
from ti_core.training.noise_loss import NoisyImages, loss_scale, micro_batches, min_snr_weights, noise_predict_loss
from ti_core.training.room import with_room
from ti_core.training.run import Run
from ti_core.training.step_inputs import (
    caption_of_step,
    images_of_step,
    noise_of_step,
    offset_noise,
    posterior_noise,
    prompt_random,
)

MAX_REFUSALS = 3
MOST_RESCALES = 4


def take_gradient(run: Run, step: int) -> tuple[float, str]:
    """Leave the gradient of update `step` on the vectors, summed over all processes; returns its mean loss and one
    of its prompts.

    When memory runs out, the same update is done again with fewer images at once, which gives the same gradient.
    Raises Interrupted, and UserError when nothing smaller is left to try.
    """
    loss, prompt, stopped = 0.0, "", False
    try:
        loss, prompt = _take_own_gradient(run, step)
    except Interrupted:
        stopped = True
    return run.ranks.sum(run.state.vectors, loss, stopped), prompt


def _take_own_gradient(run: Run, step: int) -> tuple[float, str]:
    """Once more with a smaller loss scale, where float16 was too narrow for the gradient at the usual one."""
    for _ in range(MOST_RESCALES):
        loss, prompt = with_room(run, partial(_accumulate, run, step))
        gradients = [rows.grad for rows in run.state.vectors.values() if rows.grad is not None]
        is_finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
        if is_finite or run.sd.autocast_dtype is not torch.float16 or not math.isfinite(loss):
            break
        run.memory.loss_scale_share /= 16
    return loss, prompt


def _accumulate(run: Run, step: int) -> tuple[float, str]:
    """The gradient of this process's images on the vectors; their share of the mean loss, and one of the prompts.

    The prompts are encoded once; the micro-batches leave their gradient on the conditioning, and one backward pass
    of the text encoders takes the sum to the vectors. That is the same gradient as encoding with every micro-batch.

    Nothing between the first micro-batch and the last waits for the device: what they need is there before, and the
    loss is read at the end.
    """
    sd, settings, memory = run.sd, run.settings, run.memory
    # The images of the update, and this process's share of them
    of_step = images_of_step(run.inputs.plan, settings.seed, step)
    images, asked, shown = _own_images(run, of_step, step)
    prompts = asked.trained
    run.state.optimizer.zero_grad()
    if not prompts:
        return 0.0, ""
    batches = micro_batches(images, memory.micro_batch)

    # Prompts to conditioning, in one pass
    encoder, vectors = PromptEncoder(sd), run.prompt_vectors(run.state.vectors)
    at_once = memory.fit.prompts_at_once
    with torch.set_grad_enabled(len(prompts) <= at_once):
        conditioning = encoder.encode(prompts, vectors, emphasis=asked.emphasis)
    leaf = conditioning.leaf()
    compare = partial(run.kind.compare, beside=encode_beside(run, asked))

    # Micro-batches: loss, and its gradient on the conditioning
    scale = loss_scale(sd, images.clean, len(of_step)) * memory.loss_scale_share
    total = torch.zeros((), device=sd.device)
    for batch in batches:
        if run.stop.is_set():
            raise Interrupted
        loss = noise_predict_loss(sd, images, batch, leaf, compare).sum() / len(of_step)
        (loss * scale).backward()
        total += loss.detach()

    # From the conditioning through the text encoders to the vectors
    if len(prompts) <= at_once:
        conditioning.backward(leaf, scale)
    else:  # their graphs together would not fit beside the passes, so they are encoded once more, in parts
        for start in range(0, len(prompts), at_once):
            some = slice(start, start + at_once)
            again = encoder.encode(prompts[some], vectors, conditioning.chunks, asked.emphasis)
            again.backward(leaf, scale, some)
    return float(total), shown[0]


@torch.no_grad()
def encode_beside(run: Run, asked: Asked) -> Beside:
    """The conditioning of the prompts without the word, as many at once as those with it."""
    encoder, at_once = PromptEncoder(run.sd), run.memory.fit.prompts_at_once
    found = []
    for prompts in asked.beside:
        chunks = encoder.most_chunks(prompts, run.others.vectors)
        parts = [
            encoder.encode(prompts[i : i + at_once], run.others.vectors, chunks, emphasis=True)
            for i in range(0, len(prompts), at_once)
        ]
        found.append(Conditioning.joined(parts))
    strengths = torch.tensor(asked.strengths)
    return Beside(tuple(found), strengths.to(run.sd.device) if asked.strengths else strengths)


def _own_images(run: Run, of_step: list[int], step: int) -> tuple[NoisyImages, Asked, list[str]]:
    """This process's share of an update's images, what is asked about them, and their prompts as people read them.
    Noise is drawn for all images, so that it does not depend on the number of processes.
    """
    sd, settings, latents = run.sd, run.settings, run.latents
    lines = prompts_of_step(run, of_step, step, NAME)
    asked = run.kind.ask(lines, run.name, lambda index: random.Random(f"{settings.seed} kind {step} {index}"))
    drawn = posterior_noise(latents, of_step, settings.latent_sampling_method, settings.seed, step)
    means = [latents.mean[image] for image in of_step]
    noise, timesteps = noise_of_step(means, settings.seed, step, len(sd.alphas_cumprod))
    if settings.noise_offset:
        noise = offset_noise(noise, settings.noise_offset, settings.seed, step)

    # To the device, in two copies
    sent = to_device([*drawn, *noise], sd.device)
    clean, noise = latents.sample(of_step, sent[: len(drawn)]) if drawn else means, sent[len(drawn) :]
    own = run.ranks.shard(len(of_step))
    images = [of_step[i] for i in own]
    timesteps, sizes = to_device(
        [timesteps[own], torch.tensor([latents.sizes[image] for image in images], dtype=torch.int64)], sd.device
    )
    noisy = NoisyImages(
        clean=[clean[i] for i in own],
        noise=[noise[i] for i in own],
        timesteps=timesteps,
        sizes=sizes,
        weight=_weights(run, images, timesteps),
        huber_delta=settings.huber_delta,
    )
    return noisy, asked.of(own), [lines[i].replace(NAME, run.name) for i in own]


def _weights(run: Run, images: list[int], timesteps: Tensor) -> list[Tensor]:
    """How much each latent pixel of the images counts: their masks, and min-SNR weights if these are wanted."""
    masks, gamma = [run.latents.weight[image] for image in images], run.settings.min_snr_gamma
    if not gamma or not images:
        return masks
    factors = min_snr_weights(run.sd.prediction_type, timesteps, run.sd.alphas_cumprod, gamma)
    return [mask * factor.to(mask.device) for mask, factor in zip(masks, factors, strict=True)]


def prompts_of_step(run: Run, images: list[int], step: int, name: str = "") -> list[str]:
    """The prompt of each image of an update: template line, one of its captions with its tags shuffled and dropped, and
    `name` for the word, the embedding's if it is empty.
    """
    settings, prompts = run.settings, list[str]()
    for index, image in enumerate(images):
        captions = run.inputs.examples[image].captions
        caption = caption_of_step(captions, settings.caption_drop_out, settings.seed, step, index)
        rng = prompt_random(settings.seed, step, index)
        line, chances = rng.choice(run.inputs.lines), (settings.shuffle_tags, settings.tag_drop_out)
        prompts.append(build_prompt(line, caption, name or run.name, rng, *chances, settings.keep_first))
    return prompts


def clip_gradient(run: Run, step: int) -> None:
    """Limit the gradient of the whole update by its own schedule.

    Mended (docs/parity.md, T3): A1111 clips the gradient while it is still multiplied by its loss scale of 65,536 or
    so; this is the true one.
    """
    mode = run.settings.clip_grad_mode
    if mode == "disabled":
        return
    limit = parse_schedule(run.settings.clip_grad_value).rate_at(step)
    if mode == "value":
        torch.nn.utils.clip_grad_value_(run.state.vectors.values(), limit)
    else:
        torch.nn.utils.clip_grad_norm_(run.state.vectors.values(), limit)


def copy_of(vectors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A detached copy of the vectors, [n, width] for each text encoder."""
    return {encoder: rows.detach().clone() for encoder, rows in vectors.items()}


class NotFinite(UserError):
    """The numbers of a run stopped being finite, and lower rates did not help. The vectors are the last good ones."""


def take_step(run: Run, step: int, loss: float, rate: float) -> bool:
    """Let the optimizer move the vectors. Where numbers are not finite, nothing moves, and the rate is halved for
    what follows: False.

    Raises NotFinite after MAX_REFUSALS of them.
    """
    gradients = [rows.grad for rows in run.state.vectors.values() if rows.grad is not None]
    # AdamW keeps the squares of the gradient, so they must be finite too
    if math.isfinite(loss) and bool(torch.stack([grad.square().sum() for grad in gradients]).isfinite().all()):
        run.state.optimizer.step()
        return True
    if run.state.refusals == MAX_REFUSALS:
        raise NotFinite(
            f"At step {step} the calculation broke down (a number grew too large) for the {MAX_REFUSALS + 1}th time;"
            f" the learning rate was {shown_number(rate)}. The last good vectors are saved.",
            "Train again with a lower Embedding Learning rate, or with Precision float32.",
        )
    run.state.refusals += 1
    run.log(
        Notice(
            f"At step {step} the calculation broke down (a number grew too large), so this step was left out. From here"
            f" the learning rates are halved, to {shown_number(rate / 2)} now."
        )
    )
    return False


def check_moved(run: Run, vectors_before: dict[str, Tensor], rate: float) -> None:
    """After the first update the vectors must have moved. Raises UserError."""
    if run.state.step == run.inputs.plan.first_step + 1 and all(
        torch.equal(rows.detach(), vectors_before[encoder]) for encoder, rows in run.state.vectors.items()
    ):
        raise UserError(
            "The first update did not change the embedding, so training would learn nothing.",
            f"Check that the Prompt template contains [name] and that the learning rate {shown_number(rate)} is not too"
            " small.",
        )
