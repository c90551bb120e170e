"""A whole training on the card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, train
from ti_core.events import Finished, PreviewSaved, StepDone
from ti_core.models.warm import release_model
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
