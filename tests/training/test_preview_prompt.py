"""All previews of a run show the same prompt, so that only the training changes the picture; A1111's way is a
choice.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.conftest import Recorder
from tests.training.test_loop import anna, settings_for, train
from tests.training.test_resume import anew, go_on
from ti_core.events import PreviewSaved, Started, StepDone
from ti_core.settings import OF_EACH_STEP, TrainSettings
from ti_core.workspace import Workspace

EVERY_TEN = {
    "steps": 30,
    "image_every": 10,
    "save_every": 0,
    "preview_steps": 1,
    "evaluate_every": 0,
    "gradient_accumulation_steps": 1,
    "batch_size": 1,
}


def prompts(folder: Path) -> dict[str, str]:
    """Of the infotexts of a run's previews."""
    return {
        path.stem: Image.open(path).info["parameters"].splitlines()[0]
        for path in sorted((folder / "images").glob("*.png"))
    }


def folder_of(events: Recorder) -> Path:
    return Path(events.of(Started)[0].folder)  # type: ignore[attr-defined]


def test_the_previews_of_steps_10_20_and_30_have_one_prompt_also_after_a_resume(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    events = train(workspace, **EVERY_TEN)
    unbroken = prompts(folder_of(events))
    assert list(unbroken) == ["anna-10", "anna-20", "anna-30"] and len(set(unbroken.values())) == 1
    trained = [event.prompt for event in events.of(StepDone)]  # type: ignore[attr-defined]
    assert unbroken["anna-10"] == trained[0] and len(set(trained)) > 1
    anew(workspace)
    stopped = train(workspace, Recorder(stop_at=13), **EVERY_TEN)
    for caption in dataset.glob("*.txt"):
        caption.write_text("something else", encoding="utf-8")
    go_on(workspace, folder_of(stopped))
    assert prompts(folder_of(stopped)) == unbroken


def test_another_seed_may_draw_another_prompt_of_the_training(workspace: Workspace, anna: Path) -> None:
    drawn = set()
    for seed in range(6):
        anew(workspace)
        events = train(workspace, **{**EVERY_TEN, "steps": 10, "seed": seed})
        drawn |= set(prompts(folder_of(events)).values())
    assert len(drawn) > 1


def test_a1111s_way_shows_the_prompt_of_the_step(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, **EVERY_TEN, preview_prompts=OF_EACH_STEP)
    of_step = {event.step: event.prompt for event in events.of(StepDone)}  # type: ignore[attr-defined]
    shown = {event.step: event.prompt for event in events.of(PreviewSaved)}  # type: ignore[attr-defined]
    assert shown == {step: of_step[step] for step in (10, 20, 30)} and len(set(shown.values())) > 1


def test_a_typed_prompt_beats_both(workspace: Workspace, anna: Path) -> None:
    for way in TrainSettings.options()["preview_prompts"].choices:
        anew(workspace)
        events = train(workspace, **EVERY_TEN, preview_prompt="anna by the sea", preview_prompts=way)
        assert set(prompts(folder_of(events)).values()) == {"anna by the sea"}
    assert settings_for().preview_prompts != OF_EACH_STEP
