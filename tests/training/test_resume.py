"""A run that was interrupted at any moment goes on as if nothing had been, and a failed write leaves the last good
file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, poison, rows_of, settings_for, train
from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR, main
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.errors import UserError
from ti_core.events import Finished, Notice, Started, StepDone
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.view import queue_rows
from ti_core.runs.folder import RunFolder, saved_step
from ti_core.settings import CreateSettings, ResumeSettings
from ti_core.training import loop, run_state
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


class PowerCut(BaseException):
    """Nothing of ours catches it: the run ends where it is, as if it had been killed."""


def cut_at(workspace: Workspace, step: int, **more: object) -> Path:
    """A run that dies right after the event of `step`; gives its folder."""
    recorder = Recorder()

    def die(event: object) -> None:
        recorder(event)  # type: ignore[arg-type]
        if isinstance(event, StepDone) and event.step == step:
            raise PowerCut

    with pytest.raises(PowerCut):
        loop.train(settings_for(**more), workspace, die, recorder.stop)
    return Path(recorder.of(Started)[0].folder)


def go_on(workspace: Workspace, folder: Path) -> Recorder:
    recorder = Recorder()
    loop.resume(ResumeSettings(str(folder)), workspace, recorder, recorder.stop)
    return recorder


def anew(workspace: Workspace) -> None:
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)


@pytest.mark.parametrize("at", [1, 4, 5, 12])
def test_a_run_that_died_goes_on_to_the_same_vectors_and_its_tables_have_no_row_twice(
    workspace: Workspace, anna: Path, at: int
) -> None:
    values = {"steps": 13, "save_every": 4, "image_every": 0}
    train(workspace, **values)
    unbroken = rows_of(anna)
    anew(workspace)
    folder = cut_at(workspace, at, **values)
    begun = load_embedding(anna).step
    assert begun is None or begun == 0  # the file in embeddings/ is still the one before the run
    step = saved_step(folder)
    assert step is not None and at - loop.STATE_EVERY_STEPS <= step < at
    events = go_on(workspace, folder)
    assert torch.equal(rows_of(anna), unbroken) and load_embedding(anna).step == 13
    assert [event.step for event in events.of(StepDone)] == list(range(step + 1, 14))
    rows = (folder / "textual_inversion_loss.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", *map(str, range(1, 14))]
    kept = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in kept if event["event"] == "StepDone"] == list(range(1, 14))
    assert sorted(p.name for p in (folder / "embeddings").glob("*.pt")) == ["anna-12.pt", "anna-4.pt", "anna-8.pt"]


def test_a_slow_disk_never_lets_the_loop_run_further_ahead_of_its_saved_state(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, done = run_state.save_atomically, [0]
    ahead = list[int]()

    def save_slowly(path: Path, write: Callable[[Path], object]) -> Path:
        """Until the loop has come as far as it may without this state, and a little longer, in which it must not go
        on.
        """
        may_reach = min(40, loop.STATE_EVERY_STEPS * (len(ahead) + 1))
        ends = time.monotonic() + 60
        while done[0] < may_reach and time.monotonic() < ends:
            time.sleep(0.005)
        time.sleep(0.05)
        saved = saved_step(path.parent)
        ahead.append(done[0] - (saved or 0))
        return save(path, write)

    def tell(event: object) -> None:
        if isinstance(event, StepDone):
            done[0] = event.step

    monkeypatch.setattr(run_state, "save_atomically", save_slowly)
    loop.train(settings_for(steps=40, save_every=0, image_every=0), workspace, tell, Recorder().stop)
    assert max(ahead) == 2 * loop.STATE_EVERY_STEPS  # the loop did go on while a state was written, and waited then


def test_halved_rates_are_remembered(workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {2})
    values = {"steps": 6, "save_every": 3, "image_every": 0}
    train(workspace, **values)
    unbroken = rows_of(anna)
    anew(workspace)
    go_on(workspace, cut_at(workspace, 5, **values))
    assert torch.equal(rows_of(anna), unbroken)


def test_interrupt_and_resume_is_one_run(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=6, image_every=0)
    unbroken = rows_of(anna)
    anew(workspace)
    folder = Path(train(workspace, Recorder(stop_at=3), steps=6, image_every=0).of(Started)[0].folder)
    assert saved_step(folder) == 3
    assert main(["resume", "--workspace", str(workspace.root), str(folder)]) == EXIT_OK
    assert torch.equal(rows_of(anna), unbroken)


def test_resume_needs_neither_the_embeddings_file_nor_as_many_cards(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(workspace, steps=4, image_every=0)
    unbroken = rows_of(anna)
    anew(workspace)
    monkeypatch.setattr(loop, "is_launched", lambda: True)
    folder = cut_at(workspace, 3, steps=4, image_every=0, gpus=2)
    monkeypatch.setattr(loop, "is_launched", lambda: False)
    monkeypatch.setattr(loop, "count_devices", lambda: 1)
    anna.unlink()
    go_on(workspace, folder)
    assert torch.equal(rows_of(anna), unbroken)


def test_an_interrupted_training_that_went_on_as_a_training_is_not_resumed(workspace: Workspace, anna: Path) -> None:
    """Its last step may be another one by now, and the file in use too."""
    jobs = JobQueue(workspace)
    first = jobs.order("train", settings_for(steps=100_000, image_every=0, save_every=0))
    while len(first.curve) < 3:
        time.sleep(0.02)
    jobs.interrupt()
    assert jobs.wait_for(first, 60).state == "interrupted" and queue_rows(jobs)[0]["resume"]
    at = load_embedding(anna).step
    again = jobs.order("train", settings_for(steps=(at or 0) + 2, image_every=0, save_every=0))
    assert jobs.wait_for(again, 60).state == "finished"
    assert all(row["resume"] is None for row in queue_rows(jobs))
    jobs.close()


def test_a_run_that_died_before_its_last_save_only_saves(workspace: Workspace, anna: Path) -> None:
    folder = Path(train(workspace, steps=2, image_every=0).of(Started)[0].folder)
    unbroken = rows_of(anna)
    anew(workspace)
    events = go_on(workspace, folder)
    assert not events.of(StepDone) and torch.equal(rows_of(anna), unbroken)


def test_a_line_that_was_cut_short_is_taken_out(workspace: Workspace, anna: Path) -> None:
    folder = cut_at(workspace, 3, steps=4, save_every=2, image_every=0)
    for name, half in (("events.jsonl", '{"event": "StepDo'), ("textual_inversion_loss.csv", "4,3,0")):
        with (folder / name).open("a") as file:
            file.write(half)
    go_on(workspace, folder)
    assert all(json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines())
    assert [row.split(",")[0] for row in (folder / "textual_inversion_loss.csv").read_text().splitlines()] == [
        "step",
        "1",
        "2",
        "3",
        "4",
    ]


def test_another_embedding_that_was_changed_in_between_is_told(workspace: Workspace, anna: Path, dataset: Path) -> None:
    other = save_embedding(workspace.embeddings / "oldstyle.pt", Embedding("oldstyle", {"clip_l": torch.ones(1, 32)}))
    next(dataset.glob("*.txt")).write_text("oldstyle")
    folder = cut_at(workspace, 3)
    save_embedding(other, Embedding("oldstyle", {"clip_l": torch.zeros(1, 32)}))
    assert any("other embeddings were changed" in event.text for event in go_on(workspace, folder).of(Notice))


def rewrite_state(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    """Let the state of a run say something else of itself, as another version of this program may."""
    path = folder / "state.safetensors"
    with safe_open(path, "pt") as file:
        facts = dict(file.metadata())
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - it is no dict
    change(facts)
    save_file(tensors, path, metadata=facts)


def test_a_state_of_another_version_goes_on_and_says_so(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=4, image_every=0)
    unbroken = rows_of(anna)
    anew(workspace)
    folder = cut_at(workspace, 3, steps=4, image_every=0)

    def by_another(facts: dict[str, str]) -> None:
        settings = json.loads(facts["settings"])
        del settings["gpus"]
        facts["settings"] = json.dumps({**settings, "colour": "red"})
        for name in ("inputs", "refusals", "checkpoint_hash"):
            del facts[name]
        facts["pictures"] = "[]"

    rewrite_state(folder, by_another)
    notices = " ".join(event.text for event in go_on(workspace, folder).of(Notice))
    assert (
        all(part in notices for part in ("left out: colour", "gpus (1)", "kept no refusals, checkpoint_hash, inputs"))
        and "were changed" not in notices
    )
    assert torch.equal(rows_of(anna), unbroken)


def test_a_state_of_this_version_tells_nothing_of_versions(workspace: Workspace, anna: Path) -> None:
    assert "version" not in " ".join(
        event.text for event in go_on(workspace, cut_at(workspace, 3, steps=4, image_every=0)).of(Notice)
    )


@pytest.mark.parametrize("settings", ['{"steps": "many"}', "[]", "[" * 100_000])
def test_a_state_with_damaged_settings_is_refused(workspace: Workspace, anna: Path, settings: str) -> None:
    folder = cut_at(workspace, 3, steps=4, image_every=0)
    rewrite_state(folder, lambda facts: facts.update(settings=settings))
    with pytest.raises(UserError, match=r"damaged|cannot be read"):
        go_on(workspace, folder)


def test_changed_pictures_are_told_and_another_checkpoint_is_refused(
    workspace: Workspace, anna: Path, dataset: Path, tmp_path: Path
) -> None:
    folder = cut_at(workspace, 3, steps=4, save_every=2, image_every=0)
    next(dataset.glob("*.txt")).write_text("something else")
    assert any("were changed" in event.text for event in go_on(workspace, folder).of(Notice))
    anew(workspace)
    folder = cut_at(workspace, 3, steps=4, save_every=2, image_every=0)
    link = workspace.checkpoints / TINY
    copy = shutil.copytree(link, tmp_path / "other")
    weights = next(copy.glob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    link.unlink()
    link.symlink_to(copy)
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="is another one than this run began with"):
        go_on(workspace, folder)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"x" * 40), lambda f: f.write_bytes(f.read_bytes()[:-9])]
)
def test_a_state_that_is_missing_or_damaged_is_one_sentence(
    workspace: Workspace, anna: Path, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_at(workspace, 3, steps=4, save_every=2, image_every=0)
    damage(RunFolder(folder, "anna").state)  # type: ignore[operator]
    assert main(["resume", "--workspace", str(workspace.root), str(folder)]) == EXIT_USER_ERROR
    assert "state" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("broken", ["state.safetensors", "anna-2.pt", "anna.pt", "anna.pt.optim"])
def test_every_write_that_fails_ends_the_run_with_a_sentence_and_the_last_good_files(
    workspace: Workspace,
    anna: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    broken: str,
) -> None:
    replace, before = os.replace, rows_of(anna)
    calls = []

    def failing(part: object, path: Path) -> None:
        calls.append(1) if Path(path).name == broken else None
        if Path(path).name == broken and (broken != "state.safetensors" or len(calls) > 1):
            raise OSError(number, os.strerror(number))
        replace(part, path)  # type: ignore[arg-type]

    monkeypatch.setattr("ti_core.files.os.replace", failing)
    events = Recorder()
    with pytest.raises(UserError, match="disk is full" if number == errno.ENOSPC else "not allowed"):
        train(workspace, events, steps=3, save_every=2, image_every=0)
    monkeypatch.undo()
    assert not events.of(Finished)
    folder = Path(events.of(Started)[0].folder)
    assert broken == "anna.pt.optim" or torch.equal(rows_of(anna), before)
    assert not list(workspace.root.rglob("*.part"))
    go_on(workspace, folder)
    resumed = rows_of(anna)
    anew(workspace)
    train(workspace, steps=3, save_every=2, image_every=0)
    assert torch.equal(rows_of(anna), resumed)


def test_a_run_whose_folder_is_removed_stops_and_does_not_make_it_anew(workspace: Workspace, anna: Path) -> None:
    recorder = Recorder()

    def remove(event: object) -> None:
        recorder(event)  # type: ignore[arg-type]
        if isinstance(event, StepDone) and event.step == 2:
            while not (Path(recorder.of(Started)[0].folder) / "state.safetensors").exists():
                time.sleep(0.01)  # so that no file is just being written where the folder goes
            shutil.rmtree(recorder.of(Started)[0].folder)

    before = rows_of(anna)
    with pytest.raises(UserError, match="folder 'anna' is not there any more"):
        loop.train(settings_for(steps=9, save_every=0, image_every=0), workspace, remove, recorder.stop)
    assert torch.equal(rows_of(anna), before)
    assert not Path(recorder.of(Started)[0].folder).exists()


def test_the_page_resumes_an_interrupted_training_once(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=200, image_every=0, save_every=0)
    unbroken = rows_of(anna)
    anew(workspace)
    jobs = JobQueue(Workspace(workspace.root, confined=True))
    job = jobs.order("train", settings_for(steps=200, image_every=0, save_every=0), "anna")
    while len(job.curve) < 3 and not job.has_ended:
        time.sleep(0.002)
    jobs.cancel(job.id)
    assert jobs.wait_for(job, 60).state == "interrupted"
    row = queue_rows(jobs)[0]
    assert row["resume"] == job.done
    resumed = jobs.wait_for(jobs.resume(job.id, "boris"), 60)
    assert (resumed.state, resumed.owner) == ("finished", "boris")
    assert torch.equal(rows_of(anna), unbroken)
    assert all(row["resume"] is None for row in queue_rows(jobs))
