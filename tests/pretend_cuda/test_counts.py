"""How often a training and a preview wait for the card, copy to and from it, and start a kernel on it.

The numbers of kernels are those of tiny checkpoints. Whoever lowers one lowers it here as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Recorder
from tests.models.tiny_families import SIZE_PX
from tests.pretend_cuda.card import Counts, PretendCard
from tests.training.test_families import create, put_checkpoint, settings_for
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.settings import SAMPLERS
from ti_core.training import evaluate, loop
from ti_core.training.run import Run
from ti_core.workspace import Workspace

pytestmark = pytest.mark.pretend_card
UPDATE_KERNELS = {"sd1": 2178, "sdxl": 2252}
PREVIEW_KERNELS = {"sd1": 2552, "sdxl": 2515}
"""The most of all samplers, for a preview of two prompts, each with three steps."""


def counts_of_updates(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, kind: str, **changes: object
) -> list[Counts]:
    title = put_checkpoint(kind, "folder", workspace)
    create(title, workspace)
    found, update = list[Counts](), loop._update

    def counted(run: Run, *more: object) -> object:
        with card.counted(names=True) as counts:
            done = update(run, *more)  # type: ignore[arg-type]
        found.append(counts)
        return done

    monkeypatch.setattr(loop, "_update", counted)
    recorder = Recorder()
    settings = settings_for(title, kind, **{"steps": 3, "image_every": 0, "save_every": 0, **changes})
    loop.train(settings, workspace, recorder, recorder.stop)
    return found


@pytest.mark.parametrize("kind", UPDATE_KERNELS)
def test_an_update_waits_twice_and_copies_little(
    card: PretendCard,
    monkeypatch: pytest.MonkeyPatch,
    workspace: Workspace,
    dataset: Path,
    tiny_families: Path,
    kind: str,
) -> None:
    """It waits for its loss, and for whether the gradient is finite."""
    first, *others = counts_of_updates(card, monkeypatch, workspace, kind, latent_sampling_method="random")
    assert first["waits"] <= 4, "the first looks whether the vectors of each text encoder moved"
    for counts in others:
        assert (counts["waits"], counts["to_host"]) == (2, 2) and counts["to_device"] <= 4, counts.names
        assert counts["kernels"] <= UPDATE_KERNELS[kind], counts.names


def test_more_micro_batches_do_not_wait_more(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, dataset: Path, tiny_families: Path
) -> None:
    *_, counts = counts_of_updates(card, monkeypatch, workspace, "sd1", micro_batch=1)
    assert counts["waits"] == 2 and counts["to_device"] <= 4, counts.names


def test_an_evaluation_waits_for_its_numbers_alone(
    card: PretendCard, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, dataset: Path, tiny_families: Path
) -> None:
    """Those of all its pictures, and of all its prompts about other things twice; the first one measures the checkpoint
    too. Each picture and prompt goes through the UNet alone.
    """
    found, evaluated = list[Counts](), loop.evaluate
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 4.0)

    def counted(run: Run, evaluation: evaluate.Evaluation) -> None:
        assert len(evaluation.images) > 4 and evaluation.probes
        with card.counted(names=True) as counts:
            evaluated(run, evaluation)
        found.append(counts)

    monkeypatch.setattr(loop, "evaluate", counted)
    counts_of_updates(card, monkeypatch, workspace, "sdxl", micro_batch=1, evaluate_every=1)
    first, *others = found
    assert len(others) == 2 and first["waits"] <= 4
    for counts in others:
        assert counts["waits"] == counts["to_host"] == 3, counts.names
        assert counts["to_device"] <= 10, counts.names


@pytest.mark.parametrize("kind", PREVIEW_KERNELS)
def test_a_preview_waits_once_a_picture_with_every_sampler(
    card: PretendCard, workspace: Workspace, tiny_families: Path, kind: str
) -> None:
    sd = load_checkpoint(put_checkpoint(kind, "folder", workspace), workspace)
    sd.move_to_device()
    most = 0
    for name in SAMPLERS:
        requests = [
            SampleRequest(prompt, steps=3, width=SIZE_PX, height=SIZE_PX, sampler=name)
            for prompt in ("a (photo:1.3) of a woman", "a sketch")
        ]
        with card.counted(names=True) as counts:
            sample_images(sd, requests, {})
        assert counts["waits"] == counts["to_host"] == len(requests), (name, counts.names)
        assert counts["to_device"] <= 7, (name, counts.names)
        most = max(most, counts["kernels"])
    assert most <= PREVIEW_KERNELS[kind], most
