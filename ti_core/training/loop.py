"""The training loop: all families go through it. Only the vectors of the embedding are a parameter; the checkpoint
is frozen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ti_core.embeddings.formats import save_embedding
from ti_core.errors import Interrupted, shown_number
from ti_core.events import EmbeddingSaved, Emit, Event, Finished, Notice, StepDone
from ti_core.models.device import count_devices
from ti_core.program.control import PICTURE, SAVE, wishes_of
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.training.checks import check_resume
from ti_core.training.compiled import try_compiled
from ti_core.training.distributed.launcher import is_launched, train_on_several
from ti_core.training.distributed.ranks import Ranks, RanksLost
from ti_core.training.evaluate import Evaluation, evaluate, plan_evaluation
from ti_core.training.norms import move_average
from ti_core.training.opening import open_run
from ti_core.training.optimizer_state import keeps_optimizer, load_state, save_state, state_of
from ti_core.training.run import Run
from ti_core.training.run_state import RunState, load_run_state, save_run_state
from ti_core.training.snapshots import advise_interval, save_preview, save_start
from ti_core.training.update import NotFinite, check_moved, clip_gradient, copy_of, take_gradient, take_step
from ti_core.workspace import Workspace

STATE_EVERY_STEPS, STATE_EVERY_S = 5, 20.0
"""At least so often, and with every copy and preview, the run's state is saved. It is written while the loop goes
on, and the one before it is waited for: no more than twice this is lost when the power fails, however slow the
disk.
"""


def train(settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """Train an embedding and save it in embeddings/; the one entry for page, command line and tests.

    Interrupt saves and ends as Finished(interrupted=True). Raises UserError, with the embedding's last file intact,
    on bad settings, a damaged checkpoint, a full disk, a folder that went away, or vectors that stay put. When the
    numbers stop being finite in spite of lower rates, the last good vectors are saved before the error.
    """
    if settings.gpus > 1 and not is_launched():
        train_on_several(settings, workspace, emit, stop)
    else:
        _train(settings, workspace, emit, stop)


def resume(asked: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    """Go on with a run that was interrupted or killed; on a CPU the result is bit for bit that of an unbroken run.
    Raises like `train`.
    """
    saved = load_run_state(check_resume(asked, workspace))
    # it may be another computer
    saved = replace(saved, settings=replace(saved.settings, gpus=min(saved.settings.gpus, count_devices())))
    if saved.settings.gpus > 1 and not is_launched():
        train_on_several(saved.settings, workspace, emit, stop, asked.run_folder)
    else:
        _train(saved.settings, workspace, emit, stop, saved)


def _train(
    settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, saved: RunState | None = None
) -> None:
    ranks = Ranks()
    if not ranks.is_first:
        emit = _tell_nobody
    try:
        run = open_run(settings, workspace, ranks, emit, stop, saved)
    except Interrupted:
        ranks.sync_stop(stopped=True)
        raise
    ranks.sync_stop(stopped=False)
    target = workspace.embeddings / f"{run.name}{run.inputs.suffix}"
    with run.log, run.writer:
        run.log(run.started)
        state, is_trained_on = run.state, run.state.step and keeps_optimizer(run.settings) and not saved
        if is_trained_on and not load_state(target, state.vectors, state.optimizer):
            run.log(
                Notice(
                    f"The .optim file that lets {target.name} go on exactly is missing or belongs to another state of"
                    " it. The training goes on; its first steps may jump a little."
                )
            )
        _train_and_save(run, target, workspace)


def _tell_nobody(event: Event) -> None:
    """The events of all processes but the first."""


def _train_and_save(run: Run, target: Path, workspace: Workspace) -> None:
    rate, ends = run.inputs.schedule.pieces[-1]
    if ends < run.settings.steps:
        run.log(
            Notice(
                f"The learning rates end at step {shown_number(ends)}; the last one, {shown_number(rate)}, goes on"
                f" until step {run.settings.steps}."
            )
        )
    evaluation, interrupted = plan_evaluation(run), False
    try:
        _train_steps(run, evaluation)
    except Interrupted:
        interrupted = True
    except NotFinite:
        _save(run, target)
        run.ranks.wait()
        raise
    except RanksLost as error:  # the update under way had changed nothing yet
        if not run.ranks.is_first:
            raise
        _save(run, target)
        raise error.with_state(run.state.step, workspace.shown(run.folder.root)) from error
    if run.state.step < run.settings.steps:
        run.ranks.stop_all(run.state.vectors)
    _save(run, target)
    run.log(EmbeddingSaved(run.state.step, str(target)))
    verb = "interrupted" if interrupted else "finished"
    run.log(
        Finished(
            f"Training {verb} at {run.state.step} steps. Embedding saved to"
            f" {workspace.shown(target)}.{evaluation.sentence()}",
            interrupted,
            (str(target),),
        )
    )


def _save(run: Run, target: Path) -> None:
    if not run.ranks.is_first:
        return
    save_run_state(run)
    run.writer.finish()
    save_embedding(target, run.embedding())
    if keeps_optimizer(run.settings):
        save_state(target, state_of(run.state.vectors, run.state.optimizer, run.state.average))


def _train_steps(run: Run, evaluation: Evaluation) -> None:
    settings, plan, state = run.settings, run.inputs.plan, run.state
    vectors_before = copy_of(state.vectors)
    # Interrupt may have come while the last step was evaluated
    if evaluation.history and evaluation.is_due(state.step) and state.step not in evaluation.history:
        evaluate(run, evaluation)
    saving, saved_step, saved_s = save_run_state(run), state.step, time.monotonic()
    save_start(run)

    for step in range(plan.first_step + 1, plan.steps + 1):
        done = _update(run, step, vectors_before)

        # Copy, evaluation, preview
        wishes = wishes_of(run.stop)
        copy_due = _is_due(settings.save_every, step) or SAVE in wishes
        preview_due = _is_due(settings.image_every, step) or PICTURE in wishes
        if copy_due:
            _save_copy(run)
        if evaluation.is_due(step):
            evaluate(run, evaluation)
        if preview_due:
            _save_preview(run, done)

        # The state to resume from, after all that it counts
        is_long_ago = step - saved_step >= STATE_EVERY_STEPS or time.monotonic() - saved_s > STATE_EVERY_S
        if copy_due or preview_due or is_long_ago:
            saving.result()
            saving, saved_step, saved_s = save_run_state(run), step, time.monotonic()

        # Early stop
        if step < plan.steps and evaluation.is_due(step) and evaluation.should_stop(settings.early_stop):
            run.log(
                Notice(f"Stopped early at step {step}: nothing has improved for {settings.early_stop} evaluations.")
            )
            break


def _is_due(every: int, step: int) -> bool:
    return bool(every) and step % every == 0


@dataclass(frozen=True)
class _Update:
    """One of its prompts, and how long it took: 0 where the vectors did not move, because numbers were not finite."""

    prompt: str
    elapsed_s: float


def _update(run: Run, step: int, vectors_before: dict[str, Tensor]) -> _Update:
    """Update `step` of the vectors. Raises Interrupted, NotFinite, and UserError where the first one moved nothing."""
    plan, state = run.inputs.plan, run.state
    began = time.perf_counter()
    # Rate
    rate = run.inputs.schedule.rate_at(step) * state.rate_factor
    for group in state.optimizer.param_groups:
        group["lr"] = rate

    # Gradient and update
    loss, prompt = take_gradient(run, step)
    clip_gradient(run, step)
    run.norms.turn_only(state.vectors)
    stepped = take_step(run, step, loss, rate)
    state.step = step
    if not stepped:
        return _Update(prompt, 0.0)
    check_moved(run, vectors_before, rate)
    run.norms.hold(state.vectors)
    move_average(state.average, state.vectors, run.settings.average_decay, step)
    elapsed_s = time.perf_counter() - began
    run.log(StepDone(step, loss, rate, prompt, elapsed_s))
    if step == plan.first_step + 2:  # the first update has warmed up, the second tells the pace
        try_compiled(run, elapsed_s * (plan.steps - step))
    return _Update(prompt, elapsed_s)


def _save_preview(run: Run, done: _Update) -> None:
    """The preview of the update; the first of those every N steps tells how long they take."""
    plan, step, every = run.inputs.plan, run.state.step, run.settings.image_every
    began = time.perf_counter()
    save_preview(run, done.prompt)
    preview_s = time.perf_counter() - began
    if (
        done.elapsed_s
        and _is_due(every, step)
        and step - plan.first_step <= every
        and (advice := advise_interval(preview_s, done.elapsed_s, every, plan.steps - step))
    ):
        run.log(Notice(advice))


def _save_copy(run: Run) -> None:
    copy, step, state = run.folder.copy(run.state.step), run.state.step, run.state
    embedding = run.embedding(copy.stem)
    is_kept = keeps_optimizer(run.settings)
    optimizer_state = state_of(state.vectors, state.optimizer, state.average) if is_kept else None

    def write() -> None:
        run.folder.check_there()
        run.log(EmbeddingSaved(step, str(save_embedding(copy, embedding))))
        if optimizer_state:
            save_state(copy, optimizer_state)

    run.writer.put(write)
