from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.conftest import TINY, save_tiny_checkpoint
from ti_core.models import warm
from ti_core.models.checkpoint import LoadOptions
from ti_core.models.warm import release_model, warm_checkpoint
from ti_core.settings import PORTRAITS
from ti_core.workspace import Workspace

OPTIONS = LoadOptions()


@pytest.fixture
def own(tmp_path: Path) -> Workspace:
    release_model()
    save_tiny_checkpoint(tmp_path / "models" / "Stable-diffusion" / TINY)
    return Workspace(tmp_path)


def test_the_same_choice_is_not_loaded_again_and_comes_as_if_it_were(own: Workspace) -> None:
    first = warm_checkpoint(TINY, own, OPTIONS)
    first.unet.enable_gradient_checkpointing()
    first.vae.enable_tiling()
    first.compiled_unet = first.unet
    first.move_to_device(vae_off_device=True)
    again = warm_checkpoint(TINY, own, OPTIONS)
    assert again is first
    assert (
        not again.unet.is_gradient_checkpointing
        and not again.vae.use_tiling
        and again.compiled_unet is None
        and not again.vae_idles_on_cpu
    )


@pytest.mark.parametrize("change", [{"precision": "float32"}, {"precision": "bfloat16"}, {"clip_skip": 2}])
def test_other_options_load_it_anew(own: Workspace, change: dict[str, object]) -> None:
    first = warm_checkpoint(TINY, own, OPTIONS)
    assert warm_checkpoint(TINY, own, dataclasses.replace(OPTIONS, **change)) is not first  # type: ignore[arg-type]


def test_changed_files_are_loaded_anew_and_another_model_frees_the_last(own: Workspace) -> None:
    first = warm_checkpoint(TINY, own, OPTIONS)
    os.utime(own.checkpoints / TINY / "unet" / "config.json", (1, 2_000_000_000))
    assert warm_checkpoint(TINY, own, OPTIONS) is not first
    warm_checkpoint(PORTRAITS, own, OPTIONS)
    assert [sd.file.title for sd in warm._kept.values()] == [PORTRAITS]
