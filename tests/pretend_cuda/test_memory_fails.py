"""One allocation of a whole training fails: the training goes through with the same vectors, or it ends with one
sentence. Never with an unexpected error, and never with memory that stays in use.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, Recorder
from tests.pretend_cuda.card import PretendCard
from tests.training.test_loop import anna, rows_of, settings_for
from ti_core.errors import UserError
from ti_core.events import Finished
from ti_core.models.warm import release_model
from ti_core.training import evaluate, loop
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card
EVERY = 10
MOST_OF_THEM_GO_ON = 0.9


def trained(workspace: Workspace, file: Path, begun: bytes) -> torch.Tensor:
    """One update with its evaluation and preview, from the same beginning, with nothing kept from before."""
    release_model()
    file.write_bytes(begun)
    for state in file.parent.glob("anna*"):
        if state != file:
            state.unlink()
    recorder = Recorder()
    settings = settings_for(steps=1, image_every=1, save_every=0, evaluate_every=1, preview_steps=1)
    loop.train(settings, workspace, recorder, recorder.stop)
    assert recorder.of(Finished)
    return rows_of(file)


def outcomes(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, file: Path, only: slice
) -> dict[int, str]:
    """What became of the training in which the n-th allocation failed, of every tenth one that `only` takes: "same",
    the sentence, or what is wrong.
    """
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 0.7)
    monkeypatch.setattr(evaluate, "FEWEST", 1)
    begun = file.read_bytes()
    trained(workspace, file, begun)  # what is made once is made
    with card.counted() as counts:
        wanted = trained(workspace, file, begun)
    release_model()
    before, found = card.used, dict[int, str]()
    for number in range(0, counts["allocations"], EVERY)[only]:
        card.fail_at(number)
        try:
            rows = trained(workspace, file, begun)
            found[number] = "same" if torch.allclose(rows, wanted, atol=1e-3) else "other vectors"
        except UserError as error:
            found[number] = f"sentence: {error}"
        except Exception as error:  # noqa: BLE001 - whatever else comes out is what this looks for
            found[number] = f"error: {type(error).__name__}: {error}"[:300]
        assert card.has_failed, "the allocation was asked for"
        card.fail_at(-1)
        release_model()
        gc.collect()
        if card.used != before:
            found[number] += f"; {card.used - before} bytes stay in use"
        print(number, found[number], flush=True)
    return found


def check(found: dict[int, str]) -> None:
    wrong = {number: what for number, what in found.items() if what != "same" and not what.startswith("sentence: ")}
    wrong |= {number: what for number, what in found.items() if "stay in use" in what}
    assert not wrong, "\n".join(f"{number}: {what}" for number, what in wrong.items())
    same = sum(what == "same" for what in found.values())
    assert same >= MOST_OF_THEM_GO_ON * len(found), found


def test_a_training_whose_memory_runs_out_once_goes_on(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, anna: Path
) -> None:
    """A few of the allocations, spread over all of the training."""
    check(outcomes(card, monkeypatch, workspace, anna, slice(3, None, 40)))


def test_memory_that_runs_out_before_the_first_picture_is_a_sentence_about_memory(
    card: PretendCard, workspace: Workspace, anna: Path
) -> None:
    """While the model is loaded and the pictures are read: neither the checkpoint nor a picture is blamed."""
    begun = anna.read_bytes()
    trained(workspace, anna, begun)
    release_model()
    for number in range(0, 24, 3):
        card.fail_at(number)
        try:
            trained(workspace, anna, begun)
        except UserError as error:
            assert "memory is full" in str(error), number
        assert card.has_failed
        card.fail_at(-1)
        release_model()


@pytest.mark.slow
def test_every_tenth_allocation_of_a_training_may_fail(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, anna: Path
) -> None:
    check(outcomes(card, monkeypatch, workspace, anna, slice(None)))
