"""A checkpoint of v-prediction and zero terminal SNR is trained, shown and compared as such, from a file as from a
folder; older runs go on as they began.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conftest import Recorder
from tests.models.tiny_families import (
    SIZE_PX,
    change_scheduler,
    save_single_file,
    save_zero_snr_file,
    save_zero_snr_folder,
)
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.events import Evaluated, Notice, PreviewSaved, Started
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.painting.compare import compare
from ti_core.painting.txt2img import txt2img
from ti_core.runs.folder import RunFolder, saved_facts
from ti_core.settings import CompareSettings, CreateSettings, ResumeSettings, TrainSettings, Txt2ImgSettings
from ti_core.training import evaluate, loop, update
from ti_core.training.create import create_embedding
from ti_core.training.noise_loss import noise_predict_loss
from ti_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_families", "dataset")
V_ZERO = "v_prediction, zero terminal SNR"


def train(
    workspace: Workspace, title: str, recorder: Recorder | None = None, **changes: object
) -> tuple[dict[str, torch.Tensor], Path]:
    """Vectors and folder of a training from the same first vectors."""
    recorder = recorder or Recorder()
    file = create_embedding(CreateSettings(name="anna", overwrite=True, checkpoint=title), workspace)
    loop.train(settings_for(title, **changes), workspace, recorder, recorder.stop)
    return load_embedding(file).vectors, Path(recorder.of(Started)[0].folder)


def settings_for(title: str, **changes: object) -> TrainSettings:
    values = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "subject_filewords.txt",
        "learning_rate": "0.01",
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "steps": 5,
        "image_every": 0,
        "save_every": 0,
        "preview_steps": 2,
        "checkpoint": title,
        "width": SIZE_PX,
        "height": SIZE_PX,
        "precision": "float32",
    }
    return TrainSettings.from_dict(values | changes)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(rows, other[encoder]) for encoder, rows in one.items())


def resumed(workspace: Workspace, folder: Path) -> tuple[dict[str, torch.Tensor], Recorder]:
    recorder = Recorder()
    loop.resume(ResumeSettings(str(folder)), workspace, recorder, recorder.stop)
    (file,) = (path for path in workspace.embeddings.glob("anna.*") if path.suffix in (".pt", ".safetensors"))
    return load_embedding(file).vectors, recorder


def copy_tiny(workspace: Workspace, tiny_checkpoint: Path, **values: object) -> Path:
    """A small folder of Stable Diffusion 1 of our own, with these values in its scheduler's configuration."""
    return change_scheduler(shutil.copytree(tiny_checkpoint, workspace.checkpoints / "folder"), **values)


def make_older(folder: Path) -> None:
    """The state and the settings of a run as they were before they told what the checkpoint was taken to predict."""
    state, facts = RunFolder(folder, "anna").state, saved_facts(folder)
    assert facts is not None
    save_file(load_file(state), state, {name: value for name, value in facts.items() if name != "prediction"})
    for path in folder.glob("settings-*.json"):
        kept = json.loads(path.read_text())
        del kept["prediction"], kept["zero_terminal_snr"]
        path.write_text(json.dumps(kept))


def test_training_on_a_marked_file_equals_training_on_a_folder_that_says_so_bit_for_bit(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    last: dict[str, set[float]] = {"update": set(), "evaluate": set()}
    for module in (update, evaluate):

        def watched(sd: StableDiffusion, *given: Any, name: str = module.__name__.rpartition(".")[2]) -> torch.Tensor:
            last[name].add(float(sd.alphas_cumprod[-1]))
            return noise_predict_loss(sd, *given)

        monkeypatch.setattr(module, "noise_predict_loss", watched)
    save_zero_snr_file(workspace.checkpoints / "file.safetensors")
    save_zero_snr_folder(workspace.checkpoints / "folder")
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 1.0)  # else so short a training has no evaluation
    seen = [Recorder(), Recorder()]
    file, run = train(workspace, "file.safetensors", seen[0], evaluate_every=5)
    folder, _ = train(workspace, "folder", seen[1], evaluate_every=5)
    assert same(file, folder) and last == {"update": {0.0}, "evaluate": {0.0}}
    losses = [recorder.of(Evaluated)[0].losses for recorder in seen]
    assert losses[0] == losses[1] and len(losses[0]) > 0
    kept = json.loads(next(run.glob("settings-*.json")).read_text())
    assert (kept["prediction"], kept["zero_terminal_snr"], kept["settings"]["prediction_type"]) == (
        "v_prediction",
        True,
        "Automatic",
    )


def test_a_choice_trains_as_it_says_and_stands_in_settings_previews_and_pictures(workspace: Workspace) -> None:
    marked = save_zero_snr_file(workspace.checkpoints / "marked.safetensors").name
    plain = save_single_file("sdxl", workspace.checkpoints / "plain.safetensors").name
    wanted, _ = train(workspace, marked, steps=1)
    recorder = Recorder()
    chosen, run = train(workspace, plain, recorder, prediction_type=V_ZERO, steps=1, image_every=1)
    assert same(chosen, wanted)
    as_epsilon, ordinary = (
        train(workspace, marked, steps=1, prediction_type="epsilon")[0],
        train(workspace, plain, steps=1)[0],
    )
    assert same(as_epsilon, ordinary) and not same(ordinary, wanted)
    kept = json.loads(next(run.glob("settings-*.json")).read_text())
    assert (kept["prediction"], kept["zero_terminal_snr"], kept["settings"]["prediction_type"]) == (
        "v_prediction",
        True,
        V_ZERO,
    )
    told = Image.open(recorder.of(PreviewSaved)[0].path).text["parameters"]
    assert told.endswith("Prediction type: v_prediction, Noise Schedule: Zero Terminal SNR")
    values = {"prompt": "a woman", "steps": 2, "seed": 1, "width": SIZE_PX, "height": SIZE_PX}
    for checkpoint, prediction, end in (
        (marked, "Automatic", "Model: marked, Noise Schedule: Zero Terminal SNR"),
        (marked, "v_prediction", "Model: marked, Prediction type: v_prediction"),
        (plain, "Automatic", "Model: plain"),
    ):
        (file,) = txt2img(
            Txt2ImgSettings.from_dict({**values, "checkpoint": checkpoint, "prediction_type": prediction}),
            workspace,
            Recorder(),
            Recorder().stop,
        )
        assert Image.open(file).text["parameters"].endswith(end)


@pytest.mark.parametrize("marks", [("v_pred", "ztsnr"), ("ztsnr",)])
def test_an_older_run_goes_on_as_it_began_and_says_what_changed(workspace: Workspace, marks: tuple[str, ...]) -> None:
    title = save_zero_snr_file(workspace.checkpoints / "marked.safetensors", marks).name
    began = "v_prediction" if "v_pred" in marks else "epsilon"
    unbroken, _ = train(workspace, title, steps=2, prediction_type=began)
    _, folder = train(workspace, title, Recorder(stop_at=1), steps=2, prediction_type=began)
    state, facts = RunFolder(folder, "anna").state, saved_facts(folder)
    assert facts is not None
    settings = json.loads(facts["settings"]) | {"prediction_type": "Automatic"}
    save_file(load_file(state), state, facts | {"settings": json.dumps(settings)})
    make_older(folder)
    vectors, recorder = resumed(workspace, folder)
    assert same(vectors, unbroken)
    (told,) = [notice.text for notice in recorder.of(Notice) if "began with" in notice.text]
    assert told.startswith(
        f"marked.safetensors says {began}, zero terminal SNR, but this run began with {began}, so it goes on with"
        f" {began}."
    )
    assert json.loads(sorted(folder.glob("settings-*.json"))[-1].read_text())["settings"]["prediction_type"] == began


def test_a_run_of_today_and_an_older_one_on_a_folder_go_on_without_a_word(
    workspace: Workspace, tiny_checkpoint: Path
) -> None:
    save_zero_snr_file(workspace.checkpoints / "file.safetensors")
    copy_tiny(workspace, tiny_checkpoint, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    for title in ("file.safetensors", "folder"):
        unbroken, _ = train(workspace, title, steps=2)
        _, folder = train(workspace, title, Recorder(stop_at=1), steps=2)
        if title == "folder":
            make_older(folder)
        vectors, recorder = resumed(workspace, folder)
        assert same(vectors, unbroken) and not any("began with" in notice.text for notice in recorder.of(Notice))
        for path in workspace.embeddings.iterdir():
            path.unlink()


def test_a_configuration_that_was_changed_in_between_does_not_change_a_run(
    workspace: Workspace, tiny_checkpoint: Path
) -> None:
    path = copy_tiny(workspace, tiny_checkpoint)
    unbroken, _ = train(workspace, "folder")
    _, folder = train(workspace, "folder", Recorder(stop_at=3))
    change_scheduler(path, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    vectors, recorder = resumed(workspace, folder)
    assert same(vectors, unbroken) and any("goes on with epsilon" in notice.text for notice in recorder.of(Notice))


def test_a_run_that_cannot_go_on_as_it_began_is_refused(workspace: Workspace, tiny_checkpoint: Path) -> None:
    """Noise that is predicted down to zero SNR is no choice, so it is there only while the checkpoint says so."""
    path = copy_tiny(workspace, tiny_checkpoint, rescale_betas_zero_snr=True)
    _, folder = train(workspace, "folder", Recorder(stop_at=3))
    change_scheduler(path, rescale_betas_zero_snr=False)
    with pytest.raises(UserError, match="says epsilon now, but this run began with epsilon, zero terminal SNR"):
        resumed(workspace, folder)


def test_training_on_in_an_older_runs_folder_says_that_the_noise_is_another_now(workspace: Workspace) -> None:
    title = save_zero_snr_file(workspace.checkpoints / "marked.safetensors").name
    _, folder = train(workspace, title, steps=1, prediction_type="v_prediction")
    make_older(folder)
    recorder = Recorder()
    loop.train(settings_for(title, steps=2), workspace, recorder, recorder.stop)
    assert Path(recorder.of(Started)[0].folder) == folder
    assert [notice.text for notice in recorder.of(Notice) if "until here" in notice.text] == [
        f"The steps until here were trained with v_prediction. {title} says {V_ZERO}, so the steps from here on are."
    ]


def test_compare_says_where_a_run_was_trained_with_another_noise_than_is_painted(workspace: Workspace) -> None:
    title = save_zero_snr_file(workspace.checkpoints / "marked.safetensors").name
    _, folder = train(workspace, title, steps=1, save_every=1)
    asked = CompareSettings(run=str(folder), sampling_steps=1, seeds="1", prompts="as trained")

    def told() -> list[str]:
        recorder = Recorder()
        compare(asked, workspace, recorder, recorder.stop)
        return [notice.text for notice in recorder.of(Notice)]

    assert told() == []
    make_older(folder)
    assert told() == [
        f"This run was trained with v_prediction. {title} says {V_ZERO}, and the pictures are painted so, as other"
        " programs paint them."
    ]


def test_a_folder_with_fewer_timesteps_is_trained_and_evaluated_on_its_own(
    workspace: Workspace, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_tiny(workspace, tiny_checkpoint, num_train_timesteps=100)
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 1.0)
    recorder = Recorder()
    train(workspace, "folder", recorder, evaluate_every=5)
    assert recorder.of(Evaluated)
