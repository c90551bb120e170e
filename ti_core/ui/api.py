"""What the page does, for programs: gradio's API and, with --mcp, tools for assistants. Plain names, and the
settings' own parameters.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.checkpoints.library import find_checkpoints
from ti_core.embeddings.folder import find_embeddings
from ti_core.errors import UserError
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.view import queue_rows
from ti_core.program.control import PICTURE, SAVE
from ti_core.runs.folder import find_runs
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import current_user, read_only

ORDERS = {
    kind.api_name: (name, f"Put a job into the line of jobs: {kind.help}.")
    for name, kind in KINDS.items()
    if kind.api_name
}
"""Name in the API -> kind of job, and what it does. All return the job's id at once; `status` tells how it goes."""
SCALARS = ("id", "kind", "title", "owner", "state", "text", "plan", "done", "total", "result", "quiet_s", "answers")


def build_api(context: AppContext) -> list[str]:
    """Call inside gr.Blocks before the buttons are wired: gradio gives names to whoever comes first. Returns the
    names.
    """
    functions: list[tuple[str, Callable[..., Any]]] = [
        *(
            (name, _clear_errors(_ordering(context, name, kind, text), context))
            for name, (kind, text) in ORDERS.items()
        ),
        *(
            (_plain_name(function), read_only(_bound(function, context)))
            for function in (_status, _line, _embeddings, _checkpoints, _runs)
        ),
        *(
            (_plain_name(function), _bound(function, context))
            for function in (_interrupt, _picture_now, _save_now, _cancel, _move_up, _again, _use_step)
        ),
    ]
    for name, function in functions:
        gr.api(function, api_name=name, queue=False)
    return [name for name, _ in functions]


def _plain_name(function: Callable[..., Any]) -> str:
    return function.__name__.strip("_")


def _ordering(context: AppContext, name: str, kind: str, text: str) -> Callable[..., str]:
    """A function with one parameter for each setting: gradio, its clients and assistants read names, types,
    defaults and help from it.
    """
    settings = KINDS[kind].settings
    options = settings.options()

    parameters = [
        inspect.Parameter(
            key,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if options[key].required and default == "" else default,
            annotation=type(default),
        )
        for key, default in settings.defaults().items()
    ]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    def order(*given: Any, **named: Any) -> str:
        values = {parameter.name: value for parameter, value in zip(parameters, given, strict=False)} | named
        return context.order(kind, settings.from_dict(values))

    helps = [f"    {key}: {option.label}. {option.help}" for key, option in options.items()]
    doc = "\n".join([text, "", "Args:", *helps, "", "Returns:", "    The job's id."])
    return _described(order, name, doc, inspect.Signature(parameters, return_annotation=str))


def _described(
    function: Callable[..., Any], name: str, doc: str | None, signature: inspect.Signature
) -> Callable[..., Any]:
    """The function as gradio should see it."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {key: p.annotation for key, p in signature.parameters.items()} | {
        "return": signature.return_annotation
    }
    return function


def _bound(function: Callable[..., Any], context: AppContext) -> Callable[..., Any]:
    """The function without its first parameter, which is given here."""
    signature = inspect.signature(function, eval_str=True)

    def call(*given: Any, **named: Any) -> Any:
        return function(context, *given, **named)

    signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return _clear_errors(_described(call, _plain_name(function), function.__doc__, signature), context)


def _clear_errors(function: Callable[..., Any], context: AppContext) -> Callable[..., Any]:
    """A UserError reaches the caller with its sentence, and without the server's folders."""

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except UserError as error:
            raise gr.Error(context.workspace.without_paths(str(error)), print_exception=False) from None

    return call


# ---- what they do; the docstrings are what programs and assistants read (gradio knows dict, and not dict[str, Any])


def _status(context: AppContext, job: str = "") -> dict:
    """How a job is doing: state (waiting, running, finished, interrupted, failed, cancelled), step and number of
    steps, loss, text, files; quiet_s, the seconds without news (0 below 20), and answers, whether its process is
    still heard.

    Args:
        job: the job's id; empty means the running one, else the latest
    """
    found = context.jobs.get(job) if job else context.jobs.shown_job()
    if found is None:
        if job:
            raise UserError(f"There is no job '{job[:60]}'.", "Ask for the line to see those that there are.")
        return {"state": "idle"}
    answer: dict[str, Any] = {name: getattr(found, name) for name in SCALARS}
    answer["loss"] = found.curve[-1][1] if found.curve else None
    answer["notices"] = [context.workspace.without_paths(text) for text in found.notices]
    answer["files"] = {Path(file).name: url for file in found.files[:12] if (url := context.url(file, found.id))}
    return {
        key: context.workspace.without_paths(value) if isinstance(value, str) else value
        for key, value in answer.items()
    }


def _line(context: AppContext) -> list:
    """The jobs: the running one, those that wait in their order, and the latest ended ones."""
    return queue_rows(context.jobs)


def _embeddings(context: AppContext) -> list:
    """Names of the embeddings that can be trained."""
    return find_embeddings(context.workspace)


def _checkpoints(context: AppContext) -> list:
    """Titles of the checkpoints, as the setting checkpoint takes them."""
    return [checkpoint.title for checkpoint in find_checkpoints(context.workspace)]


def _runs(context: AppContext) -> list:
    """Folders of the trainings that hold copies of their steps, the newest first."""
    return find_runs(context.workspace)


def _use_step(context: AppContext, run: str, step: int) -> str:
    """Put a step of a training in the place of its embedding; the former file is kept as a numbered backup. Returns
    a sentence.

    Args:
        run: the run's folder, as runs gives it
        step: a step that the run holds a copy of
    """
    return context.use_step(context.workspace.folder(run, "Run"), int(step))


def _interrupt(context: AppContext) -> str:
    """Stop the running job after its current step; what is trained is saved."""
    return context.jobs.interrupt()


def _picture_now(context: AppContext, job: str) -> str:
    """Have a running training paint a preview when the step under way is done; the training itself is not changed by
    it. Returns a sentence.

    Args:
        job: the job's id
    """
    return context.jobs.ask(job, PICTURE)


def _save_now(context: AppContext, job: str) -> str:
    """Have a running training save a copy of its embedding when the step under way is done; the training itself is
    not changed by it. Returns a sentence.

    Args:
        job: the job's id
    """
    return context.jobs.ask(job, SAVE)


def _cancel(context: AppContext, job: str) -> str:
    """Take a waiting job out of the line, or stop a running one.

    Args:
        job: the job's id
    """
    return context.jobs.cancel(job)


def _move_up(context: AppContext, job: str) -> str:
    """Let a waiting job change places with the one before it.

    Args:
        job: the job's id
    """
    return context.jobs.move_up(job)


def _again(context: AppContext, job: str) -> str:
    """Put a job with the same settings into the line; returns the new job's id.

    Args:
        job: the id of the job to repeat
    """
    return context.jobs.again(job, current_user().name).id
