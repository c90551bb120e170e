"""The recipe that suits a checkpoint's family is the one that the button and the command take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from tests.models.tiny_families import save_single_file
from ti_core.cli import recipe
from ti_core.cli.main import main
from ti_core.jobs.queue import JobQueue
from ti_core.settings import PORTRAITS
from ti_core.training.presets import FAST, GUIDE, LEARNING_RATE
from ti_core.training.suited_preset import recipe_label, suited_preset
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace


@pytest.mark.parametrize("kind", ["sd1", "sd2_v", "sdxl"])
def test_stable_diffusion_1_keeps_the_guides_values(workspace: Workspace, kind: str) -> None:
    title = save_single_file(kind, workspace.checkpoints / f"{kind}.safetensors").name
    preset, reason = suited_preset(title, workspace)
    assert (preset, recipe_label(preset)) == (
        (GUIDE, "Use the face recipe") if kind == "sd1" else (FAST, "Use Fast and faithful")
    )
    assert bool(reason) == (kind != "sd1") and reason.count(".  ") == 0
    for known in (PORTRAITS, TINY, "nowhere"):
        assert suited_preset(known, workspace) == (GUIDE, "")


def test_the_button_fills_in_what_suits_and_says_why(workspace: Workspace, dataset: Path) -> None:
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()
    tab, rate = page.train, page.train.form.widgets["learning_rate"]
    xl = save_single_file("sdxl", workspace.checkpoints / "xl.safetensors").name
    filled = tab.fill_recipe("datasets/anna", "anna", xl)
    assert filled[rate].startswith("0.005:") and "Stable Diffusion XL" in filled[tab.message]["value"]
    assert filled[tab.preset] == FAST and tab.labelled(xl)["value"] == "Use Fast and faithful"
    assert (tab.labelled(xl)["variant"], tab.labelled(PORTRAITS)["variant"]) == ("primary", "secondary")
    filled = tab.fill_recipe("datasets/anna", "anna", PORTRAITS)
    assert filled[rate] == LEARNING_RATE and filled[tab.preset] == GUIDE and not filled[tab.message]["value"]
    assert "holds no pictures" in tab.fill_recipe(str(workspace.root), "anna", xl)[tab.message]["value"]


def test_the_command_takes_it_too_and_a_preset_that_is_given_wins(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    xl = save_single_file("sdxl", workspace.checkpoints / "xl.safetensors").name
    trained: list[Any] = []
    do_job = recipe.do_job
    monkeypatch.setattr(
        recipe,
        "do_job",
        lambda kind, settings, w: (
            trained.append(settings)
            or (
                0
                if "steps" in settings.options() and "learning_rate" in settings.options()
                else do_job(kind, settings, w)
            )
        ),
    )
    for extra, rate in (((), "0.005:"), (("--preset", GUIDE), "0.05:")):
        flags = ["--ckpt", xl, "--workspace", str(workspace.root), "--overwrite", "--width", "64", "--height", "64"]
        assert main(["recipe", f"{SHOWN_SAMPLE_PHOTOS}/anna", f"n{len(extra)}", *flags, *extra]) == 0
        assert trained[-1].learning_rate.startswith(rate)
        assert ("Fast and faithful" in capsys.readouterr().out) == (not extra)
