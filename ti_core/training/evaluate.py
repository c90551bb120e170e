"""A measure that means something: always on the same pictures, prompts, noise and timesteps, so that only the
vectors can change it. Likeness is the loss on pictures of the word, obedience what other words still do beside it.

The training's own loss is another task at each step, and its noise hides what is learned (DVAR, arXiv 2302.04841).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ti_core.errors import Interrupted, TooLittleMemory
from ti_core.events import Evaluated, Notice
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.transfer import to_device
from ti_core.runs.best_step import (
    Measured,
    best_step,
    evaluations_without_gain,
    is_news,
    load_history,
    obeys_less_later,
)
from ti_core.settings import WITH_EACH_PREVIEW
from ti_core.settings.prompts import build_prompt
from ti_core.settings.word_kind import ORDINARY
from ti_core.training.kinds.kind import NAME
from ti_core.training.noise_loss import NoisyImages, micro_batches, noise_predict_loss
from ti_core.training.obedience import MOST_PROBES, Probe, effects_of, obedience_of, probes_for
from ti_core.training.room import with_room
from ti_core.training.run import Run
from ti_core.training.run_state import describe_inputs
from ti_core.training.step_inputs import generator_for, prompt_random
from ti_core.training.update import encode_beside

SHARE_OF_TIME = 0.08
FORWARD_COST = 0.55
"""One evaluated input in image passes: a forward pass of the UNet against forward and backward (0.45 measured with
SD1.5, 0.55 with Portraits).
"""
FEWEST, MOST = 14, 60
"""Passes of one evaluation. The fewest are 8 pictures and 3 prompts about other things of 2 passes each: fewer tell
nothing. More than 60 tell no more.
"""
PASSES_PER_PROBE = 4
"""One prompt about another thing for so many passes: it takes two of them, and pictures the others."""
FIRST_COSTS = 0.85
"""What the passes are cut to, because the first evaluation also measures what there is without the word, as much
again: in six evaluations both are within SHARE_OF_TIME.
"""
OVERTRAINED = "later steps are no better and obey less"


@dataclass(frozen=True)
class Baseline:
    """What the checkpoint does without the word: the loss on each input, and the effect of each probe's thing."""

    losses: list[float]
    effects: list[Tensor]


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
    history: dict[int, Measured] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)
    baseline: Baseline | None = None
    """Measured at the first evaluation of a process, always the same."""

    @functools.cached_property
    def inputs(self) -> str:
        """A sign of what is measured, by which an earlier part of the run is known to have measured the same."""
        return self.sign()

    def is_due(self, step: int) -> bool:
        """Whether the step is evaluated."""
        return bool(self.every) and step % self.every == 0

    def sentence(self) -> str:
        """What came of it, for the end of a run."""
        if not self.history:
            return ""
        warning = f" {OVERTRAINED.capitalize()}." if obeys_less_later(self.history) else ""
        return f" Best step by the evaluation: {best_step(self.history)}.{warning}"

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
    per_step = plan.images_per_step * SHARE_OF_TIME * FIRST_COSTS / FORWARD_COST
    affordable = asked * per_step
    every = asked * -int(-FEWEST // max(affordable, FEWEST / 1000)) if affordable < FEWEST else asked
    passes = int(min(MOST, every * per_step))
    probes = min(MOST_PROBES, passes // PASSES_PER_PROBE)
    count = passes - 2 * probes

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
    found = probes_for(run.inputs.lines, images, probes, run.kind)
    sign = functools.partial(_sign_of, run, images, found)
    evaluation = Evaluation(every, images, run.norms.usual, sign, probes=found)
    if run.state.step:
        evaluation.history = {
            step: found
            for step, found in load_history(run.folder.events_file, evaluation.inputs).items()
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


def _sign_of(run: Run, images: list[int], probes: list[Probe]) -> str:
    """12 hex digits that change with everything that decides about the measures but the vectors."""
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
        [[probe.asking, probe.plain, probe.image] for probe in probes],
        *([settings.kind_values()] if run.kind.word.kind != ORDINARY else []),
    ]
    return hashlib.sha256(json.dumps(measured).encode()).hexdigest()[:12]


def _measured(run: Run, evaluation: Evaluation) -> Measured:
    """The vectors as they are now, with fewer pictures at once where memory runs out. Raises TooLittleMemory."""
    if evaluation.baseline is None:
        evaluation.baseline = with_room(
            run,
            lambda: Baseline(
                losses_of(run, evaluation.images, with_word=False), effects_of(run, evaluation.probes, None)
            ),
        )
    baseline = evaluation.baseline

    def obedience() -> list[float]:
        return obedience_of(effects_of(run, evaluation.probes, run.state.output_vectors), baseline.effects)

    # rounded as they are kept, so that a resumed run compares the same numbers
    return Measured(
        _rounded(with_room(run, lambda: losses_of(run, evaluation.images))),
        _rounded(baseline.losses),
        _rounded(with_room(run, obedience)),
    )


def evaluate(run: Run, evaluation: Evaluation) -> None:
    """Measure the step just done and log it; nothing of the training is touched."""
    step = run.state.step
    try:
        found = _measured(run, evaluation)
    except TooLittleMemory:
        run.log(Notice(f"The device's memory is too small for the evaluation of step {step}, so it is left out."))
        return
    if not all(math.isfinite(value) for value in (*found.losses, *found.without, *found.obedience)):
        run.log(Notice(f"The evaluation of step {step} broke down (a number grew too large), so it is left out."))
        return
    evaluation.history[step] = found
    best = best_step(evaluation.history)
    # of the first text encoder: `usual_lengths` are those of its words
    norm = float(next(iter(run.state.output_vectors.values())).norm(dim=1).max())
    run.log(
        Evaluated(
            step,
            sum(found.losses) / len(found.losses),
            norm,
            best,
            list(found.losses),
            evaluation.usual_lengths,
            evaluation.inputs,
            list(found.without),
            list(found.obedience),
        )
    )
    if is_news(evaluation.history):
        times = norm / evaluation.usual_lengths[1]
        length = f" The word is {times:.0f} times as long as the longest usual ones." if times >= 2 else ""
        run.log(Notice(f"Step {best} is the best so far: {OVERTRAINED}.{length}"))


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 6) for value in values]


@torch.no_grad()
def losses_of(run: Run, images: list[int], with_word: bool = True) -> list[float]:
    """The loss on each input, or that of the same prompts without the word; raises Interrupted between two
    micro-batches. Image i has the i-th of evenly spread timesteps, in mixed order, and noise of its own, the same at
    every evaluation.
    """
    sd, latents, count = run.sd, run.latents, len(images)
    generator = generator_for(run.settings.seed, "evaluation", 0)
    evenly_spread = ((torch.arange(count) + 0.5) / count * len(sd.alphas_cumprod)).long()
    timesteps = evenly_spread[torch.randperm(count, generator=generator)]
    clean = [latents.mean[i] for i in images]
    noise = [torch.randn(one.shape, generator=generator) for one in clean]
    timesteps, sizes = to_device([timesteps, torch.tensor([latents.sizes[i] for i in images])], sd.device)
    noisy = NoisyImages(
        clean=clean,
        noise=to_device(noise, sd.device),
        timesteps=timesteps,
        sizes=sizes,
        weight=[latents.weight[i] for i in images],
    )
    drawn = [_prompt_of(run, index, image) for index, image in enumerate(images)]
    asked = run.kind.ask(drawn, run.name, lambda index: random.Random(f"evaluation {index}"))
    compare = partial(run.kind.compare, beside=encode_beside(run, asked))
    asked = asked if with_word else run.kind.ask_without(asked, drawn)
    vectors = run.prompt_vectors(run.state.output_vectors) if with_word else run.others.vectors
    conditioning = PromptEncoder(sd).encode(asked.trained, vectors, emphasis=asked.emphasis)
    losses = torch.zeros(count, device=sd.device)  # read once, at the end
    for batch in micro_batches(noisy, run.memory.micro_batch):
        if run.stop.is_set():
            raise Interrupted
        losses[batch.rows] = noise_predict_loss(sd, noisy, batch, conditioning, compare)
    return losses.tolist()


def _prompt_of(run: Run, index: int, image: int) -> str:
    """The template's lines in turn, each with a whole caption of the image; [name] still stands in it."""
    lines, captions = run.inputs.lines, run.inputs.examples[image].captions
    line, caption = lines[index % len(lines)], captions[index % len(captions)]
    return build_prompt(line, caption, NAME, prompt_random(0, 0, index), False, 0.0)
