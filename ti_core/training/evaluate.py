"""A loss that means something: always on the same pictures, prompts, noise and timesteps, so that only the vectors
can change it.

The training's own loss is another task at each step, and its noise hides what is learned (DVAR, arXiv 2302.04841).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ti_core.errors import Interrupted
from ti_core.events import Evaluated, Notice
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.runs.best_step import best_step, evaluations_without_gain, load_history
from ti_core.settings import WITH_EACH_PREVIEW
from ti_core.settings.prompts import build_prompt
from ti_core.training.noise_loss import NoisyImages, micro_batches, noise_predict_loss
from ti_core.training.norms import usual_lengths
from ti_core.training.run import Run
from ti_core.training.run_state import describe_inputs
from ti_core.training.step_inputs import generator_for, prompt_random

SHARE_OF_TIME = 0.08
FORWARD_COST = 0.55
"""One evaluated input in image passes: a forward pass of the UNet against forward and backward (0.45 measured with
SD1.5, 0.55 with Portraits).
"""
FEWEST, MOST = 8, 60
"""Inputs of one evaluation. Fewer than 8 tell nothing; more than 60 tell no more."""


@dataclass
class Evaluation:
    """What is evaluated, and how it came out so far. `images` are numbers of the run's pictures, one per input;
    `every` 0 is never.
    """

    every: int
    images: list[int]
    usual_lengths: tuple[float, float]
    sign: Callable[[], str] = str
    """Computes `inputs`, which may have to wait for the checkpoint's hash."""
    history: dict[int, list[float]] = field(default_factory=dict)

    @functools.cached_property
    def inputs(self) -> str:
        """A sign of what is measured, by which an earlier part of the run is known to have measured the same."""
        return self.sign()

    def is_due(self, step: int) -> bool:
        """Whether the step is evaluated."""
        return bool(self.every) and step % self.every == 0

    def sentence(self) -> str:
        """What came of it, for the end of a run."""
        return f" Best step by the evaluation: {best_step(self.history)}." if self.history else ""

    def should_stop(self, patience: int) -> bool:
        """Whether the last `patience` evaluations were no better than the best; 0 never stops."""
        return bool(patience and self.history) and evaluations_without_gain(self.history) >= patience


NO_EVALUATION = Evaluation(0, [], (0.0, 0.0))


def plan_evaluation(run: Run) -> Evaluation:
    """How often, and on what: as often as asked for and as many inputs as cost less than SHARE_OF_TIME of the
    training; says so in a Notice.

    Where even the fewest inputs would cost more, it is done at every second, third, ... of the steps asked for.
    """
    settings, plan = run.settings, run.inputs.plan
    asked = settings.image_every if settings.evaluate_every == WITH_EACH_PREVIEW else settings.evaluate_every
    if not asked:
        return _no_evaluation(run, "nothing is evaluated") if settings.early_stop else NO_EVALUATION

    # How often, and how many inputs, for SHARE_OF_TIME of the training
    affordable = asked * plan.images_per_step * SHARE_OF_TIME / FORWARD_COST
    every = asked * -int(-FEWEST // max(affordable, FEWEST / 1000)) if affordable < FEWEST else asked
    count = int(min(MOST, every * plan.images_per_step * SHARE_OF_TIME / FORWARD_COST))

    # Which pictures: the held-out ones, else evenly chosen ones of the training
    held_out = list(range(plan.images, len(run.inputs.examples)))
    pictures = held_out or list(range(plan.images))
    images = (
        [pictures[i * len(pictures) // count] for i in range(count)]
        if len(pictures) > count
        else list(itertools.islice(itertools.cycle(pictures), count))
    )
    what = (
        f"{len(held_out)} held-out pictures"
        if held_out
        else f"{len(set(images))} of the training pictures with fixed noise"
    )

    # What an earlier part of the run has measured on the same inputs
    evaluation = Evaluation(every, images, usual_lengths(run.sd), functools.partial(_sign_of, run, images))
    if run.state.step:
        evaluation.history = {
            step: losses
            for step, losses in load_history(run.folder.events_file, evaluation.inputs).items()
            if step <= run.state.step
        }
    if (plan.first_step // every + 1) * every > plan.steps and not evaluation.history:
        return _no_evaluation(
            run,
            f"that is done every {every} steps"
            + (", because more often would take a tenth of the time" if every > asked else ""),
        )
    run.log(Notice(f"Every {every} steps a test looks for the best step, on {what}."))
    return evaluation


def _no_evaluation(run: Run, why: str) -> Evaluation:
    run.log(
        Notice(
            f"No step of this training is evaluated: {why}. So none is marked as the"
            f" best{', and it does not stop early' * bool(run.settings.early_stop)}."
        )
    )
    return NO_EVALUATION


def _sign_of(run: Run, images: list[int]) -> str:
    """12 hex digits that change with everything that decides about the losses but the vectors."""
    settings, examples = run.settings, [run.inputs.examples[i] for i in images]
    measured = [
        [run.latents.digests[i] for i in images],
        describe_inputs(examples, run.others.hashes),
        run.inputs.lines,
        [list(run.latents.mean[i].shape) for i in images],
        run.sd.hash,
        run.sd.clip_skip,
        run.sd.prediction,
        run.sd.other_vae,
        *settings.evaluation_values(),
    ]
    return hashlib.sha256(json.dumps(measured).encode()).hexdigest()[:12]


def evaluate(run: Run, evaluation: Evaluation) -> None:
    """Measure the step just done and log it; nothing of the training is touched."""
    step = run.state.step
    # rounded as they are kept, so that a resumed run compares the same numbers
    losses = [round(loss, 6) for loss in losses_of(run, evaluation.images)]
    if not all(math.isfinite(loss) for loss in losses):
        run.log(Notice(f"The evaluation of step {step} broke down (a number grew too large), so it is left out."))
        return
    evaluation.history[step] = losses
    best = best_step(evaluation.history)
    # of the first text encoder: `usual_lengths` are those of its words
    norm = float(next(iter(run.state.output_vectors.values())).norm(dim=1).max())
    run.log(Evaluated(step, sum(losses) / len(losses), norm, best, losses, evaluation.usual_lengths, evaluation.inputs))


@torch.no_grad()
def losses_of(run: Run, images: list[int]) -> list[float]:
    """The loss on each input; raises Interrupted between two micro-batches. Image i has the i-th of evenly spread
    timesteps, in mixed order, and noise of its own, the same at every evaluation.
    """
    sd, latents, count = run.sd, run.latents, len(images)
    generator = generator_for(run.settings.seed, "evaluation", 0)
    evenly_spread = ((torch.arange(count) + 0.5) / count * len(sd.alphas_cumprod)).long()
    timesteps = evenly_spread[torch.randperm(count, generator=generator)].to(sd.device)
    clean = [latents.mean[i] for i in images]
    noisy = NoisyImages(
        clean=clean,
        noise=[torch.randn(one.shape, generator=generator).to(sd.device) for one in clean],
        timesteps=timesteps,
        sizes=torch.tensor([latents.sizes[i] for i in images], device=sd.device),
        weight=[latents.weight[i] for i in images],
    )
    prompts = [_prompt_of(run, index, image) for index, image in enumerate(images)]
    conditioning = PromptEncoder(sd).encode(prompts, run.prompt_vectors(run.state.output_vectors))
    losses = torch.zeros(count)
    for batch in micro_batches(noisy, run.memory.micro_batch):
        if run.stop.is_set():
            raise Interrupted
        losses[batch.indices] = noise_predict_loss(sd, noisy, batch, conditioning).cpu()
    return losses.tolist()


def _prompt_of(run: Run, index: int, image: int) -> str:
    """The template's lines in turn, each with the image's whole caption."""
    lines, caption = run.inputs.lines, run.inputs.examples[image].caption
    return build_prompt(lines[index % len(lines)], caption, run.name, prompt_random(0, 0, index), False, 0.0)
