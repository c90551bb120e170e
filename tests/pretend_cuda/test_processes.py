"""In processes of their own, which have the card as well: all jobs through the process of the jobs, and a training on
two cards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.jobs.test_process import wait_until
from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, settings_for, train
from ti_core.events import Started
from ti_core.jobs.job import Job
from ti_core.jobs.process import JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.runs.folder import find_runs
from ti_core.settings import CompareSettings, CreateSettings, Txt2ImgSettings
from ti_core.settings.option import Settings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card
ENDS_WITHIN_S = 300


@pytest.fixture
def jobs(card: PretendCard, workspace: Workspace) -> Iterator[JobQueue]:
    card.becomes(mib=4000)
    process = JobProcess()
    jobs = JobQueue(workspace, process.kinds())
    yield jobs
    child = process.start()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(120) == 0
    jobs.close()


def done(jobs: JobQueue, kind: str, settings: Settings) -> Job:
    job = jobs.wait_for(jobs.order(kind, settings), ENDS_WITHIN_S)
    assert job.state == "finished", job.text
    return job


def test_every_kind_of_job_runs_on_the_card(jobs: JobQueue, workspace: Workspace, dataset: Path) -> None:
    done(jobs, "create", CreateSettings(name="anna", checkpoint=TINY, vectors=2))
    job = done(jobs, "train", settings_for(steps=2, save_every=1, image_every=1))
    assert len(job.curve) == 2 and job.previews
    (run,) = find_runs(workspace)
    done(jobs, "compare", CompareSettings.from_dict({"run": run, "sampling_steps": 1, "seeds": "3"}))
    done(jobs, "txt2img", Txt2ImgSettings(prompt="a photo of anna", steps=1, checkpoint=TINY))
    long = jobs.order("train", settings_for(steps=100_000, image_every=0, save_every=0))
    wait_until(lambda: len(long.curve) > 3 or long.has_ended, "the training began")
    jobs.interrupt()
    assert jobs.wait_for(long, ENDS_WITHIN_S).state == "interrupted", long.text


def test_two_cards_give_the_vectors_of_one(card: PretendCard, workspace: Workspace, anna: Path) -> None:
    values = {"steps": 2, "image_every": 0, "save_every": 0, "precision": "float32"}
    train(workspace, **values)
    one = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    card.becomes(count=2)
    both = train(workspace, **values, gpus=2)
    assert both.of(Started) and torch.allclose(rows_of(anna), one, atol=1e-5)
