"""Every family on the card: create, train, evaluate, preview, interrupt, resume, compare, paint with every sampler; and
nothing of it stays on the card.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import Recorder
from tests.models.tiny_families import SIZE_PX
from tests.pretend_cuda.card import PretendCard
from tests.training.test_families import create, put_checkpoint, settings_for
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Evaluated, Finished, PreviewSaved, Started
from ti_core.models.warm import release_model
from ti_core.painting.compare import compare
from ti_core.painting.txt2img import txt2img
from ti_core.settings import SAMPLERS, CompareSettings, ResumeSettings, Txt2ImgSettings
from ti_core.training import evaluate
from ti_core.training.loop import resume, train
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card
EVERY_TWO = {"steps": 4, "image_every": 2, "save_every": 2, "evaluate_every": 2, "preview_steps": 1}


def trained(title: str, kind: str, workspace: Workspace, stop_at: int = 0) -> Recorder:
    """Its preview, copy and evaluation come every second step of four."""
    recorder = Recorder(stop_at)
    train(settings_for(title, kind, **EVERY_TWO), workspace, recorder, recorder.stop)
    return recorder


def vectors_of(file: Path) -> dict[str, torch.Tensor]:
    return dict(load_embedding(file).vectors)


@pytest.mark.parametrize(
    ("kind", "bf16", "flash"),
    [("sd1", True, True), ("sd2_v", False, True), ("sdxl", False, False), ("sd1_inpainting", True, False)],
)
def test_all_that_a_family_does_is_done_on_the_card(
    card: PretendCard,
    monkeypatch: pytest.MonkeyPatch,
    workspace: Workspace,
    dataset: Path,
    tiny_families: Path,
    kind: str,
    bf16: bool,
    flash: bool,
) -> None:
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 0.7)  # of four steps, an evaluation at every second
    monkeypatch.setattr(evaluate, "FEWEST", 1)
    release_model()
    card.becomes(bf16=bf16, flash=flash)
    before = card.used
    title = put_checkpoint(kind, "folder", workspace)

    # Create and train, without and with an interruption
    file = create(title, workspace)
    begun = file.read_bytes()
    whole = trained(title, kind, workspace)
    assert len(whole.of(Evaluated)) == 2 and len({event.step for event in whole.of(PreviewSaved)}) == 3
    assert not whole.of(Finished)[0].interrupted
    unbroken = vectors_of(file)
    file.write_bytes(begun)
    broken = trained(title, kind, workspace, stop_at=3)
    assert broken.of(Finished)[0].interrupted
    run_folder, recorder = broken.of(Started)[0].folder, Recorder()
    resume(ResumeSettings(run_folder), workspace, recorder, recorder.stop)
    assert all(torch.equal(rows, unbroken[encoder]) for encoder, rows in vectors_of(file).items())

    # Compare, and every sampler
    grid = CompareSettings.from_dict({"run": workspace.shown(Path(run_folder)), "sampling_steps": 1, "seeds": "3"})
    assert Path(compare(grid, workspace, recorder, recorder.stop).grid).is_file()
    for sampler in SAMPLERS:
        asked = Txt2ImgSettings(
            prompt="a (photo:1.2) of anna", steps=2, width=SIZE_PX, height=SIZE_PX, checkpoint=title, sampler=sampler
        )
        recorder = Recorder()
        txt2img(asked, workspace, recorder, recorder.stop)
        assert recorder.of(Finished)[0].text.startswith("Painted 1 picture"), sampler

    release_model()
    assert card.used == before
