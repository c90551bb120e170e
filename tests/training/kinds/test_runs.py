"""Negative and slider words through the one loop, on a tiny random checkpoint: exact after a cut, and kept whole in
their files.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.training.test_loop import rows_of, settings_for, train
from tests.training.test_resume import cut_at, go_on
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.embeddings.png_file import load_picture
from ti_core.errors import UserError
from ti_core.events import Evaluated, PreviewSaved, Started, StepDone
from ti_core.settings import CreateSettings
from ti_core.settings.train_kind import AS_CREATED
from ti_core.settings.word_kind import NEGATIVE, SLIDER, WordKind
from ti_core.training import evaluate, loop
from ti_core.training.create import create_embedding
from ti_core.training.kind_presets import KIND_PRESETS, PRESET_OF_KIND
from ti_core.workspace import Workspace

SMILE = {"kind": SLIDER, "slider_on": "a photo of anna", "slider_more": "smiling", "slider_less": "sad"}
KINDS = {
    "slider": (SMILE, {}),
    "guided": ({"kind": NEGATIVE}, {"negative_training": "guided"}),
    "plain": ({"kind": NEGATIVE}, {"negative_training": "plain"}),
}


def create(workspace: Workspace, kind: str) -> Path:
    values = {"name": "anna", "checkpoint": TINY, "vectors": 2, "overwrite": True, **KINDS[kind][0]}
    return create_embedding(CreateSettings.from_dict(values), workspace)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_cut_goes_on_bit_for_bit(workspace: Workspace, dataset: Path, kind: str) -> None:
    more = {**KINDS[kind][1], "norm_control": "direction only"}
    file = create(workspace, kind)
    train(workspace, **more)
    whole = rows_of(file)
    assert float((whole - rows_of(create(workspace, kind))).abs().max()) > 0, "it has learned nothing"
    go_on(workspace, cut_at(workspace, 3, **more))
    assert rows_of(file).equal(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_say_what_it_is_for(workspace: Workspace, dataset: Path, kind: str) -> None:
    file = create(workspace, kind)
    created = load_embedding(file).kind
    assert created == CreateSettings.from_dict({"name": "anna", **KINDS[kind][0]}).word_kind != WordKind()
    recorder = train(workspace, **KINDS[kind][1])
    run = Path(recorder.of(Started)[0].folder)
    assert load_embedding(file).kind == load_embedding(run / "embeddings" / "anna-4.pt").kind == created
    assert load_picture(run / "image_embeddings" / "anna-4.png").kind == created
    for suffix in (".safetensors", ".png"):
        other = save_embedding(file.with_suffix(suffix), load_embedding(file))
        assert load_embedding(other).kind == created
        other.unlink()


def test_previews_of_a_slider_show_less_above_and_more_below(workspace: Workspace, dataset: Path) -> None:
    create(workspace, "slider")
    recorder = train(workspace, steps=2, preview_width=64, preview_height=64)
    first, second = (event for event in recorder.of(PreviewSaved) if event.step == 2)
    assert first.prompt == "a photo of anna, anna"
    assert second.prompt.startswith("a photo of anna, wearing a santa hat")
    with Image.open(first.path) as whole:
        assert whole.width == 3 * 64 and 2 * 64 < whole.height < 3 * 64


def test_previews_of_a_negative_word_are_pairs_and_say_the_negative_prompt(workspace: Workspace, dataset: Path) -> None:
    create(workspace, "guided")
    recorder = train(workspace, steps=2, preview_prompt="a house, [name]", preview_negative_prompt="blurry")
    (preview,) = (event for event in recorder.of(PreviewSaved) if event.step == 2)
    with Image.open(preview.path) as pair:
        assert pair.width == 2 * 16
        assert "a house\nNegative prompt: blurry, anna\n" in pair.info["parameters"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_evaluation_measures_likeness_and_obedience_as_the_kind_means_them(
    workspace: Workspace, dataset: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 3.0)  # else so short a training has no evaluation
    create(workspace, kind)
    recorder = train(workspace, steps=4, evaluate_every=2, image_every=0, **KINDS[kind][1])
    evaluated = recorder.of(Evaluated)
    assert [event.step for event in evaluated] == [2, 4]
    for event in evaluated:
        assert event.losses != event.without and len(event.obedience) > 2
    assert evaluated[0].without == evaluated[1].without and evaluated[0].losses != evaluated[1].losses


@pytest.mark.parametrize("kind", [SLIDER, NEGATIVE])
def test_a_presets_last_step_is_evaluated_saved_and_shown(workspace: Workspace, dataset: Path, kind: str) -> None:
    """Else the best step could never be the last, however often it is."""
    for i in range(20):  # as many as are painted: four would be one update's
        Image.new("RGB", (16, 16), (10 * i, 90, 200 - 10 * i)).save(dataset / f"more-{i}.png")
    create(workspace, "slider" if kind == SLIDER else "guided")
    values = {**KIND_PRESETS[PRESET_OF_KIND[kind]], "kind": AS_CREATED}
    recorder = train(workspace, **values, preview_prompt="anna", preview_steps=1)
    steps = values["steps"]
    assert [event.step for event in recorder.of(Evaluated)][-1] == steps
    assert {event.step for event in recorder.of(PreviewSaved)} >= {values["image_every"], steps}
    assert steps % values["save_every"] == 0 and (kind == NEGATIVE or steps * values["batch_size"] <= 300)


def test_a_word_can_be_trained_as_another_kind_than_it_was_made(workspace: Workspace, dataset: Path) -> None:
    file = create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    train(workspace, steps=1, **SMILE)
    assert load_embedding(file).kind == WordKind(SLIDER, "a photo of anna", "smiling", "sad")


def test_a_slider_whose_lines_are_nowhere_is_refused_by_name(workspace: Workspace, dataset: Path) -> None:
    create(workspace, "slider")
    with pytest.raises(UserError, match="Slider acts on is empty"):
        train(workspace, kind=SLIDER)
    with pytest.raises(UserError, match="Slider more is empty"):
        create_embedding(CreateSettings.from_dict({**SMILE, "name": "x", "slider_more": " "}), workspace)


def test_the_prompts_of_the_steps_are_as_people_read_them(workspace: Workspace, dataset: Path) -> None:
    create(workspace, "slider")
    recorder = Recorder()
    loop.train(settings_for(steps=2), workspace, recorder, recorder.stop)
    assert {event.prompt for event in recorder.of(StepDone)} == {"a photo of anna, anna"}
