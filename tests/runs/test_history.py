"""One history of a run: what its folder tells, with the folders before it."""

from __future__ import annotations

from pathlib import Path

from tests.runs.disk import make_a1111_run, make_run
from ti_core.runs.history import files_of_all_steps, first_step_of, folder_of_step, parts_of, read_history


def test_a_runs_folder_tells_its_curve_evaluations_pictures_and_messages(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    history = read_history(run.root)
    assert history.curve == [(step, 1 / step, 0.005) for step in range(1, 31)]
    assert [(step, norm) for step, _, norm in history.evaluations] == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert (history.best, history.usual_norms, history.notices) == (10, (0.3, 0.5), ["anna begins."])
    assert history.previews == [(step, str(run.preview(step)), "a sketch of anna", 1) for step in (10, 20, 30)]
    cut = read_history(run.root, until=15)
    assert (cut.curve[-1][0], len(cut.evaluations), [row[0] for row in cut.previews]) == (15, 1, [10])


def test_a_run_trained_on_another_day_goes_on_from_the_one_before(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-01-29", steps=(10, 20, 30))  # an earlier one that ended at the same step
    first = make_run(tmp_path, "2026-01-30", steps=(10, 20, 30))
    second = make_run(tmp_path, "2026-01-31", steps=(40, 50), total=50, first_step=30)
    third = make_run(tmp_path, "2026-02-01", steps=(50, 60), total=60, first_step=40)  # of a step that was used again
    make_run(tmp_path, "2026-01-31", "berta", steps=(30,))
    assert [(part.folder, part.after) for part in parts_of(third.root)] == [
        (first.root, 0),
        (second.root, 30),
        (third.root, 40),
    ]
    history = read_history(third.root)
    assert [row[0] for row in history.curve] == list(range(1, 61))
    assert [(row[0], Path(row[1]).parts[-3:-1]) for row in history.previews][2:5] == [
        (30, ("anna", "images")),
        (40, ("anna", "images")),
        (50, ("anna", "images")),
    ]
    assert Path(history.previews[4][1]) == third.preview(50)
    assert list(files_of_all_steps(third.root)) == [10, 20, 30, 40, 50, 60]
    assert files_of_all_steps(third.root)[50]["copy"] == third.copy(50)
    assert folder_of_step(third.root, 20) == first.root
    assert folder_of_step(third.root, 40) == second.root
    assert folder_of_step(third.root, 50) == third.root


def test_a_run_whose_beginning_is_not_there_tells_what_there_is(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(40, 50), total=50, first_step=30)
    assert first_step_of(run.root) == 30 and [part.folder for part in parts_of(run.root)] == [run.root]
    assert [row[0] for row in read_history(run.root).curve] == list(range(31, 51))


def test_a_run_of_a1111_tells_its_table_and_pictures(tmp_path: Path) -> None:
    history = read_history(make_a1111_run(tmp_path))
    assert history.curve == [(500, 0.1234567, 0.005), (1000, 0.1, 0.005)]
    assert [(step, prompt, number) for step, _, prompt, number in history.previews] == [(500, "", 1), (1000, "", 1)]
    assert not history.evaluations


def test_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=(2,), total=2)
    with run.events_file.open("a") as file:
        file.write('{"event": "StepDone", "step": 3, "loss": NaN, "rate": 0.1}\n')
        file.write('{"event": "StepDone", "step": "x"}\n{"event": "StepDone", "st\n{"event": "PreviewSaved"}\n')
    with run.evaluation_csv.open("a") as table:
        table.write("3,nan,0.1,2\nx,1,1,1\n4,1\n")
    history = read_history(run.root)
    assert [row[0] for row in history.curve] == [1, 2] and [row[0] for row in history.evaluations] == [2]
    assert not read_history(tmp_path / "nowhere").curve


def test_a_foreign_runs_numbers_cannot_break_the_page(tmp_path: Path) -> None:
    """What a browser cannot read, or Python cannot count with, would end every answer of the server."""
    run, huge = make_run(tmp_path, steps=(10,)), "9" * 400
    with (run.root / "events.jsonl").open("a") as file:
        file.write(f'{{"event": "StepDone", "step": 11, "loss": {huge}, "rate": 1}}\n')
        file.write('{"event": "StepDone", "step": 12, "loss": NaN, "rate": 1}\n')
        file.write('{"event": "PreviewSaved", "step": [10], "number": {}, "prompt": "x"}\n')
        for norms in (f"[{huge}, 1]", "[NaN, Infinity]"):
            file.write(f'{{"event": "Evaluated", "step": 10, "usual_norms": {norms}}}\n')
            file.flush()
            history = read_history(run.root)
            assert [row[0] for row in history.curve] == list(range(1, 11)) and history.usual_norms == (0.0, 0.0)
