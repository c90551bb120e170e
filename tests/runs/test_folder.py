"""A run that goes on from a step finds its tables and events as they were then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ti_core.errors import UserError
from ti_core.events import Evaluated, Notice, PreviewSaved, StepDone
from ti_core.runs.best_step import Measured, load_history
from ti_core.runs.folder import RunFolder, files_of_steps, previews_of_steps, read_events, saved_settings
from ti_core.runs.plan import plan_run
from ti_core.settings import TrainSettings


def test_runs_of_a_day_never_mix_and_training_on_stays_where_it_ended(tmp_path: Path) -> None:
    def begin(name: str, first_step: int, last_step: int) -> str:
        folder = RunFolder.for_today(tmp_path, name, first_step)
        folder.save_settings({})
        save_file(
            {"vectors.clip_l": torch.zeros(1, 4)},
            folder.state,
            metadata={"step": str(last_step), "name": name, "suffix": ".pt"},
        )
        return folder.root.name

    assert [begin("anna", *steps) for steps in ((0, 3), (3, 5), (0, 3), (3, 4), (0, 4))] == [
        "anna",
        "anna",
        "anna-2",
        "anna-2",
        "anna-3",
    ]
    assert [begin("anna", *steps) for steps in ((5, 6), (4, 5), (2, 9))] == [
        "anna",
        "anna-3",
        "anna-4",
    ]  # no run ended at step 2
    assert [begin("anna-3", *steps) for steps in ((5, 7), (0, 7), (7, 8))] == ["anna-3-2", "anna-3-3", "anna-3-3"]


def test_a_line_that_was_cut_short_hides_no_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna")
    for step in (2, 4):
        folder.add_event(Evaluated(step, 0.1, 1.0, 2, [0.1, 0.2], inputs="a"))
        with folder.events_file.open("a") as file:
            file.write('{"event": "Evaluated", "st\n')
    expected = dict.fromkeys((2, 4), Measured([0.1, 0.2], [], []))
    assert load_history(folder.events_file) == load_history(folder.events_file, "a") == expected


def test_evaluations_that_tell_nothing_of_their_inputs_are_compared_where_there_are_as_many(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna")
    for step, losses in ((2, [0.1, 0.2]), (4, [0.1, 0.2, 0.3]), (6, [0.2, 0.2, 0.3])):
        folder.add_event(Evaluated(step, 0.1, 1.0, 2, losses))
    assert list(load_history(folder.events_file)) == [4, 6]


def test_what_came_after_the_step_is_cut_and_a_picture_that_was_written_late_stays(tmp_path: Path) -> None:
    folder, plan = RunFolder(tmp_path, "anna"), plan_run(4, 1, 1, 9)
    folder.add_event(Notice("It begins."))
    folder.add_event(PreviewSaved(0, "anna-0.png", "a photo"))
    for step in range(1, 6):
        folder.add_event(StepDone(step, 0.1, 0.005, "a photo", 0.1))
        folder.add_loss(plan, step, 0.1, 0.005)
        if step % 2 == 0:
            folder.add_evaluation(Evaluated(step, 0.1, 1.0, 2))
    folder.add_event(PreviewSaved(3, "anna-3.png", "a photo"))
    folder.add_event(PreviewSaved(4, "anna-4.png", "a photo"))
    folder.add_event(Notice("It was later."))
    with folder.events_file.open("a") as file:
        file.write('{"event": "StepDone", "st')
    folder.cut_back_to(3)
    kept = [json.loads(line) for line in folder.events_file.read_text().splitlines()]
    assert [(event["event"], event.get("step")) for event in kept] == [
        ("Notice", None),
        ("PreviewSaved", 0),
        ("StepDone", 1),
        ("StepDone", 2),
        ("StepDone", 3),
        ("PreviewSaved", 3),
    ]
    assert [row.split(",")[0] for row in folder.loss_csv.read_text().splitlines()] == ["step", "1", "2", "3"]
    assert [row.split(",")[0] for row in folder.evaluation_csv.read_text().splitlines()] == ["step", "2"]


def test_the_start_stays_where_its_event_came_after_the_first_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna")
    for event in (StepDone(1, 0.1, 0.005, "a photo", 0.1), PreviewSaved(0, "anna-0.png", "a photo"), Notice("Later.")):
        folder.add_event(event)
    folder.cut_back_to(0)
    assert [(event["step"], event["number"]) for event in read_events(folder.events_file, "PreviewSaved")] == [(0, 1)]
    assert len(folder.events_file.read_text().splitlines()) == 1


def test_previews_are_found_by_their_step_and_the_number_of_their_prompt(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna-01")
    names = ["anna-01-0.png", "anna-01-10.png", "anna-01-10-prompt2.png", "anna-01-10-prompt4.png", "other.png"]
    assert [folder.preview(0).name, folder.preview(10, 2).name] == [names[0], names[2]]
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / name).touch()
    found = {step: list(files) for step, files in previews_of_steps(tmp_path).items()}
    assert found == {0: [1], 10: [1, 2, 4]}
    assert files_of_steps(tmp_path)[10]["picture"].name == "anna-01-10.png"


# ---- how a run was trained


def write_settings(folder: Path, **content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "settings-2026-01-31-10-00-00.json").write_text(json.dumps(content))
    return folder


def test_settings_of_another_version_are_used_and_told(tmp_path: Path) -> None:
    written = TrainSettings(embedding="anna", width=64).to_dict()
    del written["gpus"]
    kept = saved_settings(write_settings(tmp_path / "run", settings={**written, "colour": "red"}))
    assert kept.settings.width == 64 and "colour" in kept.sentences()[0] and "gpus (1)" in kept.sentences()[1]


def test_a_settings_file_of_a1111_is_read(tmp_path: Path) -> None:
    a1111 = {
        "datetime": "2023-05-01 10:00:00",
        "model_name": "v1-5",
        "model_hash": "81761151",
        "num_of_dataset_images": 12,
        "num_vectors_per_token": 1,
        "embedding_name": "anna",
        "learn_rate": "0.005",
        "batch_size": 2,
        "gradient_step": 1,
        "data_root": "/photos",
        "training_width": 512,
        "training_height": 768,
        "steps": 150,
        "template_file": "/a1111/textual_inversion_templates/subject.txt",
        "initial_step": 0,
    }
    kept = saved_settings(write_settings(tmp_path / "run", **a1111))
    settings = kept.settings
    assert (settings.embedding, settings.checkpoint, settings.width, settings.height, settings.batch_size) == (
        "anna",
        "v1-5",
        512,
        768,
        2,
    )
    assert kept.sentences() == []


@pytest.mark.parametrize(
    "content",
    [
        {"settings": 5},
        {"settings": {"embedding": "anna", "width": "wide"}},
        {"embedding_name": ["x"]},
        {},
        {"settings": {}},
    ],
)
def test_damaged_settings_of_a_run_are_one_sentence(tmp_path: Path, content: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"damaged|no settings file"):
        saved_settings(write_settings(tmp_path / "run", **content))


def test_a_settings_file_of_brackets_ends_nothing(tmp_path: Path) -> None:
    folder = write_settings(tmp_path / "run")
    next(folder.glob("settings-*.json")).write_text("[" * 200_000)
    with pytest.raises(UserError, match="no settings file"):
        saved_settings(folder)
