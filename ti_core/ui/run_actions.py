"""What the buttons of a run on disk do: resume it, rename it, put it into the bin and take it back, empty the bin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ti_core.embeddings.folder import find_embedding
from ti_core.embeddings.names import known_name, new_embedding_name
from ti_core.errors import UserError
from ti_core.events import Emit, Finished, Progress
from ti_core.models.vocabulary import repair_norm
from ti_core.runs.bin import empty_bin, put_into_bin, rename_run, take_back
from ti_core.runs.folder import saved_settings
from ti_core.settings import ResumeSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import check_may_train


def change_run(context: AppContext, asked: Any) -> dict[str, str]:
    """Do to a run what a button asks for. Gives a sentence for the page, also where it is refused, and the run's folder
    as it is called now. What is asked comes from outside, so it may be anything.
    """
    wish = asked if isinstance(asked, dict) else {}
    run, action, name = (str(wish.get(key, "")) for key in ("run", "action", "name"))
    try:
        check_may_train()
        message, now = _done(context, run, action, name)
    except UserError as error:
        message, now = str(error), run
    return {"message": context.workspace.without_paths(message), "run": now}


def _done(context: AppContext, run: str, action: str, name: str) -> tuple[str, str]:
    workspace = context.workspace
    match action:
        case "repair":
            return _repair(context, run), run
        case "resume":
            listed = context.runs.find(run)
            if not listed.can_resume:
                raise UserError(f"'{listed.name}' has nothing to resume.", "Train on takes it further.")
            job = context.order("resume", ResumeSettings(listed.run))
            return f"In the line: {context.jobs.table.find(job).title}.", run
        case "rename":
            new = _moved(context, run, lambda folder: rename_run(folder, name, workspace), is_gone=False)
            shown = workspace.shown(new)
            cleaned = "" if new.name == name.strip() else " A name has no letters that a file cannot have."
            return f"Renamed: it is called '{new.name}' now.{cleaned}", shown
        case "delete":
            new = _moved(context, run, lambda folder: put_into_bin(folder, workspace), is_gone=True)
            return f"In the bin: '{new.name}'. Restore brings it back.", ""
        case "restore":
            new = take_back(run, workspace)
            context.runs.refresh()
            return f"Restored: {workspace.shown(new)}.", workspace.shown(new)
        case "empty":
            count = empty_bin(workspace)
            message = "1 run was deleted for ever." if count == 1 else f"{count} runs were deleted for ever."
            return message, ""
    raise UserError("There is no such button.")


def _moved(context: AppContext, run: str, move: Callable[[Path], Path], is_gone: bool) -> Path:
    folder = context.runs.find(run).folder
    new = context.jobs.move_run(run, lambda: move(folder), is_gone)
    context.runs.refresh()
    return new


def _repair(context: AppContext, run: str) -> str:
    """Order a copy of the run's embedding that is as strong as its checkpoint's own words; a sentence."""
    workspace, folder = context.workspace, context.runs.find(run).folder
    settings = saved_settings(folder).settings
    file = find_embedding(known_name(settings.embedding, workspace), workspace)
    if file is None:
        raise UserError(f"'{settings.embedding}' is not in embeddings/ any more.", "Press Use this step first.")
    made = new_embedding_name(f"{file.stem}-repaired", workspace)

    def work(emit: Emit, stop: threading.Event) -> None:
        emit(Progress("Reading the checkpoint's words", 0, 1))
        path = repair_norm(file.name, made, settings.checkpoint, workspace)
        emit(Finished(f"Saved: {workspace.shown(path)}", files=(str(path),)))

    context.submit("embeddings", f"Repair the norm of {file.stem}", work, result=made)
    return f"In the line: a copy of '{file.stem}' that is no stronger than other words. It will be called '{made}'."
