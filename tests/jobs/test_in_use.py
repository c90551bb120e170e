"""Which running and waiting jobs need an embedding."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.embeddings.stored import put
from ti_core.jobs.in_use import job_using
from ti_core.jobs.queue import JobQueue
from ti_core.settings import TrainSettings, Txt2ImgSettings
from ti_core.workspace import Workspace


@pytest.fixture
def jobs(workspace: Workspace) -> Iterator[JobQueue]:
    queue = JobQueue(workspace, is_paused=True)
    yield queue
    queue.close()


def nothing(emit: object, stop: threading.Event) -> None:
    return None


def test_what_is_trained_painted_or_made_is_in_use_until_the_job_has_ended(
    jobs: JobQueue, workspace: Workspace
) -> None:
    put(workspace, "berta-2.pt")
    train = jobs.submit("train", "Train anna", nothing, settings=TrainSettings(embedding="anna"))
    jobs.submit("txt2img", "Paint", nothing, settings=Txt2ImgSettings(prompt="a photo of (berta-2:1.2), clara"))
    jobs.submit("embeddings", "Merge", nothing, result="dora")
    assert job_using("Anna", jobs) is train
    assert all(job_using(name, jobs) for name in ("berta-2", "clara", "dora"))
    assert not any(job_using(name, jobs) for name in ("berta", "photo-1", "emil"))
    jobs.cancel(train.id)
    assert job_using("anna", jobs) is None
