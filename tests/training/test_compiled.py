"""A compiled UNet must earn its place. torch.compile is replaced by UNets that are wrong, right, or cannot be made."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, rows_of, train
from ti_core.events import Notice
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

needs_triton = pytest.mark.skipif(
    torch.cuda.is_available() and importlib.util.find_spec("triton") is None,
    reason="nothing is compiled for a card without Triton",
)


class Compiler:
    """Stands for torch.compile; `change` is what its UNet does to the words that it is told."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change, self.passes = change, 0

    def __call__(self, unet: nn.Module) -> Callable[..., Any]:
        def compiled(latents: Tensor, timesteps: Tensor, words: Tensor, **more: Any) -> Any:
            self.passes += 1
            return unet(latents, timesteps, self.change(words), **more)

        return compiled


def trained(workspace: Workspace, anna: Path, **changes: object) -> tuple[Tensor, Recorder]:
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    recorder = train(workspace, image_every=3, save_every=0, **changes)
    return rows_of(anna), recorder


def fails(words: Tensor) -> Tensor:
    raise RuntimeError("no compiler found")


@needs_triton
@pytest.mark.parametrize(
    ("change", "told"), [(lambda words: words.roll(1, -1), "cosine"), (fails, "no compiler found")]
)
def test_a_wrong_compiled_unet_is_refused_and_the_run_is_the_plain_one(
    workspace: Workspace,
    anna: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Tensor], Tensor],
    told: str,
) -> None:
    plain, _ = trained(workspace, anna, compile_unet="off")
    monkeypatch.setattr(torch, "compile", compiler := Compiler(change))
    rows, events = trained(workspace, anna, compile_unet="on")
    assert torch.allclose(rows, plain, atol=1e-6)  # tensors lie elsewhere in memory, and the last bit goes with that
    assert compiler.passes == 1
    assert [n.text for n in events.of(Notice) if "compiled UNet is not used" in n.text and told in n.text]


@needs_triton
def test_a_right_one_takes_over_after_the_second_step_but_not_in_previews(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = trained(workspace, anna, compile_unet="off")
    monkeypatch.setattr(torch, "compile", compiler := Compiler(lambda words: words))
    rows, events = trained(workspace, anna, compile_unet="on")
    assert torch.allclose(rows, plain, atol=1e-6) and not [n for n in events.of(Notice) if "compiled" in n.text]
    assert compiler.passes == 3  # its trial, and steps 3 and 4


def test_automatic_leaves_a_cpu_alone(workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", compiler := Compiler(fails))
    trained(workspace, anna)
    assert compiler.passes == 0
