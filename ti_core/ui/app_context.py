"""What the tabs share: the workspace, the queue of jobs, and the files that may be fetched through the page."""

from __future__ import annotations

import functools
import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ti_core.embeddings.formats import WRITABLE
from ti_core.errors import SettingsError, UserError
from ti_core.files import sendable
from ti_core.jobs.job import Job, Work
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.opened import OpenedRuns
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceMonitor
from ti_core.runs.folder import embedding_name, saved_steps
from ti_core.runs.history import folder_of_step
from ti_core.runs.library import RunLibrary
from ti_core.runs.use_step import place_of, use_step
from ti_core.settings.option import Settings
from ti_core.ui.server.roles import current_user
from ti_core.ui.steps_in_use import StepsInUse
from ti_core.workspace import Workspace

FETCHABLE = (*WRITABLE, ".webp", ".jpg", ".csv", ".json")
MAX_PUBLISHED = 20_000
"""The oldest ones can no more be fetched, so that memory stays flat however long the server runs."""


@dataclass
class AppContext:
    """`published` are the files that may be fetched: those that a job has announced, and no folder, by a short name
    that tells no path.

    `allow_pickle` lets people upload formats that can hold code. They are read without running it, but the owner
    decides.
    """

    workspace: Workspace
    jobs: JobQueue
    allow_pickle: bool = True
    published: dict[str, Path] = field(default_factory=dict)
    device: DeviceMonitor = field(default_factory=DeviceMonitor)
    """What the process that trains reports of its device."""
    in_use: StepsInUse = field(default_factory=StepsInUse, repr=False)
    runs: RunLibrary = field(init=False)
    """Every run on disk."""
    opened: OpenedRuns = field(init=False)
    """Those of them that somebody looks at."""
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    """So that nobody can work out a file's address from its name."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.runs = RunLibrary(self.workspace, self.jobs.run_folders)
        self.opened = OpenedRuns(self.runs)

    def job(self, job_id: str) -> Job | None:
        """A job, or an opened run in the shape of one."""
        return self.jobs.get(job_id) or self.opened.by_id(job_id)

    def order(self, kind: str, settings: Settings) -> str:
        """Queue a job of this kind for the person who asks. Returns its id. Raises UserError."""
        return self.jobs.order(kind, settings, current_user().name).id

    def order_form(self, kind: str, values: dict[str, Any]) -> str:
        """`order`, for the values of a form: what is no number, say, is told together with all else that is wrong."""
        what = KINDS[kind]
        kept = what.settings.from_kept(values)
        if not kept.wrong:
            return self.order(kind, what.settings.from_dict(values))
        problems, reported = list(kept.wrong), {problem.field for problem in kept.wrong}
        coming = [job.result for job in (*self.jobs.running(), *self.jobs.waiting())]
        try:
            what.check(kept.settings, self.workspace, coming)
        except UserError as error:
            problems += [problem for problem in error.problems if problem.field not in reported]
        raise SettingsError(problems)

    def submit(self, kind: str, title: str, work: Work, result: str = "") -> str:
        """Queue a quick job that is not worth keeping; `result` is what it will have made, for the page that asked.
        Gives the job's id.
        """
        return self.jobs.submit(kind, title, work, current_user().name, result=result).id

    def use_step(self, run: Path, step: int) -> str:
        """Put a step of a run in the place of its embedding (`use_step.py`); gives a sentence for the page.

        Raises UserError, with nothing changed, while that embedding is trained, because the training would write
        over it at its end.
        """
        copies = saved_steps(folder_of_step(run, step))
        names = {embedding_name(copy) for copy in copies.values()}
        training = next((job for job in self.jobs.running() if self.jobs.trained_embedding(job) in names), None)
        if training:
            raise UserError(
                f"'{training.title}' is running and saves the embedding when it ends.", "Interrupt it first."
            )
        is_replaced = step in copies and place_of(copies[step], self.workspace).exists()
        used = use_step(folder_of_step(run, step), step, self.workspace)
        self.in_use.look_again()
        kept = " The former file is kept beside it as a backup." if is_replaced else ""
        return f"Step {step} is now {self.workspace.shown(used)}.{kept}"

    def is_stopping(self, job_id: str) -> bool:
        """Whether the job was asked to stop; what is not known is not."""
        job = self.jobs.get(job_id)
        return job is not None and job.stop.is_set()

    def steps_of(self, job_id: str) -> str:
        """A mark of the files of a training's steps: another one when there are more of them, and after each start of
        the server, which gives them other addresses. Empty where there is no run.
        """
        job = self.job(job_id)
        return f"{self._secret.hex()[:8]}.{job.saved_steps}" if job and job.run_folder else ""

    def url(self, file: str, job_id: str) -> str:
        """Address of an announced file, relative to the page. The job's id keeps browsers from showing an older
        run's picture.
        """
        path, key = _place_and_key(self.workspace.root / file, self._secret)
        if path.suffix.lower() not in FETCHABLE or not self._is_ours(path):
            return ""
        with self._lock:
            self.published.pop(key, None)  # so that it goes to the end, and is the last one to be dropped
            self.published[key] = path
            while len(self.published) > MAX_PUBLISHED:
                del self.published[next(iter(self.published))]
        return f"files/{key}/{quote(sendable(path.name))}?job={quote(sendable(job_id))}"

    def _is_ours(self, path: Path) -> bool:
        """Where a shared page may fetch from: a kept file, such as a comparison's, may name others."""
        places = (self.workspace.root.resolve(), self.workspace.embeddings.resolve())
        return not self.workspace.confined or any(path.is_relative_to(place) for place in places)


@functools.lru_cache(maxsize=1000)
def _place_and_key(file: Path, secret: bytes) -> tuple[Path, str]:
    """The file's real path, and its key in addresses. Kept, because every open page asks for the same few files more
    than once a second.
    """
    path = file.resolve()
    return path, hashlib.blake2b(str(path).encode(errors="replace"), key=secret, digest_size=16).hexdigest()
