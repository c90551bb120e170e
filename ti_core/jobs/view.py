"""What a page is shown of the jobs: the same for everybody, folded from the jobs' events. A viewer's cursor makes it
hold only what is new to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.place import BIG
from ti_core.jobs.table import JobTable

if TYPE_CHECKING:
    from ti_core.jobs.queue import JobQueue

SHOWN_ENDED = 5
SHOWN_WAITING = 60
"""Of the jobs that wait: a thousand would be 250 kB for each open page whenever one of them begins."""
SHOWN_LANES = 32
CHART_POINTS = 600
SHOWN_FILES = 12
ANSWERED_S = 60.0
"""So long a small job that has ended is told; the page that saw it goes on showing its answer."""


@dataclass(frozen=True)
class Cursor:
    """What a viewer has seen already: how many rows of each list of the `job`, and which `version` of the queue.
    `show` is what they want to look at instead of the newest: the id of an ended job, or a run by its folder.
    """

    job: str = ""
    curve: int = 0
    previews: int = 0
    notices: int = 0
    evaluations: int = 0
    version: str = ""
    show: str = ""


def queue_rows(jobs: JobQueue, most_waiting: int | None = None) -> list[dict[str, Any]]:
    """One row for each job that a page lists: the running ones, those that wait (or `most_waiting` of them), the latest
    ended ones, and whatever can be resumed.
    """
    table = jobs.table
    with table.lock:
        steps, behind, several = table.resume_steps(), jobs.behind(), len(jobs.devices()) > 1
        ended = [job for job in reversed(table.ordered()) if job.has_ended]
        shown = [
            job for rank, job in enumerate(ended) if rank < SHOWN_ENDED or job.id in steps or job.state == "foreign"
        ]
        rows = [
            _row(table, job, steps.get(job.id)) for job in (*table.running(), *table.waiting()[:most_waiting], *shown)
        ]
        for row in rows:
            row["behind"] = behind[row["id"]].title if row["id"] in behind else ""
            if several and row["state"] == "running":
                row["shows"] = not row["small"]
            elif not several:
                row["place"] = ""
        return rows


def lane_rows(jobs: JobQueue) -> list[dict[str, Any]]:
    """One row for each device on which jobs run, at most SHOWN_LANES: its job, or what it keeps for the next one."""
    with jobs.table.lock:
        lanes = [lane for lane in jobs.worker.lanes if BIG in lane.place.works][:SHOWN_LANES]
        rows = []
        for lane in lanes:
            job, state = lane.job or lane.kept_for, lane.place.device.latest()
            rows.append(
                {
                    "name": lane.place.name,
                    "called": state.name if state else "",
                    "is_card": state is None or state.kind != "cpu",
                    "holds": "" if job or lane.is_released else lane.place.holds,
                    "job": job.id if job else "",
                    "title": job.title if job else "",
                    "done": job.done if job else 0,
                    "total": job.total if job else 0,
                    "small": job is not None and jobs.table.is_small(job),
                }
            )
        return rows


def _row(table: JobTable, job: Job, resume_step: int | None) -> dict[str, Any]:
    kind = table.kinds.get(job.kind)
    return {
        "place": job.place if job.state == "running" else "",
        "id": job.id,
        "title": job.title,
        "kind": job.kind,
        "owner": job.owner,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "again": job.settings is not None
        and kind is not None
        and job.state in kind.repeated_after
        and resume_step is None,
        "resume": resume_step,
        "shows": job.has_ended and bool(job.curve or job.previews or job.run_folder),
        "run": job.run_folder,
        "small": table.is_small(job),
    }


def snapshot(
    jobs: JobQueue, seen: Cursor = Cursor(), opened: Callable[[str], Job | None] = lambda run: None
) -> dict[str, Any]:
    """What a page shows: scalars of the shown job, and the rows after the viewer's cursor.

    A cursor of another job counts as none. The rows of the queue come only if it changed since the version that the
    viewer knows. `opened` gives a run that was read from the disk, in the shape of a job.
    """
    table = jobs.table
    with table.lock:
        job = _chosen(table, seen.show, opened) or table.job_on_page(seen.job)
        version = table.version
        queue = {
            "version": version,
            "ended": table.last_ended,
            "lanes": lane_rows(jobs),
            "tab_answers": [_answer(table, job) for job in _small(table)],
            **(_line(jobs) if seen.version != version else {}),
        }
        if job is None:
            return {"job": "", "state": "idle", **queue}
        kind = table.kinds.get(job.kind)
        return {**_news(job, kind, seen if job.id == seen.job else Cursor()), **queue}


def _line(jobs: JobQueue) -> dict[str, Any]:
    """The rows of the queue, and how many more jobs wait."""
    more = len(jobs.waiting()) - SHOWN_WAITING
    return {"line": queue_rows(jobs, SHOWN_WAITING), "more_waiting": max(0, more)}


def _chosen(table: JobTable, show: str, opened: Callable[[str], Job | None]) -> Job | None:
    job = table.get(show)
    if job is not None and not job.has_ended:  # until it begins, what a page shows anyway
        return job if job.state == "running" else None
    if job is not None:
        show = "" if job.has_ended and (job.curve or not job.run_folder) else job.run_folder
        return job if not show else opened(show)
    return table.job_of_run(show) or (opened(show) if show else None)


def _small(table: JobTable) -> list[Job]:
    """The small jobs that run, wait, or have ended just now, the oldest first."""
    jobs = [job for job in table.ordered() if table.is_small(job)]
    ended_since = time.monotonic() - ANSWERED_S
    return [job for job in jobs if job.state != "foreign" and (not job.has_ended or job.news_at > ended_since)]


def _answer(table: JobTable, job: Job) -> dict[str, Any]:
    """What the tab that ordered a small job says of it."""
    kind = table.kinds.get(job.kind)
    return {
        "id": job.id,
        "tab": kind.tab if kind else job.kind,
        "title": job.title,
        "state": job.state,
        "text": job.text,
        "done": job.done,
        "total": job.total,
        "files": job.files[:SHOWN_FILES] if job.has_ended and not (kind and kind.shows_pictures) else [],
    }


def _news(job: Job, kind: JobKind | None, seen: Cursor) -> dict[str, Any]:
    """What a page shows of one job: scalars, and the rows after the viewer's cursor.

    A first look at a long curve is thinned to about CHART_POINTS rows; `curve_next` is the cursor to send next time.
    """
    pace = job.pace() if job.state == "running" else 0.0
    return {
        "quiet_s": job.quiet_s,
        "answers": job.answers,
        "job": job.id,
        "kind": job.kind,
        "trains": kind is not None and kind.trains,
        "shows_pictures": kind is not None and kind.shows_pictures,
        "numbers": kind.numbers if kind else "step",
        "title": job.title,
        "run": job.run_folder,
        "state": job.state,
        "text": job.text,
        "plan": job.plan,
        "done": job.done,
        "total": job.total,
        "pace": round(pace, 3),
        "eta_s": round((job.total - job.done) / pace) if pace else None,
        "prompt": job.prompt,
        "curve_from": seen.curve,
        "curve": thinned(job.curve[seen.curve :]),
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


def thinned(rows: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """About CHART_POINTS of a curve's rows, the last among them."""
    thin = max(1, len(rows) // CHART_POINTS)
    return [*rows[:-1:thin], *rows[-1:]]
