"""The grid of a run, step by prompt by seed: which steps, which prompts, and the pictures that txt2img would paint."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, train
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.errors import Interrupted, SettingsError, UserError
from ti_core.events import Finished, Progress, Started
from ti_core.models import sampler
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.painting.compare import chosen_steps, compare
from ti_core.painting.comparison import Comparison, newest_comparison
from ti_core.runs.best_step import best_of
from ti_core.runs.folder import find_runs
from ti_core.settings import CompareSettings
from ti_core.workspace import Workspace


@pytest.fixture
def run(workspace: Workspace, anna: Path) -> str:
    train(workspace, steps=6, save_every=1, image_every=0)
    (found,) = find_runs(workspace)
    return found


def grid_of(workspace: Workspace, run: str, **changes: object) -> tuple[object, Recorder]:
    recorder = Recorder()
    settings = CompareSettings.from_dict({"run": run, "sampling_steps": 2, "seeds": "3, 4", **changes})
    return compare(settings, workspace, recorder, recorder.stop), recorder


def test_steps_are_all_every_nth_or_the_best_and_its_neighbours() -> None:
    steps = [10, 20, 30, 40, 50, 60, 70]
    assert chosen_steps(steps, "all", 3, 0) == steps
    assert chosen_steps(steps, "every n-th", 3, 0) == [30, 60, 70]
    assert chosen_steps(steps, "best and neighbours", 3, 40) == [20, 30, 40, 50, 60]
    assert chosen_steps(steps, "best and neighbours", 3, 10) == [10, 20, 30]
    with pytest.raises(UserError, match="no evaluation"):
        chosen_steps(steps, "best and neighbours", 3, 0)


def test_each_cell_is_the_picture_that_this_step_paints_alone(workspace: Workspace, run: str) -> None:
    before = rows_of(workspace.embeddings / "anna.pt")
    made, recorder = grid_of(workspace, run, steps="every n-th", every_nth=3)
    assert (made.steps, made.name) == ([3, 6], "anna")
    assert [row[1] for row in made.rows] == [3, 4, 3, 4]
    assert "anna" in made.rows[0][0] and made.rows[2][0] == "a sketch of anna"
    sd = load_checkpoint(TINY, workspace)
    sd.move_to_device()
    copy = load_embedding(workspace.root / run / "embeddings" / "anna-3.pt")
    alone = sample_images(sd, [SampleRequest("a sketch of anna", seed=4, steps=2)], {"anna": copy.vectors})[0]
    with Image.open(made.cells[3][0]) as cell:
        assert (
            max(high for _, high in ImageChops.difference(cell.convert("RGB"), alone).getextrema()) <= 1
        )  # a batch may round differently
    with Image.open(made.grid) as grid:
        assert grid.width == 2 * 160
    assert (
        [event.total for event in recorder.of(Started)] == [8]
        and recorder.of(Progress)
        and recorder.of(Finished)[0].files == (made.grid,)
    )
    assert newest_comparison(workspace) == made
    assert (rows_of(workspace.embeddings / "anna.pt") == before).all()


def test_other_embeddings_are_used_and_one_with_a_longer_name_stays_itself(workspace: Workspace, run: str) -> None:
    rows = {"clip_l": torch.randn(2, 32, generator=torch.Generator().manual_seed(1))}
    save_embedding(workspace.embeddings / "anna-b.pt", Embedding("anna-b", rows))
    made, _ = grid_of(
        workspace, run, prompts="[name] beside anna-b", seeds="3", steps="every n-th", every_nth=6, trained_prompt=False
    )
    copy = load_embedding(workspace.root / run / "embeddings" / "anna-6.pt")
    request = SampleRequest("anna beside anna-b", seed=3, steps=2)
    sd = load_checkpoint(TINY, workspace)
    sd.move_to_device()
    alone = sample_images(sd, [request], {"anna": copy.vectors, "anna-b": rows})[0]
    with Image.open(made.cells[0][0]) as cell:
        assert max(high for _, high in ImageChops.difference(cell.convert("RGB"), alone).getextrema()) <= 1


def test_the_networks_are_brought_to_the_device(
    workspace: Workspace, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was loaded rests in the computer's memory; on a graphics card painting from there would fail."""
    moved = list[StableDiffusion]()
    move_to_device = StableDiffusion.move_to_device

    def note(sd: StableDiffusion, *given: bool) -> None:
        moved.append(sd)
        move_to_device(sd, *given)

    monkeypatch.setattr(StableDiffusion, "move_to_device", note)
    grid_of(workspace, run, steps="every n-th", every_nth=6)
    assert len(moved) == 1


def test_where_memory_runs_out_fewer_are_painted_together_and_the_pictures_are_the_same(
    workspace: Workspace, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint, sizes = sampler._sample_latents, list[int]()

    def paint_few(sd: StableDiffusion, part: list[SampleRequest], *more: object) -> torch.Tensor:
        sizes.append(len(part))
        if len(part) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 6.00 GiB.")
        return paint(sd, part, *more)  # type: ignore[arg-type]

    whole, _ = grid_of(workspace, run)
    monkeypatch.setattr(sampler, "_sample_latents", paint_few)
    parts, _ = grid_of(workspace, run)
    assert sizes[:3] == [12, 6, 3] and sizes.count(3) == len(parts.steps) * len(parts.rows) / 3
    assert [Path(file).read_bytes() for row in parts.cells for file in row] == [
        Path(file).read_bytes() for row in whole.cells for file in row
    ]
    monkeypatch.setattr(
        sampler, "_sample_latents", lambda *given: (_ for _ in ()).throw(RuntimeError("CUDA out of memory."))
    )
    with pytest.raises(UserError, match=r"memory is too small for a picture of 16x16\. Choose a smaller Width"):
        grid_of(workspace, run)


def test_a_long_prompt_changes_no_other_prompts_pictures(workspace: Workspace, run: str) -> None:
    alone, _ = grid_of(workspace, run, prompts="a sketch of [name]")
    beside, _ = grid_of(workspace, run, prompts=f"a sketch of [name]\n{'very ' * 90}long [name]")
    for files, again in zip(alone.cells, beside.cells, strict=False):
        assert [Path(file).read_bytes() for file in files] == [Path(file).read_bytes() for file in again]


def test_two_grids_of_a_day_lie_side_by_side(workspace: Workspace, run: str) -> None:
    first, _ = grid_of(workspace, run, steps="every n-th", every_nth=6, seeds="1", prompts="a photo of [name]")
    second, _ = grid_of(workspace, run, steps="every n-th", every_nth=6, seeds="1", prompts="a photo of [name]")
    assert Path(first.grid).is_file() and first.grid != second.grid and newest_comparison(workspace) == second


def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(workspace: Workspace, run: str) -> None:
    with pytest.raises(SettingsError, match="does not contain \\[name\\]"):
        grid_of(workspace, run, prompts="a sketch")
    with pytest.raises(SettingsError, match="Seeds are 'x'"):
        grid_of(workspace, run, seeds="x")
    with pytest.raises(UserError, match="more than 1000"):
        grid_of(workspace, run, seeds=", ".join(map(str, range(200))))
    with pytest.raises(UserError, match="no copies"):
        grid_of(workspace, "datasets")
    next((workspace.root / run).glob("settings-*.json")).write_text("{")
    with pytest.raises(UserError, match="no settings file"):
        grid_of(workspace, run)


def test_interrupt_ends_it_without_a_grid(workspace: Workspace, run: str) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        compare(CompareSettings.from_dict({"run": run}), workspace, lambda event: None, stop)
    assert newest_comparison(workspace) is None


def test_the_best_step_is_read_from_the_runs_events(workspace: Workspace, run: str) -> None:
    folder = workspace.root / run
    assert best_of(folder) == 0
    with (folder / "events.jsonl").open("a") as file:
        for step, losses in ((2, [0.5, 0.6]), (4, [0.1, 0.2]), (6, [0.5, 0.7])):
            file.write(
                json.dumps({"event": "Evaluated", "step": step, "loss": sum(losses) / 2, "losses": losses}) + "\n"
            )
    assert best_of(folder) == 4
    made, _ = grid_of(workspace, run, steps="best and neighbours", seeds="1", prompts="[name]")
    assert (made.best, made.steps) == (4, [2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    "damage",
    [
        {"grid": 5},
        {"grid": "a\0b"},
        {"cells": [["a.png"], ["b.png"]]},
        {"cells": [[5]]},
        {"rows": [["a"]]},
        {"rows": 5},
        {"steps": ["x"]},
        {"best": None},
        {"run": {}},
    ],
)
def test_a_grid_of_another_version_is_shown_and_a_damaged_one_is_not(tmp_path: Path, damage: dict[str, object]) -> None:
    """A damaged one once stopped the whole page's news of ended jobs."""
    folder = tmp_path / "outputs" / "compare" / "2026-01-31" / "001"
    folder.mkdir(parents=True)
    (folder / "grid.png").write_bytes(b"x")
    made = {
        "run": "r",
        "name": "anna",
        "steps": [1],
        "best": 1,
        "rows": [["a", 1]],
        "cells": [["a.png"]],
        "grid": str(folder / "grid.png"),
    }
    (folder / "comparison.json").write_text(json.dumps({**made, "colour": "red"}))
    assert newest_comparison(Workspace(tmp_path)) == Comparison(
        "r", "anna", [1], 1, [("a", 1)], [["a.png"]], str(folder / "grid.png")
    )
    (folder / "comparison.json").write_text(json.dumps({**made, **damage}))
    assert newest_comparison(Workspace(tmp_path)) is None


def test_training_photos_are_shown_once_each_and_older_grids_have_none(workspace: Workspace, run: str) -> None:
    made, _ = grid_of(workspace, run, seeds="3", steps="every n-th", every_nth=6)
    assert made.photos and all(Path(file).is_file() for file in made.photos)
    kept = Path(made.grid).with_name("comparison.json")
    old = {name: value for name, value in json.loads(kept.read_text(encoding="utf-8")).items() if name != "photos"}
    kept.write_text(json.dumps(old), encoding="utf-8")
    found = newest_comparison(workspace)
    assert found and found.photos == [] and found.cells == made.cells
    assert grid_of(workspace, run, seeds="3", steps="every n-th", every_nth=6, photos=False)[0].photos == []


def test_the_trainings_prompt_is_a_tick_and_may_still_be_typed() -> None:
    assert CompareSettings(prompts="a [name]").prompt_lines == ["as trained", "a [name]"]
    assert CompareSettings(prompts="a [name]\nas trained").prompt_lines == ["a [name]", "as trained"]
    assert CompareSettings(prompts="a [name]", trained_prompt=False).prompt_lines == ["a [name]"]
    assert any(
        "tick With a prompt" in problem for problem in CompareSettings(prompts=" ", trained_prompt=False).problems()
    )


def test_strengths_are_columns_of_one_step_and_those_below_nothing_the_negative_prompt(
    workspace: Workspace, run: str
) -> None:
    made, _ = grid_of(workspace, run, strengths="-1, 0 0.5; 1", trained_prompt=False, seeds="3")
    assert isinstance(made, Comparison)
    assert made.steps == [6] * 4
    assert made.columns == [f"step 6, strength {strength}" for strength in ("-1", "0", "0.5", "1")]
    sd = load_checkpoint(TINY, workspace)
    sd.move_to_device()
    vectors = {"anna": load_embedding(workspace.root / run / "embeddings" / "anna-6.pt").vectors}
    prompts = (("a sketch", "anna"), ("a sketch", ""), ("a sketch of (anna:0.5)", ""), ("a sketch of anna", ""))
    for cell, (prompt, negative) in zip(made.cells[0], prompts, strict=True):
        (alone,) = sample_images(sd, [SampleRequest(prompt, negative, seed=3, steps=2)], vectors)
        with Image.open(cell) as picture:
            assert max(high for _, high in ImageChops.difference(picture.convert("RGB"), alone).getextrema()) <= 1
    assert newest_comparison(workspace) == made


@pytest.mark.parametrize("strengths", ["a lot", "1, nan", "99", ", ".join(map(str, range(13)))])
def test_strengths_that_are_no_numbers_are_refused(strengths: str) -> None:
    assert [p.field for p in CompareSettings(run="x", strengths=strengths).problems()] == ["strengths"]
