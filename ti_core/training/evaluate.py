"""A loss that means something: always on the same pictures, prompts, noise and timesteps, so that only the vectors
can change it.

The training's own loss is another task at each step, and its noise hides what is learned (DVAR, arXiv 2302.04841).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, field

import torch

from ti_core.errors import Interrupted
from ti_core.events import Evaluated, Notice
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.runs.best_step import best_step, evaluations_without_gain, load_history
from ti_core.settings import WITH_EACH_PREVIEW
from ti_core.settings.prompts import build_prompt
from ti_core.training.diffusion import (
    add_noise,
    generator_for,
    parts_of_one_shape,
    prompt_random,
    squared_error,
    target_of,
)
from ti_core.training.norms import usual_lengths
from ti_core.training.run import Run
from ti_core.training.run_state import describe_inputs

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
    inputs: str = ""
    """A sign of what is measured, by which an earlier part of the run is known to have measured the same."""
    history: dict[int, list[float]] = field(default_factory=dict)

    def is_due(self, step: int) -> bool:
        return bool(self.every) and step % self.every == 0

    def sentence(self) -> str:
        """What came of it, for the end of a run."""
        return f" Best step by the evaluation: {best_step(self.history)}." if self.history else ""

    def should_stop(self, patience: int) -> bool:
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
    affordable = asked * plan.images_per_step * SHARE_OF_TIME / FORWARD_COST
    every = asked * -int(-FEWEST // max(affordable, FEWEST / 1000)) if affordable < FEWEST else asked
    count = int(min(MOST, every * plan.images_per_step * SHARE_OF_TIME / FORWARD_COST))
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
    evaluation = Evaluation(every, images, usual_lengths(run.sd), _sign_of(run, images))
    if run.step:
        evaluation.history = {
            step: losses
            for step, losses in load_history(run.folder.events_file, evaluation.inputs).items()
            if step <= run.step
        }
    if (plan.first_step // every + 1) * every > plan.steps and not evaluation.history:
        return _no_evaluation(
            run,
            f"that is done every {every} steps"
            + (", because more often would take a tenth of the time" if every > asked else ""),
        )
    run.log(
        Notice(f"Every {every} steps the word is tested in the same way each time, on {what}; the best step is marked.")
    )
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
    settings, examples = run.settings, [run.inputs.examples[i] for i in images]
    contents = [hashlib.sha256(example.path.read_bytes()).hexdigest() for example in examples]
    told = [
        contents,
        describe_inputs(examples, run.others.hashes),
        run.inputs.lines,
        [list(run.latents.mean[i].shape) for i in images],
        run.sd.hash,
        run.sd.clip_skip,
        run.sd.prediction,
        run.sd.other_vae,
        *settings.evaluation_values(),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def evaluate(run: Run, evaluation: Evaluation) -> None:
    """Measure the step just done and log it; nothing of the training is touched."""
    losses = [
        round(loss, 6) for loss in losses_of(run, evaluation.images)
    ]  # as they are kept, so that a resumed run compares the same numbers
    if not all(math.isfinite(loss) for loss in losses):
        run.log(Notice(f"The evaluation of step {run.step} broke down (a number grew too large), so it is left out."))
        return
    evaluation.history[run.step] = losses
    best = best_step(evaluation.history)
    norm = float(
        next(iter(run.shown.values())).norm(dim=1).max()
    )  # of the first text encoder: its words are those of `usual_lengths`
    run.log(
        Evaluated(run.step, sum(losses) / len(losses), norm, best, losses, evaluation.usual_lengths, evaluation.inputs)
    )


@torch.no_grad()
def losses_of(run: Run, images: list[int]) -> list[float]:
    """The loss on each input; raises Interrupted between two micro-batches. Image i with the i-th of evenly spread
    timesteps, in mixed order, and noise of its own.
    """
    sd, count = run.sd, len(images)
    generator = generator_for(run.settings.seed, "evaluation", 0)
    timesteps = (
        ((torch.arange(count) + 0.5) / count * len(sd.signal))
        .long()[torch.randperm(count, generator=generator)]
        .to(sd.device)
    )
    clean = [run.latents.mean[i] for i in images]
    noise = [torch.randn(one.shape, generator=generator).to(sd.device) for one in clean]
    prompts = [
        build_prompt(
            run.inputs.lines[i % len(run.inputs.lines)],
            run.inputs.examples[image].caption,
            run.name,
            prompt_random(0, 0, i),
            False,
            0.0,
        )
        for i, image in enumerate(images)
    ]
    told = PromptEncoder(sd).encode(prompts, run.words(run.shown))
    losses = torch.zeros(count)
    for part in parts_of_one_shape(clean, run.micro_batch):
        if run.stop.is_set():
            raise Interrupted
        x, e, t = torch.stack([clean[i] for i in part]), torch.stack([noise[i] for i in part]), timesteps[part]
        sizes = torch.tensor([run.latents.sizes[images[i]] for i in part], device=sd.device)
        predicted = sd.predict(add_noise(x, e, t, sd.signal), t, told[part], sizes)
        weight = torch.stack([run.latents.weight[images[i]] for i in part])
        losses[part] = squared_error(predicted, target_of(sd.prediction_type, x, e, t, sd.signal), weight).cpu()
    return losses.tolist()
