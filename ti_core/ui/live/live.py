"""What every open page asks for again and again: what is new since its cursor, at an address of our own.

Gradio's way to a function of a component takes longer for the same answer, and copies all components of the page
for whoever asks first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ti_core.jobs.view import Cursor, snapshot
from ti_core.runs.history import files_of_all_steps
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import PHOTO, chosen_step_routes, json_answer
from ti_core.ui.live.run_list import look_at_disk, run_news
from ti_core.ui.server.roles import Person

LIVE, STEPS = "/live", "/live/steps"
STEPS_AT_ONCE = 500
TITLES = ("title", "behind", "holds")


def live_routes(context: AppContext) -> list[Route]:
    """`live?job=...&curve=...` and `live/steps?job=...`; AccessMiddleware has asked for the login before."""

    async def live(request: Request) -> Response:  # async: takes no thread of the pool
        await look_at_disk(context, request.query_params.get("show", ""))
        return json_answer(view(context, request.query_params, request.scope["person"]))

    def steps(request: Request) -> Response:  # not async: it reads folders
        return json_answer(step_files(context, request.query_params))

    own = [Route(LIVE, live, methods=["GET"]), Route(STEPS, steps, methods=["GET"])]
    return [*own, *chosen_step_routes(context)]


def _step_in_use(context: AppContext, job_id: str) -> int:
    job = context.job(job_id)
    return context.in_use.step(job.run_folder, context.workspace) if job else 0


def _count(cursor: Mapping[str, str], name: str) -> int:
    typed = cursor.get(name, "")
    return int(typed) if typed.isdecimal() and len(typed) < 16 else 0


def step_files(context: AppContext, asked: Mapping[str, str]) -> dict[str, Any]:
    """The files of a run's steps from the `first` on, STEPS_AT_ONCE at most: [step, [[kind, name, address], ...]]
    each; and whether there are more.
    """
    job, first = context.job(asked.get("job", "")), _count(asked, "first")
    found = list(files_of_all_steps(context.workspace.root / job.run_folder).items()) if job and job.run_folder else []
    rows = [
        [step, [[kind, path.name, context.url(str(path), asked["job"])] for kind, path in files.items()]]
        for step, files in found[first : first + STEPS_AT_ONCE]
    ]
    return {"steps": rows, "more": first + STEPS_AT_ONCE < len(found)}


def view(context: AppContext, cursor: Mapping[str, str], person: Person) -> dict[str, Any]:
    """The queue's snapshot after a page's cursor, with paths turned into addresses. A cursor comes from outside, so
    it may be anything.
    """
    count = partial(_count, cursor)
    seen = Cursor(
        cursor.get("job", ""),
        count("curve"),
        count("previews"),
        count("notices"),
        count("evaluations"),
        cursor.get("version", ""),
        cursor.get("show", ""),
    )
    shown = snapshot(context.jobs, seen, context.opened.get)
    shown["runs"] = run_news(context, cursor.get("runs", ""), count("most"))
    for answer in shown["tab_answers"]:
        answer["title"], answer["text"] = map(context.workspace.without_paths, (answer["title"], answer["text"]))
        answer["files"] = _files(context, answer["files"], answer["id"])
    for row in (*shown.get("line", ()), *shown["lanes"]):
        row.update({name: context.workspace.without_paths(row[name]) for name in TITLES if name in row})
    shown["you"] = {"name": person.name, "may_train": person.may_train}
    if not shown["job"]:
        return shown
    job = shown["job"]
    shown["stopping"] = context.is_stopping(job)
    shown["steps"] = context.steps_of(job)
    if shown["trains"]:
        shown["photo"], shown["in_use"] = f"{PHOTO[1:]}?job={quote(job)}", _step_in_use(context, job)
    for name in ("text", "plan", "title"):
        shown[name] = context.workspace.without_paths(shown[name])
    shown["notices"] = [context.workspace.without_paths(text) for text in shown["notices"]]
    shown["previews"] = [[step, context.url(path, job), *more] for step, path, *more in shown["previews"]]
    shown["files"] = _files(context, shown["files"], job)
    return shown


def _files(context: AppContext, files: list[str], job: str) -> list[list[str]]:
    """[name, address] of those that may be fetched."""
    return [[Path(file).name, url] for file in files if (url := context.url(file, job))]
