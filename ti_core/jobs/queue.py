"""The queue of jobs: what can be asked of it. A job belongs to the server, not to a page, and outlives the server on
disk.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from ti_core.errors import UserError
from ti_core.jobs.choice import blocked
from ti_core.jobs.demands import note_demands, preferred_device
from ti_core.jobs.job import Job, Work
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.place import BIG, QUICK, Place, ServerPlace
from ti_core.jobs.quotas import Quotas, Usage
from ti_core.jobs.recovery import take_back_all
from ti_core.jobs.table import JobTable
from ti_core.jobs.worker import Worker
from ti_core.models.device import DeviceState
from ti_core.program.control import PICTURE, WISHES
from ti_core.settings import ResumeSettings
from ti_core.settings.option import Settings
from ti_core.settings.shared import AUTOMATIC
from ti_core.workspace import Workspace


class JobQueue:
    """Jobs in their order, and the places where they run: more can come by `worker.add`. The queue is kept on disk and
    taken up again. Paused, it begins nothing until `begin`. Raises UserError if another server has the workspace.
    """

    def __init__(
        self,
        workspace: Workspace,
        kinds: Mapping[str, JobKind] = KINDS,
        is_paused: bool = False,
        places: Sequence[Place] | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """`places`: beside them quick work runs in this program; None has all jobs run in one thread of it."""
        self.table = JobTable(workspace, kinds)
        with self.table.lock:
            take_back_all(self.table)
        self.table.save()
        self.usage = Usage(self.table, quotas or Quotas())
        here = [ServerPlace()] if places is None else [ServerPlace("server", frozenset({QUICK})), *places]
        self.worker = Worker(self.table, is_paused, here)

    # ---- ordering

    def order(self, kind: str, settings: Settings, owner: str = "") -> Job:
        """Check the settings and put a job of this kind into the queue. Raises UserError."""
        what = self.table.kinds.get(kind)
        if what is None:
            raise UserError(f"There is no job called '{kind}'.", f"Choose one of: {', '.join(self.table.kinds)}.")
        self.usage.check(owner)
        with self.table.lock:
            unfinished = [job for job in self.table.ordered() if not job.has_ended]
        if what.only_once and any(job.kind == kind and job.settings == settings for job in unfinished):
            raise UserError(
                "This training is in the line of jobs already.", "Wait until it has ended, or change a setting."
            )
        coming = {job.result: job.id for job in unfinished if job.result}
        title, result = what.check(settings, self.table.workspace, coming)
        self._check_device(settings)
        needs = [coming[made] for name in what.uses if (made := getattr(settings, name)) in coming]
        work = partial(what.run, settings, self.table.workspace)
        return self.submit(kind, title, work, owner, settings, result, needs, coming)

    def submit(
        self,
        kind: str,
        title: str,
        work: Work,
        owner: str = "",
        settings: Settings | None = None,
        result: str = "",
        needs: Sequence[str] = (),
        coming: Collection[str] = (),
    ) -> Job:
        """Queue `work(emit, stop)`. Without settings it runs in this program, and is not kept. `coming` names what the
        jobs before it will have made. Ids are random, because who knows one can stop its job, and never come twice, so
        that an open page mixes no two runs.
        """
        table = self.table
        if settings is None:
            self.usage.check_waiting(owner)
        new_id = f"{kind}-{secrets.token_hex(16)}"
        job = Job(new_id, kind, title, work, owner, settings, result, needs=list(needs))
        note_demands(job, table.kinds.get(kind), table.workspace, coming)
        with table.lock:
            job.prefers = preferred_device(job, table.kinds.get(kind), table.ordered())
            job.order = table.next_order()
            table.add(job)
            table.changed(job)
        table.save()
        return job

    def again(self, job_id: str, owner: str = "") -> Job:
        """A new job with the settings of another. Raises UserError."""
        job = self.table.find(job_id)
        if job.settings is None:
            raise UserError(f"'{job.title}' cannot be repeated.", "Use its tab again.")
        return self.order(job.kind, job.settings, owner)

    def resume(self, job_id: str, owner: str = "") -> Job:
        """Go on with a training that was interrupted, exactly where its folder says. Raises UserError."""
        with self.table.lock:
            job = self.table.find(job_id)
            at = job.resume_step
            self.table.note_where_it_can_go_on(job)
            if job.resume_step != at:
                self.table.changed(job)
            can_go_on = job.id in self.table.resume_steps()
        if not can_go_on:
            raise UserError(f"'{job.title}' has nothing to resume.", "Use Run again to start it anew.")
        return self.order("resume", ResumeSettings(job.run_folder), owner)

    # ---- changing what is in it

    def cancel(self, job_id: str) -> str:
        """Take a waiting job out of the queue, or ask a running one to stop. Returns a sentence. Raises UserError."""
        with self.table.lock:
            job = self.table.find(job_id)
            if job.state == "waiting":
                job.text, job.state = "Cancelled before it began.", "cancelled"
                job.order = self.table.next_order()
                self.table.changed(job)
                answer = f"Cancelled: {job.title}."
            elif job.state == "running":
                job.stop.set()
                answer = f"Stopping: {job.title}."
            else:
                answer = f"'{job.title}' has ended already."
        self.table.save()
        return answer

    def move_up(self, job_id: str) -> str:
        """Let a waiting job change places with the one before it of the same person: others keep their turns. Returns a
        sentence. Raises UserError.
        """
        with self.table.lock:
            job, waiting = self.table.find(job_id), self.waiting()
            if job not in waiting:
                raise UserError(f"'{job.title}' is not waiting any more.", "Only waiting jobs can be moved.")
            own = [other for other in waiting if other.owner == job.owner]
            at = own.index(job)
            if at == 0:
                is_next = job is waiting[0]
                return f"'{job.title}' is next already{'' if is_next else ' among yours, and people take turns'}."
            before = own[at - 1]
            if before.id in job.needs:
                raise UserError(f"'{job.title}' needs what '{before.title}' makes.", "Move that one up first.")
            job.order, before.order = before.order, job.order
            self.table.changed(before)
            self.table.changed(job)
        self.table.save()
        return f"Moved up: {job.title}."

    def put_away(self, job_id: str) -> str:
        """Take a job that has ended out of the list; what it has made stays. Returns a sentence. Raises UserError."""
        with self.table.lock:
            job = self.table.find(job_id)
            if not job.has_ended:
                raise UserError(f"'{job.title}' has not ended.", "Stop it first.")
            if any(job.id in waiting.needs for waiting in self.waiting()):
                raise UserError(f"A job that waits needs what '{job.title}' has made.", "Cancel that one first.")
            self.table.forget([job])
        return f"Put away: {job.title}." + (" Its run stands under Runs." if job.run_folder else "")

    def move_run(self, run: str, move: Callable[[], Path], is_gone: bool) -> Path:
        """Let `move` give the run's folder another place, and tell the jobs that worked on it, or forget them where it
        is gone from the list. Returns the new place. Raises UserError, with nothing changed, while a job runs or waits
        that needs the run.
        """
        table = self.table
        with table.lock:  # so that no job begins meanwhile
            if user := table.user_of_run(run):
                raise UserError(
                    f"'{user.title}' {'is running' if user.state == 'running' else 'waits'} and needs this run.",
                    "Wait until it has ended, or stop it first.",
                )
            ended = [job for job in table.ordered() if job.run_folder == run]
            new = move()
            if is_gone:
                table.forget(ended)
            for job in [] if is_gone else ended:
                job.moved_to(table.workspace.root / run, new, table.workspace.shown(new))
                table.changed(job)
        table.save()
        return new

    def interrupt(self, kinds: Collection[str] = (), mine: str = "") -> str:
        """Ask the running job to stop; it saves and ends by itself. Of certain `kinds` only: else the first of these
        that waits is cancelled, and what runs goes on. Of several of these that run it is `mine`, by its id, and else
        none. Returns a sentence for the page.
        """
        running = self.running()
        if not kinds:
            job = self.shown_job()
            return "Nothing is running." if job is None or job.has_ended else self.cancel(job.id)
        of_these = [job for job in running if job.kind in kinds]
        meant = [job for job in of_these if job.id == mine or len(of_these) == 1]
        meant = meant or [job for job in self.waiting() if job.kind in kinds and not of_these][:1]
        if meant:
            return self.cancel(meant[0].id)
        if of_these:
            return f"{len(of_these)} of these jobs are running. Stop the one that you mean under Jobs."
        return (
            f"'{running[0].title}' is running, and goes on. It can be stopped in its own tab, or under Jobs."
            if running
            else "Nothing is running."
        )

    def ask(self, job_id: str, wish: str) -> str:
        """Have a running training paint a preview (PICTURE) or save a copy and its state (SAVE) when the update under
        way is done. Returns a sentence. Raises UserError.
        """
        with self.table.lock:
            job = self.table.find(job_id)
            kind = self.table.kinds.get(job.kind)
            if wish not in WISHES:
                raise UserError(f"There is no wish '{wish[:60]}'.", f"Choose one of: {', '.join(WISHES)}.")
            if job.state != "running" or kind is None or not kind.trains or job.stop.is_set():
                raise UserError(f"'{job.title}' is not training.", "This works while a training runs.")
            job.stop.ask(wish)
        answer = "A picture comes" if wish == PICTURE else "A copy is saved"
        return f"{answer} as soon as this step is done."

    # ---- devices

    def devices(self) -> list[str]:
        """Names of the places that take any job: what a job can ask for."""
        with self.table.lock:
            return [lane.place.name for lane in self.worker.lanes if BIG in lane.place.works]

    def device_state(self, name: str = "") -> DeviceState | None:
        """What is known of that device, or of the one with the most memory; None while nothing is."""
        with self.table.lock:
            places = [lane.place for lane in self.worker.lanes if BIG in lane.place.works]
        asked = [place for place in places if place.name == name] or places
        states = [state for place in asked if (state := place.device.latest())]
        return max(states, key=lambda state: state.free_bytes, default=None)

    def free(self, name: str) -> str:
        """Have a device give back the memory that it keeps for the next job. Returns a sentence. Raises UserError."""
        if name not in self.devices():
            raise UserError(f"There is no device '{name[:60]}'.", f"There is: {', '.join(self.devices())}.")
        if self.worker.release(name):
            return f"{name} gives its memory back. The next job loads its model again."
        with self.table.lock:
            works = any(lane.place.name == name and not lane.is_free for lane in self.worker.lanes)
        return f"{name} is at work. Free it when the job has ended." if works else f"{name} holds nothing."

    def _check_device(self, settings: Settings) -> None:
        name, there = getattr(settings, "device", AUTOMATIC), self.devices()
        if there and name not in (AUTOMATIC, "", *there):
            hint = f"Choose {AUTOMATIC} or one of: {', '.join(there)}."
            raise UserError(f"There is no device '{str(name)[:60]}' here.", hint, field="device")

    # ---- looking

    def get(self, job_id: str) -> Job | None:
        """What is asked for comes from outside, so it may be anything."""
        return self.table.get(job_id)

    def waiting(self) -> list[Job]:
        """The jobs that wait, the next one first."""
        return self.table.waiting()

    def running(self) -> list[Job]:
        """The jobs that are worked on, in the order of the line."""
        return self.table.running()

    def behind(self) -> dict[str, Job]:
        """Ids of the jobs that wait for another one, which makes, reads or writes what they need -> that one."""
        with self.table.lock:
            return blocked(self.table.waiting(), self.table.running())

    def shown_job(self) -> Job | None:
        """The running job, else the next one, else the one that ended last."""
        return self.table.shown_job()

    def job_on_page(self) -> Job | None:
        """As `shown_job`, but small jobs never take the place of a training or its pictures."""
        return self.table.job_on_page()

    def run_folders(self) -> set[str]:
        """The folders of the runs that jobs have worked on, wherever they lie."""
        return {job.run_folder for job in self.table.ordered() if job.run_folder}

    def trained_embedding(self, job: Job) -> str:
        """Name of the embedding that the job trains; empty for jobs that do not."""
        kind = self.table.kinds.get(job.kind)
        return kind.trained_embedding(job.settings, job.folder, self.table.workspace) if kind else ""

    def wait_for(self, job: Job, timeout_s: float = 3600.0) -> Job:
        """Block until the job has ended or the time is up."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with self.table.lock:  # so that all is noted that belongs to the end
                if job.has_ended:
                    break
            time.sleep(0.02)
        return job

    # ---- beginning and ending

    def begin(self) -> None:
        """Start what waits, if the queue was made paused: a server that cannot open its page must not begin a job."""
        self.worker.begin()

    def leave(self, timeout_s: float) -> None:
        """Before the server ends: let the running job save, and begin no other, so that it goes on waiting on disk."""
        self.worker.pause()
        end, running = time.monotonic() + timeout_s, self.running()
        for job in running:
            job.stop.set()
        for job in running:
            self.wait_for(job, max(0.0, end - time.monotonic()))
        self.table.save()

    def close(self) -> None:
        """Begin nothing any more, and let another server have the workspace (tests; the system does it when the program
        ends).
        """
        self.worker.close()
        self.table.save()
        self.table.store.close()
