"""Models of few steps are painted with values that suit them, and the user is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Recorder
from tests.models.tiny_families import SIZE_PX, save_single_file
from ti_core.checkpoints.library import CheckpointFile
from ti_core.events import Notice
from ti_core.painting.few_steps import few_steps_sentence, suited_grid, suited_previews
from ti_core.painting.txt2img import txt2img
from ti_core.runs.folder import saved_settings
from ti_core.settings import CompareSettings, CreateSettings, TrainSettings, Txt2ImgSettings
from ti_core.training import loop
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_families")


def checkpoint(folder: Path, name: str) -> CheckpointFile:
    folder.mkdir(parents=True, exist_ok=True)
    return CheckpointFile(name, save_single_file("sd1", folder / name))


@pytest.mark.parametrize(
    ("name", "sampler"), [("my_turbo.safetensors", "Euler a"), ("myLightning.safetensors", "Euler")]
)
def test_previews_of_usual_values_get_those_that_suit(tmp_path: Path, name: str, sampler: str) -> None:
    settings, (told,) = suited_previews(TrainSettings(), checkpoint(tmp_path, name))
    assert (settings.preview_sampler, settings.preview_steps, settings.preview_cfg_scale) == (sampler, 6, 1.5)
    assert "CFG Scale 1 to 2 and 4 to 8 steps" in told and f"painted with {sampler}, 6 steps" in told
    grid, _ = suited_grid(CompareSettings(run="r"), checkpoint(tmp_path, name))
    assert (grid.sampling_steps, grid.cfg_scale) == (6, 1.5)


def test_what_was_chosen_stays_and_ordinary_models_are_left_alone(tmp_path: Path) -> None:
    turbo, plain = checkpoint(tmp_path, "my-turbo.safetensors"), checkpoint(tmp_path, "plain.safetensors")
    chosen = TrainSettings(preview_steps=8, preview_cfg_scale=2.0)
    assert suited_previews(chosen, turbo) == (chosen, ())
    strong = TrainSettings(preview_cfg_scale=5.0)
    assert suited_previews(strong, turbo) == (strong, (few_steps_sentence(turbo),))
    assert suited_previews(TrainSettings(), plain) == (TrainSettings(), ())


@pytest.mark.usefixtures("dataset")
def test_a_training_and_txt2img_tell_it(workspace: Workspace) -> None:
    title, recorder = checkpoint(workspace.checkpoints, "my_lcm.safetensors").title, Recorder()
    create_embedding(CreateSettings(name="anna", checkpoint=title), workspace)
    values = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "subject_filewords.txt",
        "steps": 1,
        "image_every": 1,
        "checkpoint": title,
        "width": SIZE_PX,
        "height": SIZE_PX,
    }
    loop.train(TrainSettings.from_dict(values), workspace, recorder, recorder.stop)
    assert sum("made for few steps (LCM)" in notice.text for notice in recorder.of(Notice)) == 1
    (run,) = workspace.root.glob("textual_inversion/*/anna")
    assert saved_settings(run).settings.preview_cfg_scale == 1.5
    recorder = Recorder()
    painted = Txt2ImgSettings("anna", steps=9, width=SIZE_PX, height=SIZE_PX, checkpoint=title)
    txt2img(painted, workspace, recorder, recorder.stop)
    assert any("pictures need CFG Scale 1 to 2" in notice.text for notice in recorder.of(Notice))
