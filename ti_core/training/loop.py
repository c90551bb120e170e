"""The training loop: all families go through it. Only the vectors of the embedding are a parameter; the checkpoint
is frozen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from ti_core.checkpoints.library import find_usable_checkpoint
from ti_core.embeddings.formats import save_embedding
from ti_core.embeddings.named_in import named_in
from ti_core.errors import Interrupted, shown_number
from ti_core.events import EmbeddingSaved, Emit, Event, Finished, Notice, Progress, StepDone
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.device import count_devices
from ti_core.models.warm import warm_checkpoint
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.training.checks import check_resume
from ti_core.training.compiled import try_compiled
from ti_core.training.distributed.launcher import is_launched, train_on_several
from ti_core.training.distributed.ranks import Together
from ti_core.training.evaluate import Evaluation, evaluate, plan_evaluation
from ti_core.training.norms import move_average
from ti_core.training.optimizer_state import load_state, save_state, state_of
from ti_core.training.run import Run, begin_run
from ti_core.training.run_state import RunState, load_run_state, save_run_state
from ti_core.training.setup import as_begun, prepare
from ti_core.training.snapshots import advise_interval, prompt_of_run, save_preview
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
    saved = replace(
        saved, settings=replace(saved.settings, gpus=min(saved.settings.gpus, count_devices()))
    )  # it may be another computer
    if saved.settings.gpus > 1 and not is_launched():
        train_on_several(saved.settings, workspace, emit, stop, asked.run_folder)
    else:
        _train(saved.settings, workspace, emit, stop, saved)


def _train(
    settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, saved: RunState | None = None
) -> None:
    together = Together()
    if not together.is_first:
        emit = _tell_nobody
    try:
        run = _begin(settings, workspace, emit, stop, saved, together)
    except Interrupted:
        together.meet(stopped=True)
        raise
    together.meet(stopped=False)
    settings, target = run.settings, workspace.embeddings / f"{run.name}{run.inputs.suffix}"
    with run.log, run.writer:
        run.log(run.started)
        if (
            run.step
            and settings.save_optimizer_state
            and not saved
            and not load_state(target, run.vectors, run.optimizer)
        ):
            run.log(
                Notice(
                    f"The .optim file that lets {target.name} go on exactly is missing or belongs to another state of"
                    " it. The training goes on; its first steps may jump a little."
                )
            )
        _train_and_save(run, target, workspace)


def _begin(
    settings: TrainSettings,
    workspace: Workspace,
    emit: Emit,
    stop: threading.Event,
    saved: RunState | None,
    together: Together,
) -> Run:
    emit(Progress("Checking the settings and the pictures", 0, 1))
    if saved:
        settings = as_begun(settings, find_usable_checkpoint(settings.checkpoint, workspace), saved.prediction, emit)
    inputs = prepare(settings, workspace, emit, stop, saved.embedding if saved else None)
    if not together.is_first:
        settings, inputs = together.silent(settings, inputs)
    emit(Progress(f"Loading {settings.checkpoint}", 0, 1))
    sd = warm_checkpoint(settings.checkpoint, workspace, LoadOptions.of(settings), emit)
    kept_prompt = saved.preview_prompt if saved else ""
    texts = [
        settings.preview_prompt,
        settings.preview_negative_prompt,
        kept_prompt,
        *inputs.lines,
        *(example.caption for example in inputs.examples),
    ]
    others = named_in(texts, workspace, sd.widths, own=inputs.embedding.name)
    run = begin_run(settings, inputs, sd, together, others, emit, stop, saved)
    run.preview_prompt = kept_prompt or prompt_of_run(run)
    return run


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
        run.together.wait()
        raise
    if run.step < run.settings.steps:
        run.together.leave(run.vectors)
    _save(run, target)
    run.log(EmbeddingSaved(run.step, str(target)))
    verb = "interrupted" if interrupted else "finished"
    run.log(
        Finished(
            f"Training {verb} at {run.step} steps. Embedding saved to"
            f" {workspace.shown(target)}.{evaluation.sentence()}",
            interrupted,
            (str(target),),
        )
    )


def _save(run: Run, target: Path) -> None:
    if not run.together.is_first:
        return
    save_run_state(run)
    run.writer.finish()
    save_embedding(target, run.embedding())
    if run.settings.save_optimizer_state:
        save_state(target, state_of(run.vectors, run.optimizer, run.average))


def _train_steps(run: Run, evaluation: Evaluation) -> None:
    settings, plan = run.settings, run.inputs.plan
    at_first = copy_of(run.vectors)
    if (
        evaluation.history and evaluation.is_due(run.step) and run.step not in evaluation.history
    ):  # Interrupt came while it was done
        evaluate(run, evaluation)
    saving, saved_step, saved_s = save_run_state(run), run.step, time.monotonic()
    for step in range(plan.first_step + 1, plan.steps + 1):
        began = time.perf_counter()
        rate = run.inputs.schedule.rate_at(step) * run.rate_factor
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, prompt = take_gradient(run, step)
        clip_gradient(run, step)
        run.norms.turn_only(run.vectors)
        is_good = take_step(run, step, loss, rate)
        run.step = step
        if is_good:
            check_moved(run, at_first, rate)
            run.norms.hold(run.vectors)
            move_average(run.average, run.vectors, settings.average_decay, step)
            elapsed_s = time.perf_counter() - began
            run.log(StepDone(step, loss, rate, prompt, elapsed_s))
            if step == plan.first_step + 2:  # the first update has warmed up, the second tells the pace
                try_compiled(run, elapsed_s * (plan.steps - step))
        copies, paints = (every and step % every == 0 for every in (settings.save_every, settings.image_every))
        if copies:
            _save_copy(run)
        if evaluation.is_due(step):
            evaluate(run, evaluation)
        if paints:
            painting = time.perf_counter()
            save_preview(run, prompt)
            if is_good and step - plan.first_step <= settings.image_every:  # the first one tells how long they take
                advice = advise_interval(
                    time.perf_counter() - painting, elapsed_s, settings.image_every, plan.steps - step
                )
                if advice:
                    run.log(Notice(advice))
        if copies or paints or step - saved_step >= STATE_EVERY_STEPS or time.monotonic() - saved_s > STATE_EVERY_S:
            saving.result()
            saving, saved_step, saved_s = save_run_state(run), step, time.monotonic()
        if step < plan.steps and evaluation.is_due(step) and evaluation.should_stop(settings.early_stop):
            run.log(
                Notice(f"Stopped early at step {step}: nothing has improved for {settings.early_stop} evaluations.")
            )
            break


def _save_copy(run: Run) -> None:
    copy, step = run.folder.copy(run.step), run.step
    embedding, optimizer_state = (
        run.embedding(copy.stem),
        state_of(run.vectors, run.optimizer, run.average) if run.settings.save_optimizer_state else None,
    )

    def write() -> None:
        run.folder.check_there()
        run.log(EmbeddingSaved(step, str(save_embedding(copy, embedding))))
        if optimizer_state:
            save_state(copy, optimizer_state)

    run.writer.put(write)
