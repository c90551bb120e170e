"""Training on: the same vectors as without a pause, and a foreign or damaged state is told and left alone."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.training.test_loop import anna, rows_of, settings_for, train
from ti_core.embeddings.folder import optimizer_file
from ti_core.events import Notice
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.training.optimizer_state import checksum
from ti_core.training.presets import describe_plan
from ti_core.workspace import Workspace


def without_step(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    del content["optimizer_state_dict"]["state"][0]["step"]
    torch.save(content, file)


def again(workspace: Workspace) -> Path:
    return create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)


def test_three_steps_and_three_more_are_six_bit_for_bit(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=6)
    unbroken = rows_of(anna)
    again(workspace)
    train(workspace, steps=3)
    events = train(workspace, steps=6)
    assert torch.equal(rows_of(anna), unbroken)
    assert not any("The .optim file" in event.text for event in events.of(Notice))


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f.unlink(),
        lambda f: f.write_bytes(b"broken"),
        lambda f: torch.save({"hash": "0000"}, f),
        lambda f: without_step(f),
    ],
)
def test_without_a_fitting_state_the_optimizer_starts_anew_and_says_so(
    workspace: Workspace, anna: Path, damage: object
) -> None:
    train(workspace, steps=3)
    damage(optimizer_file(anna))  # type: ignore[operator]
    events = train(workspace, steps=4)
    assert any("The .optim file" in event.text for event in events.of(Notice))


def test_the_optimizers_settings_in_a_foreign_state_are_not_ours(workspace: Workspace, anna: Path) -> None:
    """Such as A1111's or another version's: a decay would train on with another rule, in silence."""
    train(workspace, steps=6)
    unbroken = rows_of(anna)
    again(workspace)
    train(workspace, steps=3)
    content = torch.load(optimizer_file(anna), weights_only=True)
    content["optimizer_state_dict"]["param_groups"][0].update(weight_decay=0.5, betas=(0.1, 0.2), colour="red")
    content["optimizer_state_dict"]["param_groups"][0].pop("eps")
    torch.save(content, optimizer_file(anna))
    train(workspace, steps=6)
    assert torch.equal(rows_of(anna), unbroken)


def test_no_state_is_written_when_it_is_not_wanted(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=2, save_optimizer_state=False)
    assert not optimizer_file(anna).exists()


def test_the_state_file_has_no_zip_member_that_a1111_refuses(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=2)
    with zipfile.ZipFile(optimizer_file(anna)) as file:
        inside = [name.partition("/")[2] for name in file.namelist()]
    assert "data.pkl" in inside and all(re.fullmatch(r"data\.pkl|version|data/\d+", name) for name in inside)


def test_the_checksum_is_a1111s() -> None:
    assert checksum({"clip_l": torch.zeros(1, 768)}) == "0000"
    expected = 0
    for value in (5, -3):  # 0.05 and -0.03, by the formula of A1111's Embedding.checksum
        expected = ((expected * 281) ^ (value * 997)) & 0xFFFFFFFF
    assert checksum({"clip_l": torch.tensor([[0.055, -0.034]])}) == f"{expected & 0xFFFF:04x}"


def test_the_plan_says_when_an_embedding_goes_on_from_its_step(workspace: Workspace, anna: Path) -> None:
    assert "trained before" not in describe_plan(workspace, settings_for())
    train(workspace, steps=2)
    assert "must be higher than them" in describe_plan(workspace, settings_for())
