"""What a training and a painting with networks of real size have on the card at one time, against the plan: within 5%.
The networks are hollow (device/hollow.h), so that each case takes seconds and little memory.

    .venv/bin/python -m tests.pretend_cuda -m pytest -m slow -s tests/pretend_cuda/test_full_size.py

prints the figures of docs/checkpoints.md.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Recorder
from tests.pretend_cuda.card import IS_REAL, PretendCard
from tests.pretend_cuda.full_size import save_zeros
from ti_core.events import Evaluated, Notice, PreviewSaved, StepDone
from ti_core.models import checkpoint, painting_memory
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import MIB
from ti_core.models.memory import FitPlan
from ti_core.models.painting_memory import PaintingPlan
from ti_core.models.warm import release_model
from ti_core.painting.txt2img import txt2img
from ti_core.settings import CreateSettings, TrainSettings, Txt2ImgSettings
from ti_core.training import evaluate, loop, opening
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace

pytestmark = [
    pytest.mark.pretend_card,
    pytest.mark.slow,
    pytest.mark.skipif(IS_REAL, reason="a real card computes all, and leaves its own memory out of these numbers"),
]
NEAR = 0.05
FAMILY_NAMES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a checkpoint of each family, of real size."""
    root = tmp_path_factory.mktemp("full_size")
    for name in FAMILY_NAMES:
        save_zeros(FAMILIES[name], Workspace(root).checkpoints / name)
    return root


@pytest.fixture
def hollow(card: PretendCard, monkeypatch: pytest.MonkeyPatch, full_size: Path) -> Iterator[Workspace]:
    """The workspace, where nothing large is computed."""
    monkeypatch.setattr(checkpoint, "known_hash", lambda *_: "0" * 10)  # gigabytes of zeros need not be read
    monkeypatch.setattr(loop, "check_moved", lambda *_: None)  # without content no gradient moves anything
    monkeypatch.setattr(evaluate, "SHARE_OF_TIME", 5.0)  # of one step
    release_model()
    with card.hollow():
        yield Workspace(full_size)
        release_model()
        gc.collect()


def kept(monkeypatch: pytest.MonkeyPatch, where: object, function: str) -> list[Any]:
    """What the function gives from here on."""
    found, original = [], getattr(where, function)

    def keeping(*given: Any, **named: Any) -> Any:
        found.append(original(*given, **named))
        return found[-1]

    monkeypatch.setattr(where, function, keeping)
    return found


def check(what: str, planned: int, peak: int, mib: int) -> None:
    print(f"\n{what}: planned {planned / MIB:.0f} MiB, on the card {peak / MIB:.0f} MiB", end="")
    assert peak == pytest.approx(planned, rel=NEAR) and peak <= mib * MIB


def noise_pictures(workspace: Workspace, size_px: int) -> str:
    folder = workspace.datasets / f"noise-{size_px}"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 255, (size_px, size_px, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("noise", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("family", "size_px", "mib", "flash", "batch"),
    [
        ("sd1", 512, 24000, True, 1),
        ("sd1", 512, 4000, True, 2),
        ("sd1", 512, 4000, False, 2),
        ("sd1", 768, 4000, True, 1),
        ("sd1", 1024, 4000, True, 2),
        ("sd1", 1024, 10000, True, 2),
        ("sd2", 768, 6000, True, 1),
        ("sdxl", 512, 10000, True, 2),
        ("sdxl", 768, 8000, True, 1),
        ("sdxl", 1024, 24000, True, 1),
        ("sdxl", 1024, 10000, True, 2),
        ("sdxl", 1024, 10000, False, 2),
    ],
)
def test_a_training_has_on_the_card_what_was_planned(
    card: PretendCard,
    monkeypatch: pytest.MonkeyPatch,
    hollow: Workspace,
    family: str,
    size_px: int,
    mib: int,
    flash: bool,
    batch: int,
) -> None:
    """Pictures encoded, the start painted, an update and its preview; an evaluation in two of the cases."""
    card.becomes(mib=mib, flash=flash)
    create_embedding(CreateSettings(name="it", vectors=2, overwrite=True, checkpoint=family), hollow)
    settings = TrainSettings(
        embedding="it",
        dataset_directory=noise_pictures(hollow, size_px),
        template_file="subject_filewords.txt",
        learning_rate="0.005",
        batch_size=batch,
        gradient_accumulation_steps=1,
        steps=1,
        image_every=1,
        save_every=0,
        evaluate_every=int(flash and (family, size_px, mib) in (("sd1", 512, 4000), ("sdxl", 1024, 10000))),
        preview_steps=1,
        width=size_px,
        height=size_px,
        checkpoint=family,
    )
    plans: list[FitPlan] = kept(monkeypatch, opening, "plan_fit")
    recorder = Recorder()
    card.reset_peak()
    loop.train(settings, hollow, recorder, recorder.stop)

    (plan,), said = plans, [event.text for event in recorder.of(Notice)]
    assert plan.fits and recorder.of(StepDone) and recorder.of(PreviewSaved)
    assert len(recorder.of(Evaluated)) == settings.evaluate_every
    assert not any("memory" in text for text in said), said
    ways = ("checkpointing", plan.gradient_checkpointing), ("VAE off", plan.vae_off_device)
    more = ("text encoders off", plan.encoders_off_device), ("decoded in parts", plan.vae_slicing)
    how = ", ".join([f"{plan.micro_batch} at once", *(name for name, is_on in (*ways, *more) if is_on)])
    check(
        f"train {family} {size_px} px, {mib} MiB{'' if flash else ', slices'} ({how})", plan.need.total, card.peak, mib
    )


@pytest.mark.parametrize(
    ("family", "size_px", "mib", "flash"),
    [
        ("sd1", 512, 4000, True),
        ("sd1", 512, 4000, False),
        ("sd1", 512, 2400, True),
        ("sd1", 1024, 4000, True),
        ("sd2", 768, 6000, True),
        ("sd2", 768, 4000, True),
        ("sdxl", 1024, 24000, True),
        ("sdxl", 1024, 10000, True),
        ("sdxl", 1024, 10000, False),
        ("sdxl", 1024, 8000, True),
        ("sdxl", 1024, 6000, True),
    ],
)
def test_a_painting_has_on_the_card_what_was_planned(
    card: PretendCard,
    monkeypatch: pytest.MonkeyPatch,
    hollow: Workspace,
    family: str,
    size_px: int,
    mib: int,
    flash: bool,
) -> None:
    card.becomes(mib=mib, flash=flash)
    plans: list[PaintingPlan] = kept(monkeypatch, painting_memory, "plan_painting")
    recorder = Recorder()
    settings = Txt2ImgSettings(prompt="a photo", steps=1, width=size_px, height=size_px, checkpoint=family)
    card.reset_peak()
    (file,) = txt2img(settings, hollow, recorder, recorder.stop)
    with Image.open(file) as picture:
        assert picture.size == (size_px, size_px)
    (plan,) = plans
    how = f"{'in turns' if plan.in_turns else 'all on the card'}{', decoded in parts' * plan.vae_slicing}"
    assert plan.fits
    check(f"paint {family} {size_px} px, {mib} MiB{'' if flash else ', slices'} ({how})", plan.total, card.peak, mib)
