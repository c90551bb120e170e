"""What the tabs share: the workspace, the line of jobs, and the files that may be fetched through the page."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from urllib.parse import quote

from ti_core.jobs import JobQueue, Work
from ti_core.options import Settings
from ti_core.ui.roles import who
from ti_core.workspace import Workspace

FETCHABLE = (".png", ".webp", ".jpg", ".pt", ".safetensors", ".csv", ".json")


@dataclass
class Desk:
    """`published` is handed to gradio as its list of allowed paths, and grows only by files that a job has announced.

    Gradio serves everything below an allowed folder inline, so no folder ever gets into the list.
    """

    workspace: Workspace
    jobs: JobQueue
    published: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def order(self, kind: str, settings: Settings) -> str:
        """Put a job of this kind into the line for the person who asks. Gives its id. Raises UserError."""
        return self.jobs.order(kind, settings.to_dict(), who().name).id

    def submit(self, kind: str, title: str, work: Work, result: str = "") -> str:
        """Queue a quick job that is not worth keeping; `result` is what it will have made, for the page that asked. Gives the job's id."""
        return self.jobs.submit(kind, title, work, who().name, result=result).id

    def is_stopping(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and job.stop.is_set()

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
