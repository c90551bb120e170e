"""Every family, from a folder and from a single file, with the network cut off: create, train, preview, train on,
paint, read back with diffusers.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import Recorder
from tests.models.tiny_families import KINDS, SIZE_PX, save_folder, save_single_file
from ti_core.embeddings.formats import load_embedding
from ti_core.embeddings.png_file import load_picture
from ti_core.events import Finished, PreviewSaved, Started
from ti_core.models.checkpoint import load_checkpoint
from ti_core.painting.txt2img import txt2img
from ti_core.settings import CreateSettings, ResumeSettings, TrainSettings, Txt2ImgSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import resume, train
from ti_core.workspace import Workspace


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def put_checkpoint(kind: str, layout: str, workspace: Workspace) -> str:
    """Returns its title."""
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    if layout == "folder":
        return save_folder(kind, workspace.checkpoints / kind).name
    return save_single_file(kind, workspace.checkpoints / f"{kind}{layout}").name


def settings_for(title: str, kind: str, **changes: object) -> TrainSettings:
    prediction = {"sd2_eps": "epsilon", "sd2_v": "v_prediction"}.get(kind, "Automatic")
    values = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "subject_filewords.txt",
        "learning_rate": "0.01",
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "steps": 5,
        "image_every": 5,
        "save_every": 5,
        "preview_steps": 2,
        "checkpoint": title,
        "width": SIZE_PX,
        "height": SIZE_PX,
        "prediction_type": prediction,
    }
    return TrainSettings.from_dict({**values, **changes})


def create(title: str, workspace: Workspace) -> Path:
    return create_embedding(
        CreateSettings(name="anna", initialization_text="a woman", vectors=2, checkpoint=title), workspace
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["folder", ".safetensors", ".ckpt"])
def test_an_embedding_is_made_trained_shown_and_read_by_diffusers(
    kind: str, layout: str, workspace: Workspace, dataset: Path, tiny_families: Path
) -> None:
    title = put_checkpoint(kind, layout, workspace)
    file = create(title, workspace)
    before, recorder = load_embedding(file), Recorder()
    train(settings_for(title, kind), workspace, recorder, recorder.stop)
    after = load_embedding(file)
    assert after.count == 2 and after.step == 5
    assert all(not torch.equal(rows, before.vectors[encoder]) for encoder, rows in after.vectors.items())
    _, _, preview, _ = recorder.of(PreviewSaved)  # two prompts of the start, two of the last step
    with Image.open(preview.path) as picture:
        assert picture.size == (SIZE_PX, SIZE_PX)
    card = load_picture(Path(preview.card))
    assert all(torch.allclose(a, b) for a, b in zip(card.vectors.values(), after.vectors.values(), strict=True))
    assert "Embeddings: anna" in painted(title, workspace).of(Started)[0].plan
    read_with_diffusers(kind, file, workspace)


def painted(title: str, workspace: Workspace) -> Recorder:
    recorder = Recorder()
    txt2img(
        Txt2ImgSettings(prompt="a photo of anna", steps=1, width=SIZE_PX, height=SIZE_PX, checkpoint=title),
        workspace,
        recorder,
        recorder.stop,
    )
    return recorder


def read_with_diffusers(kind: str, file: Path, workspace: Workspace) -> None:
    """The calls that diffusers' documentation gives: one for one text encoder, two for SDXL."""
    folder = save_folder(kind, workspace.root / "for diffusers")
    pipeline: DiffusionPipeline
    if kind == "sdxl":
        assert file.suffix == ".safetensors" and set(load_file(file)) == {"clip_l", "clip_g"}
        pipeline = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
        rows = load_file(file)
        pipeline.load_textual_inversion(
            rows["clip_l"], token="<anna>", text_encoder=pipeline.text_encoder, tokenizer=pipeline.tokenizer
        )
        pipeline.load_textual_inversion(
            rows["clip_g"], token="<anna>", text_encoder=pipeline.text_encoder_2, tokenizer=pipeline.tokenizer_2
        )
        pairs = [
            ("clip_l", pipeline.tokenizer, pipeline.text_encoder),
            ("clip_g", pipeline.tokenizer_2, pipeline.text_encoder_2),
        ]
    else:
        pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
        pipeline.load_textual_inversion(str(file), token="<anna>", local_files_only=True)
        pairs = [(next(iter(load_embedding(file).vectors)), pipeline.tokenizer, pipeline.text_encoder)]
    for encoder, tokenizer, network in pairs:
        ids = tokenizer.convert_tokens_to_ids(["<anna>", "<anna>_1"])
        assert torch.equal(network.get_input_embeddings().weight[ids].float(), load_embedding(file).vectors[encoder])


def test_sdxl_trains_on_bit_for_bit(workspace: Workspace, dataset: Path, tiny_families: Path) -> None:
    title = put_checkpoint("sdxl", "folder", workspace)

    def run(*steps: int) -> dict[str, torch.Tensor]:
        file = create_embedding(CreateSettings(name="anna", overwrite=True, checkpoint=title), workspace)
        for until in steps:
            recorder = Recorder()
            train(
                settings_for(title, "sdxl", steps=until, image_every=0, save_every=0),
                workspace,
                recorder,
                recorder.stop,
            )
            assert not recorder.of(Finished)[0].interrupted
        return load_embedding(file).vectors

    unbroken, broken = run(6), run(3, 6)
    assert set(unbroken) == {"clip_l", "clip_g"}
    assert all(torch.equal(rows, broken[encoder]) for encoder, rows in unbroken.items())


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_sdxl_resumes_bit_for_bit(
    workspace: Workspace, dataset: Path, tiny_families: Path, average_decay: float
) -> None:
    title = put_checkpoint("sdxl", "folder", workspace)
    settings = settings_for(title, "sdxl", steps=6, image_every=0, save_every=0, average_decay=average_decay)

    def run(recorder: Recorder) -> tuple[dict[str, torch.Tensor], str]:
        file = create_embedding(CreateSettings(name="anna", overwrite=True, checkpoint=title), workspace)
        train(settings, workspace, recorder, recorder.stop)
        return load_embedding(file).vectors, recorder.of(Started)[0].folder

    unbroken, _ = run(Recorder())
    _, folder = run(Recorder(stop_at=3))
    recorder = Recorder()
    resume(ResumeSettings(folder), workspace, recorder, recorder.stop)
    resumed = load_embedding(workspace.embeddings / "anna.safetensors").vectors
    assert all(torch.equal(rows, resumed[encoder]) for encoder, rows in unbroken.items())


def test_the_summary_of_a_prompt_is_taken_at_its_end_and_passes_a_gradient_to_the_second_encoders_vectors(
    workspace: Workspace, tiny_families: Path
) -> None:
    from ti_core.models.prompt_encoder import PromptEncoder

    sd = load_checkpoint(put_checkpoint("sdxl", "folder", workspace), workspace)
    sd.move_to_device()
    vectors = {name: torch.randn(1, width, requires_grad=True) for name, width in sd.widths.items()}
    conditioning = PromptEncoder(sd).encode(["a photo of anna", "a photo"], {"anna": vectors})
    assert conditioning.hidden_states.shape == (2, 77, 96) and conditioning.pooled[0].shape == (2, 64)
    ids = sd.tokenizers[1](["a photo"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    own = sd.text_encoders[1](ids.to(sd.text_encoders[1].device), output_hidden_states=True)
    assert torch.allclose(conditioning.pooled[0][1].cpu(), own.text_embeds[0].cpu(), atol=1e-6)
    assert torch.allclose(conditioning.hidden_states[1, :, 32:].cpu(), own.hidden_states[-2][0].cpu(), atol=1e-6)
    conditioning.pooled[0][0].sum().backward()
    of_first = vectors["clip_l"].grad  # zeros where all vectors go to the card in one copy
    assert (of_first is None or not of_first.any()) and float(vectors["clip_g"].grad.abs().sum()) > 0
