"""A run that goes on from a step finds its tables and events as they were then."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from ti_core.best_step import load_history
from ti_core.events import Evaluated, Notice, PreviewSaved, StepDone
from ti_core.plan import plan_run
from ti_core.run_folder import RunFolder


def test_runs_of_a_day_never_mix_and_training_on_stays_where_it_ended(tmp_path: Path) -> None:
    def begin(name: str, first_step: int, last_step: int) -> str:
        folder = RunFolder.for_today(tmp_path, name, first_step)
        folder.save_settings({})
        save_file({"vectors.clip_l": torch.zeros(1, 4)}, folder.state, metadata={"step": str(last_step), "name": name, "suffix": ".pt"})
        return folder.root.name

    assert [begin("anna", *steps) for steps in ((0, 3), (3, 5), (0, 3), (3, 4), (0, 4))] == ["anna", "anna", "anna-2", "anna-2", "anna-3"]
    assert [begin("anna", *steps) for steps in ((5, 6), (4, 5), (2, 9))] == ["anna", "anna-3", "anna-4"]  # no run ended at step 2
    assert [begin("anna-3", *steps) for steps in ((5, 7), (0, 7), (7, 8))] == ["anna-3-2", "anna-3-3", "anna-3-3"]


def test_a_line_that_was_cut_short_hides_no_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna")
    for step in (2, 4):
        folder.add_event(Evaluated(step, 0.1, 1.0, 2, [0.1, 0.2], inputs="a"))
        with folder.events_file.open("a") as file:
            file.write('{"event": "Evaluated", "st\n')
    assert load_history(folder.events_file) == load_history(folder.events_file, "a") == {2: [0.1, 0.2], 4: [0.1, 0.2]}


def test_evaluations_that_tell_nothing_of_their_inputs_are_compared_where_there_are_as_many(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "anna")
    for step, losses in ((2, [0.1, 0.2]), (4, [0.1, 0.2, 0.3]), (6, [0.2, 0.2, 0.3])):
        folder.add_event(Evaluated(step, 0.1, 1.0, 2, losses))
    assert list(load_history(folder.events_file)) == [4, 6]


def test_what_came_after_the_step_is_cut_and_a_picture_that_was_written_late_stays(tmp_path: Path) -> None:
    folder, plan = RunFolder(tmp_path, "anna"), plan_run(4, 1, 1, 9)
    folder.add_event(Notice("It begins."))
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
    assert [(event["event"], event.get("step")) for event in kept] == [("Notice", None), ("StepDone", 1), ("StepDone", 2), ("StepDone", 3), ("PreviewSaved", 3)]
    assert [row.split(",")[0] for row in folder.loss_csv.read_text().splitlines()] == ["step", "1", "2", "3"]
    assert [row.split(",")[0] for row in folder.evaluation_csv.read_text().splitlines()] == ["step", "2"]
