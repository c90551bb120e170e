"""A slider's update on a tiny SDXL, with its two text encoders: shared among devices, or encoded in parts, it has the
same gradient.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.speed import Bench, prepare, random_checkpoint
from ti_core.settings.word_kind import SLIDER, WordKind
from ti_core.training.kinds.slider import SliderWord
from ti_core.training.update import take_gradient


@pytest.fixture(scope="module")
def bench() -> Bench:
    torch.manual_seed(0)
    made = prepare(random_checkpoint("sdxl", tiny=True), size_px=64, batch=2, updates=10)
    kind = SliderWord(WordKind(SLIDER, "a photo", "red hair, " * 40, "blue hair"))  # more has two chunks
    made.run.kind = kind
    made.run.inputs.lines[:] = kind.lines([])
    return made


def gradient_of(bench: Bench) -> list[Tensor]:
    take_gradient(bench.run, 1)
    return [rows.grad.clone() for rows in bench.run.state.vectors.values() if rows.grad is not None]


def assert_alike(found: list[Tensor], whole: list[Tensor]) -> None:
    assert len(whole) == 2 and all(float(g.norm()) > 0 for g in whole)
    for a, b in zip(found, whole, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


def test_the_shares_of_several_devices_sum_to_the_whole_gradient(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gradient_of(bench)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(bench.run.ranks, "shard", lambda count, rank=rank: list(range(rank, count, 2)))
        shares.append(gradient_of(bench))
    assert_alike([a + b for a, b in zip(*shares, strict=True)], whole)


def test_prompts_that_are_encoded_one_by_one_give_the_same_gradient(bench: Bench) -> None:
    whole = gradient_of(bench)
    bench.run.memory.fit = replace(bench.run.memory.fit, prompts_at_once=1)
    assert_alike(gradient_of(bench), whole)
