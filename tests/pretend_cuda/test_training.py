"""A whole training on the card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, train
from ti_core.events import Finished, Notice, PreviewSaved, StepDone
from ti_core.models.warm import release_model
from ti_core.training import update
from ti_core.training.run import Run
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("flash", [True, False])
def test_a_training_runs_to_its_end_and_leaves_nothing_on_the_card(
    card: PretendCard, workspace: Workspace, anna: Path, bf16: bool, flash: bool
) -> None:
    card.becomes(bf16=bf16, flash=flash)
    release_model()
    before, rows = card.used, rows_of(anna)
    events = train(workspace, evaluate_every=2, held_out=1)
    release_model()
    assert [event.step for event in events.of(StepDone)] == [1, 2, 3, 4]
    assert events.of(PreviewSaved) and not events.of(Finished)[0].interrupted
    assert not torch.equal(rows_of(anna), rows)
    assert card.used == before


@pytest.mark.parametrize("times", [2.0**18, 2.0**60])
def test_where_float16_is_too_narrow_the_update_is_done_again_with_a_smaller_loss_scale(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, anna: Path, times: float
) -> None:
    """And where no scale helps, the step is left out, and it is said."""
    card.becomes(bf16=False)
    release_model()
    begun, shares, accumulate = anna.read_bytes(), list[float](), update._accumulate
    train(workspace, steps=1, image_every=0, save_every=0)
    wanted = rows_of(anna)
    anna.write_bytes(begun)

    def noted(run: Run, step: int) -> tuple[float, str]:
        shares.append(run.memory.loss_scale_share)
        return accumulate(run, step)

    usual = update.loss_scale
    monkeypatch.setattr(update, "loss_scale", lambda *given: usual(*given) * times)
    monkeypatch.setattr(update, "_accumulate", noted)
    events = train(workspace, steps=1, image_every=0, save_every=0)
    assert shares == [16.0**-tried for tried in range(len(shares))] and len(shares) > 1
    if times < 2.0**60:
        assert torch.allclose(rows_of(anna), wanted, atol=2e-3)
    else:
        assert any("broke down (a number grew too large)" in event.text for event in events.of(Notice))
