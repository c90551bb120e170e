"""Which jobs need an embedding: it cannot be deleted then."""

from __future__ import annotations

from ti_core.embeddings.folder import prompt_words
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.settings.prompts import split_at_names


def job_using(name: str, jobs: JobQueue) -> Job | None:
    """The first running or waiting job that trains the embedding, names it in a prompt, or makes one of that name."""
    words = [name, *prompt_words(jobs.table.workspace)]  # the longest one wins: "anna-2" does not name "anna"
    for job in (*jobs.running(), *jobs.waiting()):
        if name.lower() in (jobs.trained_embedding(job).lower(), job.result.lower()):
            return job
        values = job.settings.to_dict() if job.settings else {}
        prompts = [text for field, text in values.items() if "prompt" in field and isinstance(text, str)]
        if any(found.lower() == name.lower() for text in prompts for found, _ in split_at_names(text, words)):
            return job
    return None
