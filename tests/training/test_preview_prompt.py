"""All previews of a run show the same prompts, so that only the training changes the pictures; A1111's way is a
choice.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, settings_for, train
from tests.training.test_resume import anew, go_on
from ti_core.events import PreviewSaved, Started, StepDone
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.warm import warm_checkpoint
from ti_core.runs.folder import RunFolder, files_of_steps, previews_of_steps
from ti_core.settings import OF_EACH_STEP, PORTRAITS, CreateSettings, TrainSettings
from ti_core.settings.word_kind import WordKind
from ti_core.training import run_state
from ti_core.training.create import create_embedding
from ti_core.training.run_state import load_run_state
from ti_core.training.snapshots import obedience_prompt
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
    return Path(events.of(Started)[0].folder)


def told(events: Recorder) -> list[tuple[int, int, str]]:
    """(step, number, prompt) of each preview, as it came."""
    return [(event.step, event.number, event.prompt) for event in events.of(PreviewSaved)]


def test_all_previews_show_a_prompt_of_the_training_and_one_more_also_after_a_resume(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    events = train(workspace, **EVERY_TEN)
    unbroken = prompts(folder_of(events))
    names = [f"anna-{step}{more}" for step in (0, 10, 20, 30) for more in ("", "-prompt2")]
    assert sorted(unbroken) == sorted(names)
    trained = [event.prompt for event in events.of(StepDone)]
    shown = [trained[0], "a pencil sketch of anna"]
    assert [unbroken[name] for name in names] == shown * 4 and len(set(trained)) > 1
    assert told(events) == [(step, n, shown[n - 1]) for step in (0, 10, 20, 30) for n in (1, 2)]
    anew(workspace)
    stopped = train(workspace, Recorder(stop_at=13), **EVERY_TEN)
    for caption in dataset.glob("*.txt"):
        caption.write_text("something else", encoding="utf-8")
    went_on = go_on(workspace, folder_of(stopped))
    assert prompts(folder_of(stopped)) == unbroken
    assert [step for step, *_ in told(went_on)] == [20, 20, 30, 30]


def test_the_first_prompt_has_a1111s_names_and_the_card(workspace: Workspace, anna: Path) -> None:
    folder = folder_of(train(workspace, **EVERY_TEN))
    assert sorted(path.name for path in (folder / "image_embeddings").iterdir()) == [
        f"anna-{step}.png" for step in (10, 20, 30)
    ]
    files = files_of_steps(folder)
    assert files[10] == {"card": folder / "image_embeddings/anna-10.png", "picture": folder / "images/anna-10.png"}
    assert list(files[0]) == ["picture"]
    previews = previews_of_steps(folder)
    assert list(previews) == [0, 10, 20, 30] and list(previews[10]) == [1, 2]
    assert previews[10][2].name == "anna-10-prompt2.png"


def test_another_seed_may_draw_another_prompt_of_the_training(workspace: Workspace, anna: Path) -> None:
    drawn = set()
    for seed in range(6):
        anew(workspace)
        events = train(workspace, **{**EVERY_TEN, "steps": 10, "seed": seed})
        drawn |= {prompt for _, number, prompt in told(events) if number == 1}
    assert len(drawn) > 1


def test_a1111s_way_shows_the_prompt_of_the_step(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, **EVERY_TEN, preview_prompts=OF_EACH_STEP)
    of_step = {event.step: event.prompt for event in events.of(StepDone)}
    shown = {event.step: event.prompt for event in events.of(PreviewSaved)}
    of_step[0] = of_step[1]  # the start shows that of the step to come
    assert shown == {step: of_step[step] for step in (0, 10, 20, 30)} and len(set(shown.values())) > 1
    assert len(told(events)) == 4


def test_typed_prompts_beat_both_and_name_the_embedding(workspace: Workspace, anna: Path) -> None:
    typed = "anna by the sea\n\n  a painting of [name] \nanna by the sea\n"
    for way in TrainSettings.options()["preview_prompts"].choices:
        anew(workspace)
        events = train(workspace, **EVERY_TEN, preview_prompt=typed, preview_prompts=way)
        assert [prompt for _, _, prompt in told(events)] == ["anna by the sea", "a painting of anna"] * 4
    assert settings_for().preview_prompts != OF_EACH_STEP


def test_a_fifth_prompt_and_one_without_the_embedding_are_refused() -> None:
    problems = settings_for(preview_prompt="[name] 1\n[name] 2\n[name] 3\n[name] 4\n[name] 5").problems()
    assert problems == ["Preview prompts has 5 lines. Keep 4 or fewer."]
    (problem,) = settings_for(preview_prompt="a photo of Anna\na photo of a cat").problems()
    assert "'a photo of a cat' does not contain the embedding" in problem and "[name]" in problem
    assert not settings_for(preview_prompt="[name], sad\na cat with [name]\nanna").problems()


def test_the_second_prompt_suits_the_checkpoint_and_the_template() -> None:
    def second(checkpoint: str, *lines: str) -> str:
        inputs: Any = SimpleNamespace(embedding=SimpleNamespace(name="anna"), lines=list(lines), kind=WordKind())
        return obedience_prompt(settings_for(checkpoint=checkpoint), inputs)

    assert second(TINY, "a photo of [name]") == "a pencil sketch of anna"
    assert second(TINY, "a photo of [name]", "a picture in the style of [name]") == "a house in the style of anna"
    assert "santa hat" in second(PORTRAITS, "a picture in the style of [name]")


def test_all_prompts_of_a_preview_are_painted_in_one_batch_with_one_seed(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, predict = [], StableDiffusion.predict

    def counted(sd: StableDiffusion, latents: torch.Tensor, *more: Any) -> torch.Tensor:
        if not torch.is_grad_enabled():
            sizes.append(len(latents))
        return predict(sd, latents, *more)

    monkeypatch.setattr(StableDiffusion, "predict", counted)
    lines = ["[name]", "a sad [name]", "a photo of [name]"]
    values = {**EVERY_TEN, "steps": 1, "image_every": 1, "preview_steps": 3, "preview_seed": -1}
    events = train(workspace, preview_prompt="\n".join(lines), **values)
    assert sizes == [6] * 3 + [6] * 3  # three prompts with and without guidance, three solver steps; start, step 1
    seeds = {step: set[str]() for step in (0, 1)}
    for event in events.of(PreviewSaved):
        seeds[event.step].add(Image.open(event.path).info["parameters"].split("Seed: ")[1].split(",")[0])
    assert all(len(used) == 1 for used in seeds.values())


def test_where_memory_runs_out_the_prompts_are_painted_one_by_one_and_look_the_same(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside a prompt of two chunks, which decides how far the others are filled up."""
    values = {**EVERY_TEN, "steps": 1, "image_every": 1, "preview_prompt": f"[name]\n[name] {'word ' * 90}"}
    together = folder_of(train(workspace, **values))
    anew(workspace)
    predict = StableDiffusion.predict

    def limited(sd: StableDiffusion, latents: torch.Tensor, *more: Any) -> torch.Tensor:
        if not torch.is_grad_enabled() and len(latents) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return predict(sd, latents, *more)

    monkeypatch.setattr(StableDiffusion, "predict", limited)
    one_by_one = folder_of(train(workspace, **values))
    assert one_by_one != together
    for step, pictures in previews_of_steps(together).items():
        for number, path in pictures.items():
            other = previews_of_steps(one_by_one)[step][number]
            difference = torch.tensor(list(Image.open(path).tobytes())) - torch.tensor(
                list(Image.open(other).tobytes())
            )
            assert difference.abs().max() <= 1, path.name


def test_the_state_of_an_older_version_keeps_its_one_prompt(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had "preview_prompt", and a typed one could have line breaks."""
    save = run_state.save

    def as_before(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        drawn = json.loads(metadata.pop("preview_prompts"))[0]
        return save(tensors, metadata={**metadata, "preview_prompt": drawn})

    monkeypatch.setattr(run_state, "save", as_before)
    stopped = train(workspace, Recorder(stop_at=13), **EVERY_TEN)
    monkeypatch.undo()
    drawn = told(stopped)[0][2]
    assert told(go_on(workspace, folder_of(stopped))) == [(20, 1, drawn), (30, 1, drawn)]
    anew(workspace)
    monkeypatch.setattr(run_state, "save", as_before)
    typed = folder_of(train(workspace, **EVERY_TEN, preview_prompt="a photo of anna,\nby the sea [name]"))
    assert load_run_state(RunFolder(typed, "anna")).settings.preview_lines == ["a photo of anna, by the sea [name]"]
