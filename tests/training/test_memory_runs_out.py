"""Out of memory in mid-run: fewer pictures at once, the same update again, the run goes on; and fp16, which needs
its constant loss scale.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of, train
from ti_core.errors import UserError
from ti_core.events import Notice, PreviewSaved, Started, StepDone
from ti_core.models.device import DeviceState
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.settings import CreateSettings
from ti_core.training import opening
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int, but_not_checkpointed: bool = False) -> list[int]:
    """The UNet raises torch's own error for more than `most` pictures at once; gives the sizes of all tries."""
    tried, predict = [], StableDiffusion.predict

    def limited(sd: StableDiffusion, latents: torch.Tensor, *more: object) -> torch.Tensor:
        if torch.is_grad_enabled():
            tried.append(len(latents))
            if len(latents) > most and not (but_not_checkpointed and sd.unet.is_gradient_checkpointing):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return predict(sd, latents, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(StableDiffusion, "predict", limited)
    return tried


def test_the_micro_batch_halves_the_update_is_repeated_and_the_page_is_told(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(workspace, steps=3, precision="float32")
    plenty = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    tried = limit_memory(monkeypatch, most=1)
    events = train(workspace, steps=3, precision="float32")
    assert tried[:6] == [4, 2, 1, 1, 1, 1]
    assert [event.step for event in events.of(StepDone)] == [1, 2, 3]
    told = [event.text for event in events.of(Notice) if "memory ran out" in event.text]
    assert len(told) == 2 and "with 4 pictures at once. The step is done again with 2" in told[0]
    assert torch.allclose(rows_of(anna), plenty, atol=1e-5)


def test_with_one_picture_checkpointing_comes_next(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, most=0, but_not_checkpointed=True)
    events = train(workspace, steps=2, image_every=0)
    assert [event.step for event in events.of(StepDone)] == [1, 2]
    assert "Gradient checkpointing is on" in events.of(Notice)[-1].text


def test_when_nothing_smaller_is_left_the_run_ends_with_the_old_file_and_a_sentence(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(anna)
    limit_memory(monkeypatch, most=0)
    with pytest.raises(UserError, match=r"memory is too small for pictures of 16 px.*Choose a smaller Width"):
        train(workspace, steps=2)
    assert torch.equal(rows_of(anna), before)


def test_a_preview_that_does_not_fit_is_left_out_and_the_training_goes_on(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(StableDiffusion, "decode", full)
    events = train(workspace, steps=2, image_every=1)
    assert [event.step for event in events.of(StepDone)] == [1, 2] and not events.of(PreviewSaved)
    assert "too small for a preview of 16x16, so it is left out" in events.of(Notice)[-1].text


def test_another_error_is_not_taken_for_missing_memory(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(StableDiffusion, "predict", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        train(workspace, steps=2)


def test_prompts_whose_graphs_do_not_fit_together_are_encoded_once_more_in_parts_with_the_same_gradient(
    workspace: Workspace,
    anna: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captions = sorted((workspace.datasets / "anna").glob("*.txt"))
    captions[0].write_text("word " * 90, encoding="utf-8")  # a second chunk, so that the parts must agree on the length
    train(workspace, steps=2, precision="float32")
    whole = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    plan_fit = opening.plan_fit
    monkeypatch.setattr(opening, "plan_fit", lambda *given: replace(plan_fit(*given), prompts_at_once=3))
    train(workspace, steps=2, precision="float32")
    assert torch.allclose(rows_of(anna), whole, atol=1e-5)


def test_the_plan_names_the_memory_and_a_training_that_will_hardly_fit_is_told(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "GB of the device's memory" in train(workspace, steps=1).of(Started)[0].plan
    monkeypatch.setattr(opening, "device_state", lambda device: DeviceState("cpu", "CPU", 100 * 2**20))
    notices = [event.text for event in train(workspace, steps=2).of(Notice)]
    assert any("more than is free" in text and "smaller Width and Height" in text for text in notices)


def test_of_pictures_that_keep_their_size_the_largest_decides(
    workspace: Workspace, anna: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides, plan_fit = list[object](), opening.plan_fit

    def noting(*given: object) -> object:
        sides.append(given[3:5])
        return plan_fit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "plan_fit", noting)
    Image.new("RGB", (40, 24)).save(dataset / "large.png")
    train(workspace, steps=1, image_every=0, keep_size=True)
    assert sides == [(40, 24)]


def test_a_picture_that_cannot_be_encoded_is_named_by_its_size(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(StableDiffusion, "encode", full)
    with pytest.raises(UserError, match=r"too small for a picture of 16 x 16 px.*smaller Width and Height"):
        train(workspace, steps=1)
    with pytest.raises(UserError, match=r"too small for a picture of 20 x 16 px.*Untick Do not resize"):
        train(workspace, steps=1, keep_size=True)


@pytest.mark.parametrize(
    ("switch", "value", "seen"), [("gradient_checkpointing", "on", True), ("gradient_checkpointing", "off", False)]
)
def test_a_choice_made_by_hand_is_obeyed(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch, switch: str, value: str, seen: bool
) -> None:
    states, predict = [], StableDiffusion.predict

    def watched(sd: StableDiffusion, *given: object) -> torch.Tensor:
        states.append(sd.unet.is_gradient_checkpointing)
        return predict(sd, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(StableDiffusion, "predict", watched)
    train(workspace, steps=1, image_every=0, **{switch: value})
    assert set(states) == {seen}
