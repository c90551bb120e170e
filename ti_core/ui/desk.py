"""What the tabs share: the workspace, the queue of jobs, their outcomes, and the files that may be fetched through the page."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from urllib.parse import quote

from ti_core.jobs import Job, JobQueue, Work
from ti_core.workspace import Workspace

FETCHABLE = (".png", ".webp", ".jpg", ".pt", ".safetensors", ".csv", ".json")


@dataclass
class Outcome:
    """A job and what it makes if it finishes: an embedding's name, a dataset's folder."""

    job: Job
    result: str


@dataclass
class Desk:
    """`published` is handed to gradio as its list of allowed paths, and grows only by files that a job has announced.

    Gradio serves everything below an allowed folder inline, so no folder ever gets into the list.
    """

    workspace: Workspace
    jobs: JobQueue
    published: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def submit(self, kind: str, title: str, work: Work, result: str = "") -> str:
        """Queue `work`; `result` is what it will have made, for the page that asked. Gives the job's id."""
        job = self.jobs.submit(kind, title, work)
        self.outcomes[job.id] = Outcome(job, result)
        return job.id

    def is_stopping(self, job_id: str) -> bool:
        outcome = self.outcomes.get(job_id)
        return outcome is not None and outcome.job.stop.is_set()

    def url(self, file: str, job_id: str) -> str:
        """Address of an announced file, relative to the page. The job's id keeps browsers from showing an older run's picture."""
        path = (self.workspace.root / file).resolve()
        if path.suffix.lower() not in FETCHABLE:
            return ""
        with self._lock:
            if str(path) not in self._known:
                self._known.add(str(path))
                self.published.append(str(path))
        return f"gradio_api/file={quote(path.as_posix(), safe='/:')}?job={quote(job_id)}"
