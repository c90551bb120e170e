"""Kinds of checkpoints that came after the first ones: SD Turbo, pruned models, files that safetensors refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import Recorder
from tests.models.tiny_families import (
    SIZE_PX,
    save_folder,
    save_pruned_folder,
    save_sd_turbo,
    save_single_file,
)
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.token_tables import load_token_tables
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training import loop
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_families", "offline", "dataset")


def trained(workspace: Workspace, title: str, **values: object) -> dict[str, torch.Tensor]:
    """Vectors after one step."""
    recorder = Recorder()
    file = create_embedding(CreateSettings(name="anna", overwrite=True, checkpoint=title), workspace)
    settings = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "subject_filewords.txt",
        "learning_rate": "0.01",
        "steps": 1,
        "image_every": 1,
        "preview_steps": 2,
        "checkpoint": title,
        "width": SIZE_PX,
        "height": SIZE_PX,
    }
    loop.train(TrainSettings.from_dict(settings | values), workspace, recorder, recorder.stop)
    return load_embedding(file).vectors


def test_sd_turbo_trains_as_the_same_weights_under_the_older_names_do(workspace: Workspace) -> None:
    turbo = save_sd_turbo(workspace.checkpoints / "sd_turbo.safetensors").name
    older = save_single_file("sd2_eps", workspace.checkpoints / "older.safetensors").name
    tables = [load_token_tables(title, workspace)["clip_h"][1] for title in (turbo, older)]
    assert torch.equal(*tables)
    vectors = [next(iter(trained(workspace, t, prediction_type="epsilon").values())) for t in (turbo, older)]
    assert torch.equal(*vectors) and not torch.equal(vectors[0], torch.zeros_like(vectors[0]))


def test_a_pruned_folder_is_trained_with_the_blocks_that_it_has(workspace: Workspace) -> None:
    save_pruned_folder(workspace.checkpoints / "ssd")
    sd = load_checkpoint("ssd", workspace)
    assert sd.unet.config.mid_block_type == "UNetMidBlock2D" and sd.family.name == "sdxl"
    before = load_embedding(create_embedding(CreateSettings(name="anna", checkpoint="ssd"), workspace)).vectors
    after = trained(workspace, "ssd")
    assert all(not torch.equal(after[encoder], rows) for encoder, rows in before.items())


def test_what_safetensors_says_of_a_file_stays_in_the_sentence(workspace: Workspace) -> None:
    path = save_single_file("sd1", workspace.checkpoints / "m.safetensors")
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length]) | {"__metadata__": {"step": 3}}  # a number where texts belong
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + data[8 + length :])
    with pytest.raises(UserError) as error:
        load_checkpoint("m.safetensors", workspace, LoadOptions(prediction_type="epsilon"))
    assert "invalid type: integer" in error.value.problem or "expected a string" in error.value.problem


@pytest.mark.parametrize("lost", ["folder", "file"])
def test_a_folder_without_its_scheduler_names_that_and_no_hub(workspace: Workspace, lost: str) -> None:
    folder = save_folder("sd1", workspace.checkpoints / "m")
    config = folder / "scheduler" / "scheduler_config.json"
    shutil.rmtree(config.parent) if lost == "folder" else config.unlink()
    for load in (load_checkpoint, load_token_tables):
        for choice in ("m", str(folder)):
            with pytest.raises(UserError, match=r"scheduler/scheduler_config\.json is missing") as error:
                load(choice, workspace)
            assert "hub" not in str(error.value)


def test_a_folder_may_say_nothing_of_its_noise_inside(workspace: Workspace, tmp_path: Path) -> None:
    folder = save_folder("sd1", workspace.checkpoints / "m")
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    assert load_checkpoint("m", workspace).prediction_type == "epsilon"
