"""The copy, card and picture of every step have an address, also after the server has started again."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.jobs.test_kept_jobs import save_state
from tests.jobs.test_store import WaitSettings
from ti_core.errors import Interrupted
from ti_core.events import EmbeddingSaved, Emit, Started
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import RESUME, TRAIN
from ti_core.jobs.queue import JobQueue
from ti_core.runs.folder import RunFolder
from ti_core.settings import ResumeSettings
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.live import STEPS_AT_ONCE, step_files, view
from ti_core.ui.server.files import file_routes
from ti_core.ui.server.roles import AT_THIS_COMPUTER
from ti_core.workspace import Workspace

STEPS = range(10, 160, 10)


def _save(emit: Emit, run: RunFolder, steps: Collection[int]) -> None:
    save_state(run)
    emit(Started("Training anna", 200, folder=str(run.root)))
    for step in steps:
        for path in (run.copy(step), run.card(step), run.preview(step)):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{step} of {path.parent.name}".encode())
        emit(EmbeddingSaved(step, str(run.copy(step))))


def _train(settings: WaitSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    _save(emit, RunFolder(workspace.root / "runs" / "anna", "anna"), STEPS)
    raise Interrupted


def _resume(settings: ResumeSettings, workspace: Workspace, emit: Emit, stop: threading.Event) -> None:
    _save(emit, RunFolder(workspace.root / settings.run_folder, "anna"), [160, 170])


def _check(settings: object, workspace: Workspace, coming: Collection[str]) -> tuple[str, str]:
    return "Train anna", ""


KINDS = {
    "train": JobKind(WaitSettings, _check, _train, run_of=TRAIN.run_of),
    "resume": JobKind(ResumeSettings, _check, _resume, run_of=RESUME.run_of),
}


def check_all_can_be_fetched(context: AppContext, job: str, steps: list[int]) -> None:
    """By their addresses, each with its own bytes."""
    listed = step_files(context, {"job": job})
    assert [step for step, _ in listed["steps"]] == steps and not listed["more"]
    client = TestClient(Starlette(routes=file_routes(context)))
    for step, files in listed["steps"]:
        assert [(kind, name) for kind, name, _ in files] == [
            ("copy", f"anna-{step}.pt"),
            ("card", f"anna-{step}.png"),
            ("picture", f"anna-{step}.png"),
        ]
        got = [client.get(f"/{url}").text for _, _, url in files]
        assert got == [f"{step} of {folder}" for folder in ("embeddings", "image_embeddings", "images")]
        assert "attachment" in client.get(f"/{files[0][2]}").headers["content-disposition"]


def test_every_copy_can_be_downloaded_after_a_restart_and_of_a_resumed_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    jobs = JobQueue(workspace, KINDS)
    trained = jobs.wait_for(jobs.order("train", WaitSettings("anna")), 60)
    first = AppContext(workspace, jobs)
    check_all_can_be_fetched(first, trained.id, list(STEPS))
    seen = view(first, {}, AT_THIS_COMPUTER)["steps"]
    jobs.close()

    jobs = JobQueue(workspace, KINDS)
    context = AppContext(workspace, jobs)
    assert view(context, {}, AT_THIS_COMPUTER)["steps"] not in (
        "",
        seen,
    )  # the addresses are others, so an open page asks again
    check_all_can_be_fetched(context, trained.id, list(STEPS))
    resumed = jobs.wait_for(jobs.resume(trained.id), 60)
    assert resumed.state == "finished", resumed.text
    check_all_can_be_fetched(context, resumed.id, [*STEPS, 160, 170])
    jobs.close()


def test_nobody_can_work_out_a_files_address(tmp_path: Path) -> None:
    """A page of another server once had the same one for the same place."""
    jobs = JobQueue(Workspace(tmp_path), KINDS, is_paused=True)
    first, second = (AppContext(Workspace(tmp_path), jobs).url("a.pt", "job") for _ in range(2))
    assert first != second
    jobs.close()


def test_thousands_of_steps_come_in_portions(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = RunFolder(tmp_path / "runs" / "anna", "anna")
    run.copy(1).parent.mkdir(parents=True)
    count = 2 * STEPS_AT_ONCE + 3
    for step in range(1, count + 1):
        run.copy(step).touch()
    jobs = JobQueue(workspace, KINDS)
    job = jobs.wait_for(
        jobs.submit("train", "anna", lambda emit, stop: emit(Started("anna", 1, folder=str(run.root)))), 60
    )
    context, found = AppContext(workspace, jobs), list[int]()
    while (answer := step_files(context, {"job": job.id, "first": str(len(found))}))["more"]:
        found += [step for step, _ in answer["steps"]]
    found += [step for step, _ in answer["steps"]]
    assert found == list(range(1, count + 1))
    jobs.close()


def test_what_is_no_training_has_no_steps(tmp_path: Path) -> None:
    jobs = JobQueue(Workspace(tmp_path), KINDS)
    job = jobs.wait_for(jobs.submit("create", "anna", lambda emit, stop: None), 60)
    context = AppContext(Workspace(tmp_path), jobs)
    for asked in ({}, {"job": "x"}, {"job": job.id}, {"job": job.id, "first": "-1"}, {"first": "x"}):
        assert step_files(context, asked) == {"steps": [], "more": False}
    assert view(context, {}, AT_THIS_COMPUTER)["steps"] == ""
    jobs.close()
