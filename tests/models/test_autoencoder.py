"""How the autoencoder works: in the precision of its weights, and in float32 where float16 is too narrow for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ti_core.models.checkpoint import LoadOptions, load_checkpoint
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.settings import PORTRAITS
from ti_core.workspace import Workspace

Half = Callable[[], StableDiffusion]


@pytest.fixture
def half(tmp_path: Path) -> Half:
    return lambda: load_checkpoint(PORTRAITS, Workspace(tmp_path), LoadOptions(precision="float16"))


def test_it_works_in_the_precision_of_its_weights_without_autocast(half: Half, monkeypatch: pytest.MonkeyPatch) -> None:
    sd, seen = half(), list[bool]()
    for part in (sd.vae.encoder, sd.vae.decoder):
        part.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    sd.decode(sd.encode(torch.zeros(1, 3, 32, 32))[0])
    assert seen == [False, False]
