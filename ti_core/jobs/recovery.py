"""Takes the jobs of an earlier server back from disk when this one starts."""

from __future__ import annotations

from functools import partial

from ti_core.events import Emit
from ti_core.jobs.demands import note_demands
from ti_core.jobs.job import Job
from ti_core.jobs.store import KeptJob, printable
from ti_core.jobs.table import JobTable
from ti_core.runs.history import read_history

SHOWN_FOREIGN = 20
"""Jobs of another version that are listed; there is no end to what may lie in the folder."""


def take_back_all(table: JobTable) -> None:
    """The jobs of an earlier server, in their order. What of their files cannot be used is told on the job and in the
    terminal.
    """
    kept, problems = table.store.load()
    orders = [job.fields["order"] for job in kept if job.fields["order"] is not None]
    table.last_order = max(orders, default=0.0)
    foreign = [job for job in kept if job.fields["kind"] not in table.kinds]
    for job in kept:
        if job in foreign[:-SHOWN_FOREIGN]:
            problems.append(
                f"'{job.fields['id']}.json' in jobs/ is of another version of this program, and is left alone."
            )
        elif job in foreign:
            problems += show_foreign(table, job)
        else:
            problems += _take_back(table, job)
    _put_after_what_they_need(table)
    _show_what_it_was(table, table.latest_big)
    for problem in problems:
        print(printable(problem), flush=True)


def _show_what_it_was(table: JobTable, job: Job | None) -> None:
    """The page opens with what it showed before: the curve and the pictures of a run are in its folder."""
    if job and job.run_folder:
        job.begin_with(read_history(table.workspace.root / job.run_folder))


def show_foreign(table: JobTable, kept: KeptJob) -> list[str]:
    """A job whose kind is not known here: in the list, never begun, and its file stays as it is. Returns a sentence
    for the terminal.
    """
    fields = kept.fields
    text = (
        f"Only another version of this program knows jobs of the kind '{fields['kind'][:60]}'. It is kept, and not"
        " begun here."
    )
    order = table.next_order() if fields["order"] is None else fields["order"]
    title = fields["title"] or fields["id"]
    table.add(
        Job(fields["id"], fields["kind"], title, _nothing, fields["owner"], order=order, state="foreign", text=text)
    )
    return [f"'{fields['id']}.json' in jobs/: {text}"]


def _nothing(emit: Emit, stop: object) -> None:
    """What a job does that this version does not know: it never begins."""


def _take_back(table: JobTable, kept: KeptJob) -> list[str]:
    """A job of an earlier server: one that waited goes on waiting, one that ran is shown as interrupted, with its
    step.

    One that waited with damaged settings has failed, because it would do what nobody asked for. Returns sentences for
    the terminal.
    """
    fields, kind = dict(kept.fields), table.kinds[kept.fields["kind"]]
    read = kind.settings.from_kept(fields.pop("settings"))
    problems = [*kept.problems, *read.sentences()]
    fields["order"] = table.next_order() if fields["order"] is None else fields["order"]
    fields["title"] = fields["title"] or fields["kind"].capitalize()
    work = partial(kind.run, read.settings, table.workspace)
    job = Job(work=work, settings=read.settings, notices=problems.copy(), **fields)
    table.add(job)
    table.note_run_folder(job)
    if job.state == "waiting":
        note_demands(job, kind, table.workspace)
    if job.state == "waiting" and read.wrong:
        job.state = "failed"
        job.text = (
            "Its file is damaged, so it was not begun. Run again takes what could be read; look at its settings"
            " first.\n" + "\n".join(read.wrong)
        )
        table.changed(job)
    elif job.state == "running":
        _interrupt(table, job)
    elif job.has_ended:
        table.note_where_it_can_go_on(job)
    if job.has_ended and (table.latest is None or table.latest.order < job.order):
        table.began(job)
        table.last_ended = job.id
    return [f"'{job.id}.json' in jobs/: {problem}" for problem in problems]


def _interrupt(table: JobTable, job: Job) -> None:
    """It ran when its server ended."""
    job.state, job.order = "interrupted", table.next_order()
    table.note_where_it_can_go_on(job)
    at = job.done if job.resume_step is None else job.resume_step
    go_on = "Run again starts it anew" if job.resume_step is None else f"Resume goes on from step {at}"
    job.text = f"The server was stopped while this ran, at step {max(job.done, at)} of {job.total}. {go_on}."
    table.changed(job)


def _put_after_what_they_need(table: JobTable) -> None:
    """Where files say another order than the jobs need, such as those of a version that took it from the clock."""
    waiting, queue = [job for job in table.ordered() if job.state == "waiting"], list[Job]()
    orders = [job.order for job in waiting]
    while waiting:
        ids = {job.id for job in waiting}
        following = next((job for job in waiting if not ids.intersection(job.needs)), waiting[0])
        waiting.remove(following)
        queue.append(following)
    for job, order in zip(queue, orders, strict=True):
        if job.order != order:
            job.order = order
            table.changed(job)
