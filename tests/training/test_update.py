"""The gradient of one update, on a tiny SDXL: however the work is cut, it is the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.speed import Bench, prepare, random_checkpoint
from ti_core.data.latents import Latents
from ti_core.training.update import take_gradient


@pytest.fixture(scope="module")
def bench() -> Bench:
    torch.manual_seed(0)
    made = prepare(random_checkpoint("sdxl", tiny=True), size_px=64, batch=2, updates=10)
    examples = made.run.inputs.examples
    examples[0] = replace(examples[0], caption="red hair, " * 40)  # two chunks
    return made


def gradient_of(bench: Bench, prompts_at_once: int) -> list[Tensor]:
    bench.run.fit = replace(bench.run.fit, prompts_at_once=prompts_at_once)
    take_gradient(bench.run, 1)
    return [rows.grad.clone() for rows in bench.run.vectors.values() if rows.grad is not None]


@pytest.mark.parametrize("at_once", [1, 3])
def test_prompts_that_are_encoded_twice_a_few_at_a_time_give_the_same_gradient(bench: Bench, at_once: int) -> None:
    together, cut = gradient_of(bench, 4), gradient_of(bench, at_once)
    assert len(together) == 2 and all(float(g.norm()) > 0 for g in together)
    for a, b in zip(together, cut, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()))


def test_the_first_steps_are_coarse_by_the_step_alone(bench: Bench) -> None:
    run = replace(bench.run, settings=replace(bench.run.settings, coarse_share=0.5, steps=7), coarse=Latents())
    assert [run.latents_at(step) is run.coarse for step in range(1, 8)] == [True] * 3 + [False] * 4
    assert replace(run, coarse=None).latents_at(1) is run.latents
