"""The gradient of one update, on a tiny SDXL: however the work is cut, it is the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.speed import Bench, prepare, random_checkpoint
from ti_core.training.noise_loss import parts_of_one_shape
from ti_core.training.update import take_gradient


@pytest.fixture(scope="module")
def bench() -> Bench:
    torch.manual_seed(0)
    made = prepare(random_checkpoint("sdxl", tiny=True), size_px=64, batch=2, updates=10)
    examples = made.run.inputs.examples
    examples[0] = replace(examples[0], caption="red hair, " * 40)  # two chunks
    return made


def gradient_of(bench: Bench, prompts_at_once: int) -> list[Tensor]:
    bench.run.memory.fit = replace(bench.run.memory.fit, prompts_at_once=prompts_at_once)
    take_gradient(bench.run, 1)
    return [rows.grad.clone() for rows in bench.run.state.vectors.values() if rows.grad is not None]


@pytest.mark.parametrize("at_once", [1, 3])
def test_prompts_that_are_encoded_twice_a_few_at_a_time_give_the_same_gradient(bench: Bench, at_once: int) -> None:
    whole, cut = gradient_of(bench, 4), gradient_of(bench, at_once)
    assert len(whole) == 2 and all(float(g.norm()) > 0 for g in whole)
    for a, b in zip(whole, cut, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()))


@pytest.mark.parametrize(("images", "limit", "sizes"), [(24, 10, [8, 8, 8]), (7, 3, [2, 2, 3]), (4, 8, [4])])
def test_the_parts_of_an_update_are_as_equal_as_can_be(images: int, limit: int, sizes: list[int]) -> None:
    parts = parts_of_one_shape([torch.zeros(4, 8, 8)] * images, lambda one: limit)
    assert [len(part) for part in parts] == sizes and [i for part in parts for i in part] == list(range(images))
