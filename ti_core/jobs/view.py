"""What a page is shown of the jobs: the same for everybody, folded from the jobs' events. A viewer's cursor makes it
hold only what is new to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.table import JobTable

if TYPE_CHECKING:
    from ti_core.jobs.queue import JobQueue

SHOWN_ENDED = 5
CHART_POINTS = 600
SHOWN_FILES = 12


@dataclass(frozen=True)
class Cursor:
    """What a viewer has seen already: how many rows of each list of the `job`, and which `version` of the queue.
    `show` is the id of an ended job that they want to see again.
    """

    job: str = ""
    curve: int = 0
    previews: int = 0
    notices: int = 0
    evaluations: int = 0
    version: str = ""
    show: str = ""


def queue_rows(jobs: JobQueue) -> list[dict[str, Any]]:
    """One row for each job that a page lists: the running one, those that wait, the latest ended ones, and whatever can
    be resumed.
    """
    table = jobs.table
    with table.lock:
        steps = table.resume_steps()
        ended = [job for job in reversed(table.ordered()) if job.has_ended]
        shown = [
            job for rank, job in enumerate(ended) if rank < SHOWN_ENDED or job.id in steps or job.state == "foreign"
        ]
        return [_row(table, job, steps.get(job.id)) for job in (*table.running(), *table.waiting(), *shown)]


def _row(table: JobTable, job: Job, resume_step: int | None) -> dict[str, Any]:
    kind = table.kinds.get(job.kind)
    return {
        "id": job.id,
        "title": job.title,
        "kind": job.kind,
        "owner": job.owner,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "again": job.settings is not None and kind is not None and kind.repeatable,
        "resume": resume_step,
        "shows": job.has_ended and bool(job.curve),
    }


def snapshot(jobs: JobQueue, seen: Cursor = Cursor()) -> dict[str, Any]:
    """What a page shows: scalars of the shown job, and the rows after the viewer's cursor.

    A cursor of another job counts as none. The rows of the queue come only if it changed since the version that the
    viewer knows.
    """
    table = jobs.table
    with table.lock:
        chosen = table.get(seen.show)
        job = chosen if chosen and chosen.has_ended else table.shown_job()
        version = table.version
        queue = {"version": version, **({"line": queue_rows(jobs)} if seen.version != version else {})}
        if job is None:
            return {"job": "", "state": "idle", **queue}
        return {**_news(job, table.kinds.get(job.kind), seen if job.id == seen.job else Cursor()), **queue}


def _news(job: Job, kind: JobKind | None, seen: Cursor) -> dict[str, Any]:
    """What a page shows of one job: scalars, and the rows after the viewer's cursor.

    A first look at a long curve is thinned to about CHART_POINTS rows; `curve_next` is the cursor to send next time.
    """
    rows = job.curve[seen.curve :]
    pace = job.pace() if job.state == "running" else 0.0
    thin = max(1, len(rows) // CHART_POINTS)
    return {
        "quiet_s": job.quiet_s,
        "answers": job.answers,
        "job": job.id,
        "kind": job.kind,
        "trains": kind is not None and kind.trains,
        "shows_pictures": kind is not None and kind.shows_pictures,
        "numbers": kind.numbers if kind else "step",
        "title": job.title,
        "state": job.state,
        "text": job.text,
        "plan": job.plan,
        "done": job.done,
        "total": job.total,
        "pace": round(pace, 3),
        "eta_s": round((job.total - job.done) / pace) if pace else None,
        "prompt": job.prompt,
        "curve_from": seen.curve,
        "curve": [*rows[:-1:thin], *rows[-1:]],
        "curve_next": len(job.curve),
        "evaluations_from": seen.evaluations,
        "evaluations": job.evaluations[seen.evaluations :],
        "best": job.best,
        "usual_norms": job.usual_norms,
        "previews_from": seen.previews,
        "previews": job.previews[seen.previews :],
        "notices_from": seen.notices,
        "notices": job.notices[seen.notices :],
        "files": job.files[:SHOWN_FILES],
    }
