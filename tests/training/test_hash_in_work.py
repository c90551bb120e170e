"""A checkpoint's hash holds nothing up: a training begins without it, and all that is written has it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Recorder
from ti_core.checkpoints import hashes
from ti_core.checkpoints.hashes import HashInWork, short_hash
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.events import Event, Progress, StepDone
from ti_core.models.warm import release_model
from ti_core.runs.folder import RunFolder, saved_facts
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training import loop
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

WAIT_S = 120


def test_it_is_computed_beside_and_tells_of_its_progress_while_somebody_waits(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(bytes(9 * 2**20))
    told: list[tuple[int, int]] = []
    work = HashInWork(tmp_path / "m.safetensors", tmp_path / "hashes.json", lambda *progress: told.append(progress))
    used: list[str] = []
    work.then(used.append)
    assert work.result() == work.known == short_hash(tmp_path / "m.safetensors", tmp_path / "hashes.json")
    work.then(used.append)
    assert used == [work.known] * 2 and all(total == 9 * 2**20 for _, total in told)


def test_a_file_that_cannot_be_read_is_one_sentence_for_whoever_needs_it(tmp_path: Path) -> None:
    work, used = HashInWork(tmp_path / "gone", tmp_path / "hashes.json"), list[str]()
    with pytest.raises(UserError, match="'gone' cannot be read"):
        work.result()
    work.then(used.append)
    assert work.known == "" and used == []


def test_a_training_steps_before_the_hash_is_known_and_every_file_has_it(
    workspace: Workspace, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped, compute = threading.Event(), hashes.short_hash

    def slow(path: Path, cache: Path, on_progress: Any = None) -> str:
        assert stepped.wait(WAIT_S), "the training waits for the hash"
        return compute(path, cache, on_progress)

    monkeypatch.setattr(hashes, "short_hash", slow)
    release_model()
    recorder = Recorder()

    def watch(event: Event) -> None:
        recorder(event)
        if isinstance(event, StepDone):
            stepped.set()

    file = create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    values = {"embedding": "anna", "dataset_directory": "datasets/anna", "steps": 2, "width": 64, "height": 64}
    more = {"template_file": "subject_filewords.txt", "checkpoint": TINY, "image_every": 2, "preview_steps": 1}
    loop.train(TrainSettings.from_dict(values | more), workspace, watch, recorder.stop)
    digest = compute(workspace.checkpoints / TINY, workspace.hashes_file)
    (run,) = workspace.root.glob("textual_inversion/*/anna")
    facts = saved_facts(run)
    assert load_embedding(file).checkpoint_hash == digest and facts and facts["checkpoint_hash"] == digest
    assert json.loads(next(run.glob("settings-*.json")).read_text())["model_hash"] == digest
    assert RunFolder(run, "anna").state.is_file()
    assert not any("hash" in event.text for event in recorder.of(Progress) if event.done > event.total)
    release_model()
