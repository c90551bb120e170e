"""What every released version has written is read by this one; and what a newer one may add is told and left aside."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.conftest import Recorder
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Notice
from ti_core.jobs.job import Job
from ti_core.jobs.queue import JobQueue
from ti_core.runs import folder as run_folder
from ti_core.runs.folder import RunFolder, files_of_steps
from ti_core.settings import ResumeSettings, TrainSettings
from ti_core.training.loop import resume, train
from ti_core.training.run_state import load_run_state
from ti_core.workspace import Workspace

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit())


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, workspace: Workspace) -> Workspace:
    """A workspace as that version has left it, with the tiny checkpoint."""
    shutil.copytree(HERE / request.param, workspace.root, dirs_exist_ok=True)
    for job in (workspace.root / "jobs").glob("*.json"):  # a job names its run's folder by the whole path
        kept = json.loads(job.read_text(encoding="utf-8"))
        _, inside, rest = kept["folder"].partition("/textual_inversion/")
        kept["folder"] = str(workspace.root / "textual_inversion" / rest) if inside else kept["folder"]
        job.write_text(json.dumps(kept), encoding="utf-8")
    return workspace


def run_of(workspace: Workspace) -> Path:
    (run,) = (path.parent for path in workspace.root.rglob("state.safetensors"))
    return run


def jobs_of(workspace: Workspace) -> list[Job]:
    queue = JobQueue(workspace, is_paused=True)
    try:
        return queue.table.ordered()
    finally:
        queue.close()


def test_jobs_wait_on_and_an_interrupted_run_can_be_resumed(old: Workspace) -> None:
    jobs = jobs_of(old)
    assert sorted((job.kind, job.state) for job in jobs) == [
        ("create", "finished"),
        ("create", "waiting"),
        ("train", "interrupted"),
        ("train", "waiting"),
    ]
    (stopped,) = (job for job in jobs if job.state == "interrupted")
    assert stopped.resume_step == 4
    assert not [problem for job in jobs for problem in job.notices if "cannot be" in problem or "damaged" in problem]


def test_a_run_goes_on_from_its_state(old: Workspace) -> None:
    run = run_of(old)
    state = load_run_state(RunFolder(run, "anna"))
    assert (state.embedding.step, state.settings.template_file) == (4, "subject_filewords.txt")
    heard = Recorder(stop_at=6)
    resume(ResumeSettings(old.shown(run)), old, heard, heard.stop)
    assert load_embedding(old.embeddings / "anna.pt").step == 6
    assert len((run / "textual_inversion_loss.csv").read_text().splitlines()) == 7


def test_embeddings_copies_and_cards_are_read(old: Workspace) -> None:
    run = run_of(old)
    assert load_embedding(old.embeddings / "anna.pt").step == 4
    for step, files in files_of_steps(run).items():
        for kind, path in files.items():
            assert path.is_file(), (step, kind)
    for step in (2, 4):
        assert load_embedding(run / "embeddings" / f"anna-{step}.pt").step == step
    assert load_embedding(run / "image_embeddings" / "anna-2.png").name == "anna-2"


def test_what_a_newer_version_adds_is_told_and_the_rest_is_used(old: Workspace) -> None:
    # a job
    (kept,) = (path for path in (old.root / "jobs").glob("train-*.json") if '"waiting"' in path.read_text())
    record = json.loads(kept.read_text())
    record["settings"]["telepathy"] = True
    del record["settings"]["steps"]
    record["mood"] = "good"
    kept.write_text(json.dumps(record))
    (job,) = (job for job in jobs_of(old) if job.id == kept.stem)
    told = " ".join(job.notices)
    assert job.state == "waiting" and "telepathy" in told and "mood" in told and "steps" in told
    assert isinstance(job.settings, TrainSettings) and job.settings.steps == TrainSettings().steps

    # a run's state and its settings file
    run = run_of(old)
    tensors, facts = _state(run / "state.safetensors")
    settings = json.loads(facts["settings"]) | {"telepathy": 3}
    del settings["weight_decay" if "weight_decay" in settings else "seed"]
    save_file(tensors, run / "state.safetensors", {**facts, "settings": json.dumps(settings), "aura": "blue"})
    for file in run.glob("settings-*.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "telepathy": {"deep": [1]}}))
    heard = Recorder(stop_at=5)
    resume(ResumeSettings(old.shown(run)), old, heard, heard.stop)
    notes = " ".join(event.text for event in heard.of(Notice) if isinstance(event, Notice))
    assert "telepathy" in notes
    assert load_embedding(old.embeddings / "anna.pt").step == 5


def _state(path: Path) -> tuple[dict, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        facts = dict(file.metadata())
    return {name: tensor.clone() for name, tensor in load_file(path).items()}, facts


# ---- clocks


class _Days(datetime.date):
    """A calendar that turns a page at each look."""

    day = 0

    @classmethod
    def today(cls) -> datetime.date:
        cls.day += 1
        return datetime.date(2026, 12, 30) + datetime.timedelta(cls.day)


def test_a_run_that_passes_midnight_stays_one_run_also_when_it_is_resumed(
    workspace: Workspace, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import TINY
    from ti_core.settings import CreateSettings
    from ti_core.training.create import create_embedding

    monkeypatch.setattr(run_folder.datetime, "date", _Days)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    settings = TrainSettings(
        embedding="anna",
        dataset_directory="datasets/anna",
        template_file="subject.txt",
        steps=10,
        image_every=2,
        save_every=1,
        preview_steps=2,
        width=64,
        height=64,
        checkpoint=TINY,
    )
    heard = Recorder(stop_at=3)
    train(settings, workspace, heard, heard.stop)
    run = run_of(workspace)
    heard = Recorder(stop_at=5)
    resume(ResumeSettings(workspace.shown(run)), workspace, heard, heard.stop)
    assert [path for path in workspace.root.rglob("*-5.pt")] == [run / "embeddings" / "anna-5.pt"]
    assert len((run / "textual_inversion_loss.csv").read_text().splitlines()) == 6
    assert len(list(run.parent.parent.iterdir())) == 1


def test_nothing_in_a_training_is_decided_by_a_clock_that_jumps() -> None:
    """time.time() is set back and forth by people and networks; only the age of left files is told by it."""
    users = [
        path.relative_to(HERE.parents[1]).as_posix()
        for path in (HERE.parents[1] / "ti_core").rglob("*.py")
        if "time.time()" in path.read_text(encoding="utf-8")
    ]
    assert sorted(users) == ["ti_core/data/caption_undo.py", "ti_core/program/temporary_folders.py"]
