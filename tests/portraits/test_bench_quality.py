"""The measurement's own arithmetic, and one tiny row of it."""

from __future__ import annotations

import math

import pytest

from bench.quality import IDENTITY, Kept, new_scenes, obeyed, strangers
from bench.quality_report import draw_plot, likeness, mean_runs, of_the_mark, passes_to, show
from bench.quality_rows import ROWS
from ti_core.portraits.sample_photos import is_stranger
from ti_core.portraits.world import BY_NAME
from ti_core.settings import TrainSettings


def run_of(row: str, person: int, seed: int, **curve: float) -> dict[str, object]:
    values = {passes.removeprefix("p"): [identity, 0.9, 0.3] for passes, identity in curve.items()}
    return {
        "key": [row, "x", 1, person, seed],
        "curve": values,
        "best": [max(curve.values()), 0.9, 0.3],
        "best_passes": 30,
    }


def test_the_same_people_are_drawn_for_a_seed_and_others_for_another() -> None:
    assert strangers(1, 3) == strangers(1, 5)[:3] != strangers(2, 3)
    assert all(is_stranger(person) for person in strangers(3, 4))


def test_new_scenes_show_every_style_and_hats_on_half_of_the_heads() -> None:
    scenes = new_scenes()
    assert len(scenes) == 20 and {scene.style for scene in scenes} == set(BY_NAME["style"].values)
    assert sum(scene.hat != "none" for scene in scenes) == 10
    (person,) = strangers(1, 1)
    sketch = next(scene for scene in scenes if scene.style == "sketch")
    assert "shirt" not in obeyed(person, sketch) and "style" in obeyed(person, sketch)
    assert len(IDENTITY) == 13


def test_the_mark_is_compared_with_the_snapshot_of_the_most_identity() -> None:
    """0.02 short of 0.70 and obeying 0.04 more; the last step is 0.01 short and obeys as well as that snapshot."""
    run = {
        "curve": {"300": [0.68, 0.96, 1.0], "1000": [0.70, 0.92, 2.0], "3000": [0.69, 0.92, 3.0]},
        "best": [0.68, 0.96, 1.0],
        "by_loss": [125, 0.69, 0.92, 3.0],
        "best_step": 12,
        "bests": {"12": 12, "120": 12},
    }
    found = of_the_mark([run, {"curve": {}}])
    assert found["mark"] == {"short": 2.0, "obeys": 4.0} and (found["runs"], found["mark_is_last"]) == (1, 0)
    assert found["last"] == found["by_loss"] == {"short": 1.0, "obeys": 0.0}


def test_passes_are_read_between_the_points_on_a_logarithmic_scale() -> None:
    curve = {10: 0.4, 100: 0.6, 1000: 0.7}
    assert passes_to(curve, 0.5) == pytest.approx(math.sqrt(10 * 100))
    assert passes_to(curve, 0.4) == 10 and passes_to(curve, 0.71) is None


def test_likeness_is_measured_against_the_best_that_a1111_reaches_on_the_same_person() -> None:
    runs = [
        run_of("a1111", 0, 0, p30=0.5, p120=0.58),
        run_of("a1111", 0, 1, p30=0.5, p120=0.62),
        run_of("ours", 0, 0, p10=0.5, p30=0.7),
    ]
    rows = mean_runs(runs)
    found = likeness(rows["ours"], rows["a1111"])
    assert found["passes_to_likeness"] == pytest.approx(10 * 3 ** ((0.95 * 0.6 - 0.5) / 0.2), abs=0.1)
    assert found["people_who_got_there"] == "1 of 1"
    assert "50.0 / 90.0" in show({name: {**row, **likeness(row, rows["a1111"])} for name, row in rows.items()})
    assert draw_plot(rows).width > 1000


def test_runs_are_kept_and_found_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    kept = Kept(tmp_path / "runs.jsonl")
    kept.add(("ours", "abc", 1, 0, 0, 30), {"best": [0.5, 0.9, 0.3], "curve": {}})
    assert [run["best"] for run in Kept(tmp_path / "runs.jsonl").runs] == [[0.5, 0.9, 0.3]]


def test_every_row_is_a_form_that_can_be_trained(workspace, dataset) -> None:  # type: ignore[no-untyped-def]
    for name, row in ROWS.items():
        if name == "known":
            continue
        settings = TrainSettings.from_dict(row.train(workspace, "datasets/anna", "zqx"))
        assert not settings.problems(), name
        assert settings.batch_size * settings.gradient_accumulation_steps in (
            row.images_per_step,
            8,
        ), name  # 4 photos here, 12 in the bench
        assert (
            not row.passes
            or row.photos > 12
            or (row.passes == settings.steps * row.images_per_step and row.evaluate_every == settings.image_every)
        ), name


def test_a_longer_run_adds_its_points_to_a_shorter_one(tmp_path) -> None:  # type: ignore[no-untyped-def]
    kept = Kept(tmp_path / "runs.jsonl")
    kept.add(("ours", "abc", 1, 0, 0, 1000), {"best": [0.6, 0.9, 0.3], "curve": {"1000": [0.6, 0.9, 0.3]}})
    kept.add(("ours", "abc", 1, 0, 0, 30), {"best": [0.5, 0.9, 0.3], "curve": {"30": [0.5, 0.9, 0.3]}})
    found = kept.find(("ours", "abc", 1, 0, 0, 30, 1000))
    assert found is not None and found["best"][0] == 0.6 and set(found["curve"]) == {"30", "1000"}
    assert kept.find(("ours", "abc", 1, 0, 0, 120)) is None and kept.find(("ours", "abc", 1, 1, 0, 30)) is None
