"""What is done again, smaller, when the card's memory runs out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from tests.models.test_loading import put
from tests.models.tiny_families import SIZE_PX
from tests.painting.test_compare import grid_of
from tests.painting.test_txt2img import painted
from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, train
from ti_core.data import latents
from ti_core.errors import UserError
from ti_core.events import Notice, PreviewSaved
from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.models.warm import release_model
from ti_core.runs.folder import find_runs
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card
TRIES = 4
MIB = 2**20


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    release_model()


def pixels(file: Path) -> np.ndarray:
    return np.array(Image.open(file)).astype(int)


def test_with_little_memory_the_networks_take_turns_and_paint_the_same(
    card: PretendCard, workspace: Workspace, tiny_families: None
) -> None:
    values = {"checkpoint": put("sdxl", workspace), "width": SIZE_PX, "height": SIZE_PX, "steps": 2}
    held = card.used  # by tests before this one, where all share one process
    card.reset_peak()
    (whole,) = painted(workspace, **values)
    together = card.peak - held
    release_model()
    card.becomes(mib=100 + held // MIB)  # less than what is always left free
    recorder = Recorder()
    card.reset_peak()
    (in_turns,) = painted(workspace, recorder, **values)
    assert any("take turns" in event.text for event in recorder.of(Notice))
    assert card.peak - held < 0.85 * together, f"{card.peak - held} of {together} bytes"
    assert np.abs(pixels(whole) - pixels(in_turns)).max() <= 1


def test_wherever_memory_runs_out_while_painting_the_picture_is_the_same_or_there_is_a_sentence(
    card: PretendCard, workspace: Workspace
) -> None:
    (whole,) = painted(workspace)
    with card.counted() as counts:
        painted(workspace)
    painted_all = 0
    for part in range(TRIES):
        release_model()
        card.fail_at(counts["allocations"] * part // TRIES)
        try:
            (again,) = painted(workspace)
        except UserError:
            continue
        finally:
            card.fail_at(-1)
        painted_all += 1
        assert np.abs(pixels(whole) - pixels(again)).max() <= 1
    assert painted_all >= TRIES - 1


def test_wherever_memory_runs_out_in_a_compare_the_grid_is_the_same_or_there_is_a_sentence(
    card: PretendCard, workspace: Workspace, anna: Path
) -> None:
    train(workspace, steps=2, image_every=0, save_every=1)
    (run,) = find_runs(workspace)
    before = card.used
    whole = grid_of(workspace, run)[0]
    with card.counted() as counts:
        grid_of(workspace, run)
    painted_all = 0
    for part in range(TRIES):
        release_model()
        card.fail_at(counts["allocations"] * part // TRIES)
        try:
            again = grid_of(workspace, run)[0]
        except UserError:
            continue
        finally:
            card.fail_at(-1)
        painted_all += 1
        for row, of_whole in zip(again.cells, whole.cells, strict=True):
            for file, of_file in zip(row, of_whole, strict=True):
                assert np.abs(pixels(Path(file)) - pixels(Path(of_file))).max() <= 1
    assert painted_all >= TRIES - 1
    release_model()
    assert card.used <= before


@pytest.mark.parametrize(
    ("mib", "side", "wanted"),
    [
        (24000, 64, ["cuda, the UNet on cuda", "cuda, the UNet on cpu"]),
        (1, 256, ["cpu, the UNet on cpu"]),  # the picture alone is too large, also with nothing else on the card
    ],
)
def test_a_picture_that_does_not_fit_is_encoded_with_nothing_else_on_the_card_then_by_the_processor(
    card: PretendCard, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, mib: int, side: int, wanted: list[str]
) -> None:
    sd = load_checkpoint(TINY, workspace, LoadOptions(precision="float32"))
    sd.move_to_device()
    picture = torch.randint(0, 256, (side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plenty, said, places = latents._mean_and_deviation(sd, picture), list[str](), list[str]()
    sd.on_notice = said.append
    encode = type(sd).encode

    def noted(sd: StableDiffusion, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places.append(f"{given.device.type}, the UNet on {sd.unet.device.type}")
        return encode(sd, given)

    monkeypatch.setattr(type(sd), "encode", noted)
    card.becomes(mib=mib)
    card.fail_at(10)
    found = latents._mean_and_deviation(sd, picture)
    assert places == wanted
    assert ["so the processor prepares it" in sentence for sentence in said] == [True] * (mib == 1)
    assert all(torch.allclose(one.cpu(), other.cpu(), atol=1e-4) for one, other in zip(found, plenty, strict=True))


def test_wherever_memory_runs_out_in_a_training_the_vectors_are_the_same(
    card: PretendCard, workspace: Workspace, anna: Path
) -> None:
    how = {"steps": 2, "image_every": 1, "evaluate_every": 1, "precision": "float32"}
    with card.counted() as counts:
        train(workspace, **how)
    plenty = rows_of(anna)
    for part in range(TRIES):
        release_model()
        create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
        release_model()
        card.fail_at(counts["allocations"] * (2 * part + 1) // (2 * TRIES))
        events = train(workspace, **how)
        assert card.has_failed and events.of(PreviewSaved)
        card.fail_at(-1)
        assert torch.allclose(rows_of(anna), plenty, atol=1e-5), part


def test_without_an_attention_of_the_cards_own_it_works_in_slices(card: PretendCard, workspace: Workspace) -> None:
    card.becomes(flash=False)
    sd = load_checkpoint(TINY, workspace)
    assert not sd.has_fused_attention
    names = {type(processor).__name__ for processor in sd.unet.attn_processors.values()}
    assert names == {"SlicedAttention"}
    card.becomes(flash=True)
    assert load_checkpoint(TINY, workspace).has_fused_attention


def test_what_a_device_needs_nothing_of_lies_in_the_computers_memory(
    card: PretendCard, workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ti_core.training import loop

    devices, take_step = set[str](), loop.take_step

    def looked(run: loop.Run, *given: object) -> bool:
        state = run.state
        for rows in (*state.vectors.values(), *(rows.grad for rows in state.vectors.values())):
            devices.add(rows.device.type)
        return take_step(run, *given)

    monkeypatch.setattr(loop, "take_step", looked)
    train(workspace, steps=1, image_every=0)
    assert devices == {"cpu"}
