"""The txt2img job on a tiny checkpoint, and what its pictures tell about themselves."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.errors import SettingsError, UserError
from ti_core.events import Finished, Notice, PreviewSaved, Progress, Started
from ti_core.models.families import FAMILIES
from ti_core.models.sampler import SampleRequest
from ti_core.models.solvers import SOLVERS
from ti_core.painting.infotext import infotext
from ti_core.painting.txt2img import preview_values, txt2img
from ti_core.settings import SAMPLERS, TrainSettings, Txt2ImgSettings
from ti_core.workspace import Workspace

QUICK = {"prompt": "a photo of anna, smiling", "steps": 3, "seed": 7, "checkpoint": TINY}


def put_embedding(workspace: Workspace, name: str, width: int = 32, suffix: str = ".pt") -> Path:
    rows = torch.randn(2, width, generator=torch.Generator().manual_seed(len(name)))
    return save_embedding(workspace.embeddings / f"{name}{suffix}", Embedding(name, {"clip_l": rows}, 5))


def painted(workspace: Workspace, recorder: Recorder | None = None, **values: object) -> list[Path]:
    recorder = recorder or Recorder()
    return txt2img(Txt2ImgSettings.from_dict({**QUICK, **values}), workspace, recorder, recorder.stop)


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def test_the_samplers_of_the_page_are_those_that_can_paint() -> None:
    assert tuple(SOLVERS) == SAMPLERS


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_paints_a_picture_that_depends_on_its_own_seed_only(workspace: Workspace, sampler: str) -> None:
    first, second, _ = painted(workspace, sampler=sampler, count=2)
    (alone,) = painted(workspace, sampler=sampler, seed=8)
    assert pixels(first).shape == (16, 16, 3)
    assert np.array_equal(pixels(second), pixels(alone))
    assert not np.array_equal(pixels(first), pixels(second))


def test_an_embedding_named_in_the_prompt_changes_the_picture_and_is_told_in_the_infotext(workspace: Workspace) -> None:
    (without,) = painted(workspace)
    file = put_embedding(workspace, "Anna")
    put_embedding(workspace, "berta", suffix=".safetensors")
    (with_one,) = painted(workspace)
    assert not np.array_equal(pixels(without), pixels(with_one))
    text = Image.open(with_one).text["parameters"]
    first, last = text.split("\n")
    assert first == "a photo of anna, smiling"
    assert last.startswith("Steps: 3, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 7, Size: 16x16, Model hash: ")
    assert last.endswith(f'Model: tiny, TI hashes: "Anna: {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"')
    assert "TI hashes" not in Image.open(without).text["parameters"]
    (both,) = painted(workspace, negative_prompt="berta")
    text = Image.open(both).text["parameters"]
    assert "\nNegative prompt: berta\n" in text and "Anna: " in text and "berta: " in text


def test_an_embedding_of_another_model_is_named_and_left_out(workspace: Workspace) -> None:
    put_embedding(workspace, "anna", width=768)
    recorder = Recorder()
    painted(workspace, recorder)
    (notice,) = recorder.of(Notice)
    assert notice == Notice(
        "'anna' was trained for another model (vectors of 768 numbers, not 32), so it stays a plain word here."
    )


def test_pictures_are_numbered_on_and_a_grid_of_all_comes_last(workspace: Workspace) -> None:
    recorder = Recorder()
    files = painted(workspace, recorder, count=3)
    assert [file.name for file in files] == ["00000-7.png", "00001-8.png", "00002-9.png", "grid-00000.png"]
    assert [event.step for event in recorder.of(PreviewSaved)] == [1, 2, 3]
    assert recorder.of(Progress)[-1] == Progress("Painting picture 3 of 3", 9, 9)
    assert recorder.of(Finished)[0].files == (str(files[-1]),)
    grid = pixels(files[-1])
    assert grid.shape == (32, 32, 3)
    assert np.array_equal(grid[:16, 16:], pixels(files[1])) and np.array_equal(grid[16:, :16], pixels(files[2]))
    assert [file.name for file in painted(workspace)] == ["00003-7.png"]


def test_interrupt_keeps_the_pictures_that_are_finished(workspace: Workspace) -> None:
    class StopsAtSecond(Recorder):
        def __call__(self, event: object) -> None:
            super().__call__(event)
            if isinstance(event, PreviewSaved):
                self.stop.set()

    recorder = StopsAtSecond()
    files = painted(workspace, recorder, count=3)
    assert len(files) == 1 and files[0].is_file()
    (end,) = recorder.of(Finished)
    assert end.interrupted and end.text.startswith("Interrupted: 1 of 3 pictures.")


def test_a_form_that_cannot_be_painted_is_refused_with_every_problem(workspace: Workspace) -> None:
    with pytest.raises(SettingsError) as error:
        painted(workspace, prompt=" ", steps=0, sampler="LMS")
    assert len(error.value.problems) == 3
    with pytest.raises(UserError, match="Checkpoint 'nowhere' does not exist"):
        txt2img(Txt2ImgSettings(prompt="x", checkpoint="nowhere"), workspace, Recorder(), threading.Event())


def test_the_infotext_quotes_what_would_read_as_the_next_fact_and_tells_another_vae_and_clip_skip() -> None:
    sd: Any = SimpleNamespace(
        name="v1, pruned",
        hash="abc",
        other_vae="",
        clip_skip=1,
        family=FAMILIES["sd1"],
        file=SimpleNamespace(size_px=16),
    )
    sd.prediction_type, sd.chosen_prediction, sd.zero_terminal_snr = "epsilon", "", False
    text = infotext(SampleRequest("x"), sd, {"a": "1", "b": "2"})
    assert text.endswith('Size: 16x16, Model hash: abc, Model: "v1, pruned", TI hashes: "a: 1, b: 2"')
    sd.other_vae, sd.clip_skip = "bright.safetensors", 2
    assert infotext(SampleRequest("x", width=8), sd, {}).endswith(
        'Size: 8x16, Model hash: abc, Model: "v1, pruned", VAE: bright.safetensors, Clip skip: 2'
    )
    sd.prediction_type, sd.chosen_prediction, sd.zero_terminal_snr = (
        "v_prediction",
        "v_prediction, zero terminal SNR",
        True,
    )
    assert infotext(SampleRequest("x"), sd, {}).endswith(
        "Clip skip: 2, Prediction type: v_prediction, Noise Schedule: Zero Terminal SNR"
    )


def test_the_form_gives_the_train_tab_its_preview_values() -> None:
    values = preview_values(
        {
            "prompt": "a photo of anna",
            "negative_prompt": "blur",
            "steps": 12.0,
            "cfg_scale": 5,
            "seed": -1,
            "sampler": "Euler",
            "width": 64,
            "height": 128,
        }
    )
    assert values == {
        "preview_prompt": "a photo of anna",
        "preview_negative_prompt": "blur",
        "preview_steps": 12,
        "preview_cfg_scale": 5.0,
        "preview_guidance_rescale": 0.0,
        "preview_seed": -1,
        "preview_sampler": "Euler",
        "preview_width": 64,
        "preview_height": 128,
    }
    assert TrainSettings.from_dict(values).preview_steps == 12


def test_emphasis_changes_the_picture_and_names_in_brackets_are_found(workspace: Workspace) -> None:
    put_embedding(workspace, "anna")
    recorder = Recorder()
    (plain,) = painted(workspace)
    (strong,) = painted(workspace, recorder, prompt="a photo of (anna:1.4), smiling")
    (escaped,) = painted(workspace, prompt=r"a photo of anna, smiling \(now\)")
    (text,) = painted(workspace, prompt=r"a photo of anna, smiling (now)")
    assert not np.array_equal(pixels(plain), pixels(strong)) and not np.array_equal(pixels(escaped), pixels(text))
    assert any("Embeddings: anna." in event.plan for event in recorder.of(Started))
    assert Image.open(strong).info["parameters"].startswith("a photo of (anna:1.4), smiling\n")


def test_signs_of_a1111_that_mean_something_else_here_are_told(workspace: Workspace) -> None:
    recorder = Recorder()
    painted(workspace, recorder, prompt="a photo <lora:film:1>")
    assert any("<lora:film:1>" in event.text for event in recorder.of(Notice))
