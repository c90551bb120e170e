"""The training loop: all families go through it. Only the vectors of the embedding are a parameter; the checkpoint is frozen."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ti_core.embeddings.formats import save_embedding
from ti_core.errors import Interrupted
from ti_core.events import EmbeddingSaved, Emit, Event, Finished, Notice, Progress, StepDone
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.warm import warm_checkpoint
from ti_core.settings import TrainSettings
from ti_core.training.compiled import try_compiled
from ti_core.training.evaluate import Evaluation, evaluate, plan_evaluation
from ti_core.training.norms import move_average
from ti_core.training.run import Run, begin_run
from ti_core.training.setup import prepare
from ti_core.training.snapshots import save_preview
from ti_core.training.state import load_state, save_state
from ti_core.training.together import Together
from ti_core.training.update import check_vectors, clip_gradient, copy_of, take_gradient
from ti_core.workspace import Workspace


def train(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """Train an embedding and save it in embeddings/; the one entry for page, command line and tests.

    Interrupt saves and ends as Finished(interrupted=True). Raises UserError, with the embedding's last file intact, on bad settings,
    a damaged checkpoint, a full disk, or vectors that stay put or stop being finite.
    """
    together = Together()
    if not together.is_first:
        emit = _tell_nobody
    emit(Progress("Checking the settings and the pictures", 0, 1))
    inputs = prepare(settings, workspace, emit, stop)
    if not together.is_first:
        settings, inputs = together.silent(settings, inputs)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    run = begin_run(settings, inputs, sd, together, emit, stop)
    with run.log:
        _train_and_save(run, workspace.embeddings / f"{run.name}{inputs.suffix}", workspace)


def _tell_nobody(event: Event) -> None:
    """The events of all processes but the first."""


def _train_and_save(run: Run, target: Path, workspace: Workspace) -> None:
    keeps_state = run.settings.save_optimizer_state
    run.log(run.started)
    if run.step and keeps_state and not load_state(target, run.vectors, run.optimizer):
        run.log(Notice(f"There is no optimizer state of exactly this {target.name}, so the optimizer starts anew; the first steps may jump a little."))
    rate, ends = run.inputs.schedule.pieces[-1]
    if ends < run.settings.steps:
        run.log(Notice(f"The learning rates end at step {ends:g}; the last one, {rate:g}, goes on until step {run.settings.steps}."))
    evaluation = plan_evaluation(run)
    try:
        _train_steps(run, evaluation)
        interrupted = False
    except Interrupted:
        interrupted = True
    if run.step < run.settings.steps:
        run.together.leave(run.vectors)
    if not run.together.is_first:
        return
    save_embedding(target, run.embedding())
    if keeps_state:
        save_state(target, run.vectors, run.optimizer, run.average)
    run.log(EmbeddingSaved(run.step, str(target)))
    verb = "interrupted" if interrupted else "finished"
    run.log(Finished(f"Training {verb} at {run.step} steps. Embedding saved to {workspace.shown(target)}.{evaluation.sentence()}", interrupted, (str(target),)))


def _train_steps(run: Run, evaluation: Evaluation) -> None:
    settings, plan = run.settings, run.inputs.plan
    good = copy_of(run.vectors)
    for step in range(plan.first_step + 1, plan.steps + 1):
        began = time.perf_counter()
        rate = run.inputs.schedule.rate_at(step)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, prompt = take_gradient(run, step)
        clip_gradient(run, step)
        run.norms.turn_only(run.vectors)
        run.optimizer.step()
        check_vectors(run, good, step)
        run.norms.hold(run.vectors)
        move_average(run.average, run.vectors, settings.average_decay, step)
        good, run.step = copy_of(run.vectors), step
        elapsed_s = time.perf_counter() - began
        run.log(StepDone(step, loss, rate, prompt, elapsed_s))
        if settings.save_every and step % settings.save_every == 0:
            copy = run.folder.copy(step)
            run.log(EmbeddingSaved(step, str(save_embedding(copy, run.embedding(copy.stem)))))
            if settings.save_optimizer_state:
                save_state(copy, run.vectors, run.optimizer, run.average)
        if evaluation.is_due(step):
            evaluate(run, evaluation)
        if settings.image_every and step % settings.image_every == 0:
            save_preview(run, prompt)
        if step == plan.first_step + 2:  # the first update has warmed up, the second tells the pace
            try_compiled(run, elapsed_s * (plan.steps - step))
        if step < plan.steps and evaluation.is_due(step) and evaluation.should_stop(settings.early_stop):
            run.log(Notice(f"Stopped early at step {step}: nothing has improved for {settings.early_stop} evaluations."))
            break
