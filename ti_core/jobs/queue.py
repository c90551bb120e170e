"""The line of jobs: one worker thread for the one device. A job belongs to the server, not to a page, and outlives
the server on disk.

Everyone who looks gets the same snapshot, folded from the job's events; a cursor makes it hold only what is new to
them.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ti_core.errors import Interrupted, UserError, unexpected
from ti_core.events import Alive, Emit, Event, Failed, Finished, Started
from ti_core.jobs.job import KEPT_FIELDS, Job, Work
from ti_core.jobs.kinds import KINDS, JobKind, run_folder_of
from ti_core.jobs.store import JobStore, KeptJob, printable
from ti_core.runs.folder import saved_step
from ti_core.workspace import Workspace

KEPT_JOBS = 50
"""Ended jobs that are remembered, in memory and on disk."""
KEPT_RESUMABLE = 100
"""Trainings that can be resumed are remembered beyond that, because nothing else on the page leads to them."""
SHOWN_FOREIGN = 20
KEPT_CURVES = 3
SHOWN_ENDED = 5
SAVE_EVERY_S = 5.0
"""How often the step of a running job is written down; the run's own state file says exactly where it can go on."""


class JobQueue:
    """Jobs in their order, and the thread that works on them. The line is kept on disk and taken up again."""

    def __init__(self, workspace: Workspace, kinds: Mapping[str, JobKind] = KINDS, is_paused: bool = False) -> None:
        self._jobs: dict[str, Job] = {}
        self._workspace, self._kinds = workspace, kinds
        self._lock, self._writing = threading.Condition(threading.RLock()), threading.Lock()
        self._unsaved: dict[str, dict[str, Any]] = {}
        self._changes, self._server = 0, secrets.token_hex(8)  # so that no page knows a version from an earlier server
        self._last_order = 0.0
        self._latest: Job | None = None
        self._is_paused, self._is_closed = is_paused, False
        self._store = JobStore(workspace.root / "jobs")
        self._take_back_all()
        self._save()
        self.worker = threading.Thread(target=self._work_until_closed, name="worker", daemon=True)
        self.worker.start()

    # ---- asking

    def order(self, kind: str, settings: dict[str, Any], owner: str = "") -> Job:
        """Check the settings and put a job of this kind into the line. Raises UserError."""
        what = self._kinds.get(kind)
        if what is None:
            raise UserError(f"There is no job called '{kind}'.", f"Choose one of: {', '.join(self._kinds)}.")
        checked = what.settings.from_dict(settings)
        with self._lock:
            coming = {job.result: job.id for job in self._jobs.values() if not job.has_ended and job.result}
            twin = next(
                (
                    job
                    for job in self._jobs.values()
                    if kind == job.kind == "train" and not job.has_ended and job.settings == checked.to_dict()
                ),
                None,
            )
        if twin:
            raise UserError(
                "This training is in the line of jobs already.", "Wait until it has ended, or change a setting."
            )
        title, result = what.check(checked, self._workspace, coming)
        needs = [coming[made] for name in what.uses if (made := getattr(checked, name)) in coming]
        work = partial(what.run, checked, self._workspace)
        return self.submit(kind, title, work, owner, checked.to_dict(), result, needs)

    def submit(
        self,
        kind: str,
        title: str,
        work: Work,
        owner: str = "",
        settings: dict[str, Any] | None = None,
        result: str = "",
        needs: Sequence[str] = (),
    ) -> Job:
        """Queue `work(emit, stop)`. Ids are random, because who knows one can stop its job, and never come twice,
        so that an open page mixes no two runs.
        """
        with self._lock:
            job = Job(
                f"{kind}-{secrets.token_hex(16)}",
                kind,
                title,
                work,
                owner,
                settings,
                result,
                self._next_order(),
                list(needs),
            )
            self._jobs[job.id] = job
            self._changed(job)
            self._lock.notify_all()
        self._save()
        return job

    def again(self, job_id: str, owner: str = "") -> Job:
        """A new job with the settings of another. Raises UserError."""
        job = self._find(job_id)
        if job.settings is None:
            raise UserError(f"'{job.title}' cannot be repeated.", "Use its tab again.")
        return self.order(job.kind, job.settings, owner)

    def resume(self, job_id: str, owner: str = "") -> Job:
        """Go on with a training that was interrupted, exactly where its folder says. Raises UserError."""
        with self._lock:
            job = self._find(job_id)
            at = job.resume_step
            self._note_where_it_can_go_on(job)
            if job.resume_step != at:
                self._changed(job)
            can_go_on = job.id in self._resume_steps()
        if not can_go_on:
            raise UserError(f"'{job.title}' has nothing to resume.", "Use Again to start it anew.")
        return self.order("resume", {"run_folder": job.run_folder}, owner)

    def cancel(self, job_id: str) -> str:
        """Take a waiting job out of the line, or ask a running one to stop. Returns a sentence. Raises UserError."""
        with self._lock:
            job = self._find(job_id)
            if job.state == "waiting":
                job.text, job.state = "Cancelled before it began.", "cancelled"
                job.order = self._next_order()
                self._changed(job)
                told = f"Cancelled: {job.title}."
            elif job.state == "running":
                job.stop.set()
                told = f"Stopping: {job.title}."
            else:
                told = f"'{job.title}' has ended already."
        self._save()
        return told

    def move_up(self, job_id: str) -> str:
        """Let a waiting job change places with the one before it. Returns a sentence. Raises UserError."""
        with self._lock:
            job, line = self._find(job_id), self.line()
            if job not in line:
                raise UserError(f"'{job.title}' is not waiting any more.", "Only waiting jobs can be moved.")
            at = line.index(job)
            if at == 0:
                return f"'{job.title}' is next already."
            before = line[at - 1]
            if before.id in job.needs:
                raise UserError(f"'{job.title}' needs what '{before.title}' makes.", "Move that one up first.")
            job.order, before.order = before.order, job.order
            self._changed(before)
            self._changed(job)
        self._save()
        return f"Moved up: {job.title}."

    def begin(self) -> None:
        """Start what waits, if the line was made paused: a server that cannot open its page must not have begun a
        job of the line.
        """
        with self._lock:
            self._is_paused = False
            self._lock.notify_all()

    def leave(self, timeout_s: float) -> None:
        """Before the server ends: let the running job save, and begin no other, so that it goes on waiting on disk."""
        self._is_paused = True
        job = self.shown_job()
        if job and job.state == "running":
            job.stop.set()
            self.wait_for(job, timeout_s)
        self._save()

    def interrupt(self, kinds: Collection[str] = ()) -> str:
        """Ask the running job to stop; it saves and ends by itself. Of certain `kinds` only: else the first of
        these that waits is cancelled, and what runs goes on. Returns a sentence for the page.
        """
        job = self.shown_job()
        if job is None or job.has_ended:
            return "Nothing is running."
        if kinds and job.kind not in kinds:
            waiting = next((other for other in self.line() if other.kind in kinds), None)
            return (
                self.cancel(waiting.id)
                if waiting
                else f"'{job.title}' is running, and goes on. It can be stopped in its own tab, or under Jobs."
            )
        job.stop.set()
        return f"Stopping: {job.title}."

    # ---- looking

    def get(self, job_id: str) -> Job | None:
        """What is asked for comes from outside, so it may be anything."""
        return self._jobs.get(job_id) if isinstance(job_id, str) else None

    def line(self) -> list[Job]:
        """The waiting jobs, the next one first."""
        with self._lock:
            return sorted((job for job in self._jobs.values() if job.state == "waiting"), key=_order_of)

    def running(self) -> list[Job]:
        with self._lock:
            return [job for job in self._jobs.values() if job.state == "running"]

    def shown_job(self) -> Job | None:
        """The running job, else the next one, else the one that ended last."""
        with self._lock:
            first = [*self.running(), *self.line()]
            return first[0] if first else self._latest

    def wait_for(self, job: Job, timeout_s: float = 3600.0) -> Job:
        """Block until the job has ended or the time is up."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with self._lock:  # so that all is noted that belongs to the end
                if job.has_ended:
                    break
            time.sleep(0.02)
        return job

    def rows(self) -> list[dict[str, Any]]:
        """What the page shows of the line: the running job, those that wait, the latest ended ones, and whatever
        can be resumed.
        """
        with self._lock:
            steps = self._resume_steps()
            ended = [job for job in sorted(self._jobs.values(), key=_order_of, reverse=True) if job.has_ended]
            shown = [
                job for rank, job in enumerate(ended) if rank < SHOWN_ENDED or job.id in steps or job.state == "foreign"
            ]
            return [
                {
                    "id": job.id,
                    "title": job.title,
                    "kind": job.kind,
                    "owner": job.owner,
                    "state": job.state,
                    "done": job.done,
                    "total": job.total,
                    "again": job.settings is not None and job.kind != "resume",
                    "resume": steps.get(job.id),
                    "shows": job.has_ended and bool(job.curve),
                }
                for job in (*self.running(), *self.line(), *shown)
            ]

    def snapshot(
        self,
        job_id: str = "",
        curve_from: int = 0,
        previews_from: int = 0,
        notices_from: int = 0,
        evaluations_from: int = 0,
        version: str = "",
        show: str = "",
    ) -> dict[str, Any]:
        """What a page shows: scalars of the shown job, and the rows after the viewer's cursor.

        `show` is an ended job that a viewer wants to see again. A cursor of another job counts as none. The line
        comes only if it changed since the `version` that the viewer knows.
        """
        with self._lock:
            chosen = self._jobs.get(show)
            job = chosen if chosen and chosen.has_ended else self.shown_job()
            newest = f"{self._server}.{self._changes}"
            line = {"version": newest, **({"line": self.rows()} if version != newest else {})}
            if job is None:
                return {"job": "", "state": "idle", **line}
            if job.id != job_id:
                curve_from = previews_from = notices_from = evaluations_from = 0
            return {**job.news(curve_from, previews_from, notices_from, evaluations_from), **line}

    # ---- keeping

    def close(self) -> None:
        """Begin nothing any more, and let another server have the workspace (tests; the system does it when the
        program ends).
        """
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()
        self._save()
        self._store.close()

    def _find(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job is None:
            raise UserError(
                f"There is no job '{str(job_id)[:60]}'.", "Reload the page: the line shows the jobs that there are."
            )
        return job

    def _next_order(self) -> float:
        self._last_order = math.floor(self._last_order) + 1
        return self._last_order

    def _resume_steps(self) -> dict[str, int]:
        """Ids of the trainings that can go on, the latest first, and from which step. Of several jobs that worked
        on one run it is the last one.
        """
        steps: dict[str, int] = {}
        taken: set[str] = set()
        for job in sorted(self._jobs.values(), key=_order_of, reverse=True):
            if not job.run_folder or job.state in ("cancelled", "foreign") or job.run_folder in taken:
                continue
            taken.add(job.run_folder)
            if job.state in ("interrupted", "failed") and job.resume_step is not None:
                steps[job.id] = job.resume_step
        return steps

    def _run_folder(self, job: Job) -> str:
        """The folder of a training as it would be typed; empty for other jobs, and for what cannot be a folder."""
        folder = run_folder_of(job.kind, job.settings or {}, job.folder, self._workspace)
        try:
            return self._workspace.shown(folder) if folder else ""
        except (OSError, ValueError, RuntimeError):  # a job's file may say anything
            return ""

    def _changed(self, job: Job) -> None:
        """Tell the pages, and note the job for `_save`."""
        self._changes += 1
        job.run_folder = self._run_folder(job)
        if job.has_ended:
            self._note_where_it_can_go_on(job)
            self._forget_old(job)
        job.saved_at = time.monotonic()
        if job.settings is not None and job.id in self._jobs:
            self._unsaved[job.id] = {name: getattr(job, name) for name in KEPT_FIELDS}

    def _save(self) -> None:
        """Write down what changed. Without the line's lock, because every open page waits for that one, and disks
        can be slow.

        A disk that takes nothing more must not stop the job; the job itself will say so.
        """
        with self._writing:
            with self._lock:
                records, self._unsaved = list(self._unsaved.values()), {}
            for record in records:
                try:
                    self._store.save(record)
                except UserError as error:
                    job = self._jobs.get(record["id"])
                    if job and str(error) not in job.notices:
                        job.notices.append(str(error))

    def _note_where_it_can_go_on(self, job: Job) -> None:
        if job.settings is not None and job.state in ("interrupted", "failed"):
            job.resume_step = saved_step(self._workspace.root / job.run_folder) if job.run_folder else None

    def _forget_old(self, ending: Job) -> None:
        """Memory and disk stay small however long the server runs. `ending` is told what can no more be resumed
        from the page.
        """
        jobs = sorted(self._jobs.values(), key=_order_of)
        ended = [job for job in jobs if job.has_ended and job.state != "foreign"]
        for job in [job for job in ended if job.curve][:-KEPT_CURVES]:
            if job is not self._latest:
                job.curve, job.evaluations, job.previews = [], [], job.previews[-1:]
        resumable = list(self._resume_steps())
        kept = {
            *resumable[:KEPT_RESUMABLE],
            *(needed for job in jobs if job.state == "waiting" for needed in job.needs),
        }
        for job in ended[:-KEPT_JOBS]:
            if job.id in kept:
                continue
            if job.id in resumable:
                ending.notices.append(
                    f"The list of jobs keeps {KEPT_RESUMABLE} trainings that can be resumed, so '{job.title}' has left"
                    f" it. To go on with that one: python -m ti_core resume {job.run_folder}"
                )
            del self._jobs[job.id]
            self._store.forget(job.id)

    def _take_back_all(self) -> None:
        """The jobs of an earlier server, in their order. What of their files cannot be used is told on the job and
        in the terminal.
        """
        kept, problems = self._store.load()
        orders = [job.fields["order"] for job in kept if job.fields["order"] is not None]
        self._last_order = max(orders, default=0.0)
        foreign = [job for job in kept if job.fields["kind"] not in self._kinds]
        for job in kept:
            if job in foreign[:-SHOWN_FOREIGN]:
                problems.append(
                    f"'{job.fields['id']}.json' in jobs/ is of another version of this program, and is left alone."
                )
            elif job in foreign:
                problems += self._show_foreign(job)
            else:
                problems += self._take_back(job)
        self._put_after_what_they_need()
        for problem in problems:
            print(printable(problem), flush=True)

    def _show_foreign(self, kept: KeptJob) -> list[str]:
        """A job whose kind is not known here: in the list, never begun, and its file stays as it is. Returns a
        sentence for the terminal.
        """
        fields = kept.fields
        text = (
            f"Only another version of this program knows jobs of the kind '{fields['kind'][:60]}'. It is kept, and not"
            " begun here."
        )
        order = self._next_order() if fields["order"] is None else fields["order"]
        title = fields["title"] or fields["id"]
        job = Job(
            fields["id"], fields["kind"], title, _nothing, fields["owner"], order=order, state="foreign", text=text
        )
        self._jobs[job.id] = job
        return [f"'{job.id}.json' in jobs/: {text}"]

    def _take_back(self, kept: KeptJob) -> list[str]:
        """A job of an earlier server: one that waited goes on waiting, one that ran is shown as interrupted, with
        its step.

        One that waited with damaged settings has failed, because it would do what nobody asked for. Returns
        sentences for the terminal.
        """
        fields, what = dict(kept.fields), self._kinds[kept.fields["kind"]]
        settings = what.settings.from_kept(fields.pop("settings"))
        problems = [*kept.problems, *settings.sentences()]
        fields["order"] = self._next_order() if fields["order"] is None else fields["order"]
        fields["title"] = fields["title"] or fields["kind"].capitalize()
        work = partial(what.run, settings.settings, self._workspace)
        job = Job(work=work, settings=settings.settings.to_dict(), notices=problems.copy(), **fields)
        self._jobs[job.id] = job
        job.run_folder = self._run_folder(job)
        if job.state == "waiting" and settings.wrong:
            job.state = "failed"
            job.text = (
                "Its file is damaged, so it was not begun. Again takes what could be read; look at its settings"
                " first.\n" + "\n".join(settings.wrong)
            )
            self._changed(job)
        elif job.state == "running":
            job.state, job.order = "interrupted", self._next_order()
            self._note_where_it_can_go_on(job)
            at = job.done if job.resume_step is None else job.resume_step
            go_on = "Again starts it anew" if job.resume_step is None else f"Resume goes on from step {at}"
            job.text = f"The server was stopped while this ran, at step {max(job.done, at)} of {job.total}. {go_on}."
            self._changed(job)
        elif job.has_ended:
            self._note_where_it_can_go_on(job)
        if job.has_ended and (self._latest is None or self._latest.order < job.order):
            self._latest = job
        return [f"'{job.id}.json' in jobs/: {problem}" for problem in problems]

    def _put_after_what_they_need(self) -> None:
        """Where files say another order than the jobs need, such as those of a version that took it from the clock."""
        waiting, line = self.line(), list[Job]()
        orders = [job.order for job in waiting]
        while waiting:
            ids = {job.id for job in waiting}
            following = next((job for job in waiting if not ids.intersection(job.needs)), waiting[0])
            waiting.remove(following)
            line.append(following)
        for job, order in zip(line, orders, strict=True):
            if job.order != order:
                job.order = order
                self._changed(job)

    # ---- working

    def _emit(self, job: Job, event: Event) -> None:
        with self._lock:
            job.fold(event)
            if job.has_ended:
                job.order = self._next_order()  # so that ended jobs are in the order in which they ended
            is_due = time.monotonic() - job.saved_at > SAVE_EVERY_S and not isinstance(event, Alive)
            changed = is_due or isinstance(event, Started | Finished | Failed)
            if changed:
                self._changed(job)
        if changed:
            self._save()

    def _next(self) -> Job | None:
        """The job to do next, once there is one; None when the line was closed."""
        with self._lock:
            while self._is_closed or self._is_paused or not (line := self.line()):
                if self._is_closed:
                    return None
                self._lock.wait()
            job = line[0]
            self._latest = job
            job.fold(Started(job.title, 0))
            job.state = "running"
            self._changed(job)
        self._save()
        return job

    def _check_needs(self, job: Job) -> None:
        """Raises UserError if a job before it did not make what it uses: an older file of that name is not what was
        meant.
        """
        for needed in map(self._jobs.get, job.needs):
            if needed is None:
                raise UserError(
                    "It was not begun, because the job that makes what it needs is not known any more.",
                    "Look at what there is, then press Again.",
                )
            if needed.state != "finished":
                raise UserError(
                    f"It was not begun, because '{needed.title}' was {needed.state}.",
                    "Put that right, then press Again.",
                )

    def _work_until_closed(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._check_needs(job)
                job.work(partial(self._emit, job), job.stop)
                if job.state == "running":
                    self._emit(job, Finished("Done."))
            except Interrupted:
                self._emit(job, Finished("Interrupted.", interrupted=True))
            except UserError as error:
                self._emit(job, Failed(str(error)))
            except Exception as error:  # noqa: BLE001 - the one broad net: whatever happens, the worker lives on and the page is told
                traceback.print_exc()
                self._emit(job, Failed(unexpected(error)))


def _order_of(job: Job) -> float:
    return job.order


def _nothing(emit: Emit, stop: threading.Event) -> None:
    """What a job does that this version does not know: it never begins."""
